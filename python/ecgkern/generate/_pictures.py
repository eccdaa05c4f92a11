"""The pictures: what lies between two records of a model, and where its R peaks are."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ecgkern._style import MARK, RECORDED, SYNTHETIC, WIDTH
from ecgkern.generate._look import Comparison
from ecgkern.generate._sampler import Sampler, Signals


def interpolation(sampler: Sampler, between: Signals) -> Any:
    """One lead of what lies between two records, as a row of signals."""
    signals = between[:, :, sampler.rhythm_lead]
    seconds = np.arange(sampler.length) / sampler.fs
    figure = Figure(figsize=(WIDTH, 0.7 + 0.8 * len(signals)), layout="constrained")
    figure.suptitle(
        f"From one record to another: {type(sampler.model).__name__}, {sampler.leads[sampler.rhythm_lead]}, mV",
        x=0.01,
        ha="left",
    )
    axes = figure.subplots(len(signals), 1, sharex=True, sharey=True)
    for ax, signal, t in zip(axes, signals, np.linspace(0, 1, len(signals)), strict=True):
        ax.plot(seconds, signal, color=MARK if t in (0, 1) else SYNTHETIC, linewidth=0.9)
        ax.set_ylabel(f"{t:.0%}", rotation=0, ha="right", va="center")
        ax.margins(x=0.005)
    axes[-1].set_xlabel("time (s)")
    return figure


def r_peaks(comparison: Comparison) -> Any:
    """Where the R peaks lie in the record, and how far they are apart: synthetic over real."""
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    figure.suptitle("R peaks, as NeuroKit2 finds them", x=0.01, ha="left")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    sides = ((comparison.real, "reference", RECORDED, "-"), (comparison.synthetic, "synthetic", SYNTHETIC, "--"))
    pooled = np.concatenate([side.rr for side, *_ in sides if side])
    low, high = np.percentile(pooled, [0.5, 99.5]) if pooled.size else (0.0, 2000.0)  # without the outliers
    sample = 1000 / comparison.synthetic.fs  # ms; bars of whole samples, else some hold more values than others
    step = sample * max(1, round((high - low) / 40 / sample))
    rr_edges = np.arange(np.floor(low / step) - 0.5, np.ceil(high / step) + 1) * step
    for side, label, colour, line in sides:
        if side is None:
            continue
        # One bar a sample, as the data are: a model that puts its beats at the same places shows as a comb.
        places = np.bincount(side.positions.astype(np.int64), minlength=side.length) / max(len(side.labels), 1)
        left.plot(np.arange(len(places)) / side.fs, places, color=colour, linewidth=0.8, label=label, alpha=0.85)
        weights = np.full(side.rr.size, 100 / max(side.rr.size, 1))
        right.hist(side.rr, rr_edges, weights=weights, histtype="step", color=colour, linestyle=line, linewidth=1.6)
    left.set(xlabel="place in the record (s)", ylabel="R peaks per record and sample")
    left.set_ylim(0, 1.3 * left.get_ylim()[1])
    left.legend(loc="upper right", ncols=2, fontsize=9)
    left.margins(x=0)
    right.set(xlabel="RR interval (ms)", ylabel="% of the intervals")
    return figure
