"""The pictures of the report, as matplotlib figures without pyplot, and as PNG files."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ecgkern import _style
from ecgkern._page import duration, number, plural, spread
from ecgkern._style import MARK, RECORDED, SYNTHETIC, WIDTH, note
from ecgkern.demo._analysis import Summary, Synthesis, bin_edges, count_at_samples, temporal_bins
from ecgkern.demo._input import Recordings
from ecgkern.demo._intervals import HEALTHY, Intervals
from ecgkern.demo._timing import Timing

HEALTHY_RANGE = "#dcebdc"
SIMULATED = "SIMULATED INPUT, not recorded"


def draw_all(
    synthesis: Synthesis, intervals: Intervals, timings: Sequence[Timing], advance: Callable[[int, int], None]
) -> dict[str, bytes]:
    """Draw every picture; return PNG files by name."""
    drawings: dict[str, Callable[[], Any]] = {
        "overlay.png": partial(overlay, synthesis),
        "r_peak_histogram.png": partial(r_peak_histogram, synthesis),
        "r_peak_boxplots.png": partial(r_peak_boxplots, synthesis),
        "rr_intervals.png": partial(rr_intervals, synthesis),
        "intervals.png": partial(wave_intervals, synthesis.recordings, intervals),
        "timing.png": partial(timing, synthesis.recordings, timings),
    }
    return _style.draw_all(drawings, advance)


def overlay(synthesis: Synthesis) -> Any:
    """Five records, evenly chosen, each with its synthetic ECG."""
    recordings, source = synthesis.recordings, synthesis.recordings.source
    chosen = spread(range(len(recordings.names)), 5)
    figure = _figure(
        recordings,
        f"{source.curve.capitalize()} and synthetic ECG, lead {recordings.lead}: {plural(len(chosen), 'record')} of "
        f"{len(recordings.names)}",
        0.9 + 1.75 * len(chosen),
    )
    axes = figure.subplots(len(chosen), 1, sharex=True, squeeze=False)[:, 0]
    seconds = np.arange(recordings.length) / recordings.fs
    for ax, i in zip(axes, chosen, strict=True):
        recorded = recordings.signals[i] - np.median(recordings.signals[i])
        peaks = synthesis.r_peaks.rows()[i].astype(int)
        ax.plot(seconds, recorded, color=RECORDED, linewidth=0.9, label=f"{source.curve}, less its median")
        ax.plot(seconds, synthesis.signals[i], color=SYNTHETIC, linewidth=1.1, alpha=0.85, label="synthetic")
        top = 1.12 * max(recorded.max(), synthesis.signals[i].max())
        ax.plot(peaks / recordings.fs, np.full(len(peaks), top), "v", color=MARK, markersize=5, label="R peak")
        ax.set_title(f"{recordings.names[i]}, {synthesis.heart_rate[i]:.0f} beats/min")
        ax.margins(x=0.005)
        ax.set_ylabel("mV")
    axes[-1].set_xlabel("time (s)")
    axes[0].legend(loc="lower right", bbox_to_anchor=(1, 0.99), ncols=3, borderaxespad=0.2)
    return figure


def r_peak_histogram(synthesis: Synthesis) -> Any:
    """How many R peaks there are at each sample, or in each 10 ms where samples are closer than that."""
    recordings = synthesis.recordings
    step = max(1, round(0.01 * recordings.fs))
    edges = np.append(np.arange(0, recordings.length, step), recordings.length)
    counts = np.add.reduceat(count_at_samples(synthesis.r_peaks, recordings.length), edges[:-1])
    place = "sample" if step == 1 else f"{step} samples"
    figure = _figure(
        recordings,
        f"Where the R peaks are: {counts.sum()} R peaks in {plural(len(recordings.names), 'record')}",
        3.6,
    )
    ax = figure.subplots()
    ax.stairs(counts, edges - 0.5, fill=True, color=SYNTHETIC)
    ax.axhline(counts.mean(), color=MARK, linewidth=1.2, label=f"mean, {counts.mean():.2f}")
    ax.set_xlim(-0.5, recordings.length - 0.5)
    ax.yaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel=f"place of the R peak (sample of {1000 / recordings.fs:.3g} ms)", ylabel=f"R peaks per {place}")
    ax.set_ylim(0, 1.15 * max(counts.max(), 1))
    ax.legend(loc="upper right")
    return figure


def r_peak_boxplots(synthesis: Synthesis) -> Any:
    """Where the R peaks lie in each tenth of the record, and how many."""
    recordings = synthesis.recordings
    bins = temporal_bins(synthesis.r_peaks, recordings.length)
    figure = _figure(recordings, "R peaks in each tenth of the records, with their number above the box", 4.4)
    ax = figure.subplots()
    ax.boxplot(
        bins,
        whis=(0, 100),
        widths=0.6,
        patch_artist=True,
        boxprops={"facecolor": "#d3e3f0", "edgecolor": SYNTHETIC},
        medianprops={"color": MARK, "linewidth": 1.5},
        whiskerprops={"color": SYNTHETIC},
        capprops={"color": SYNTHETIC},
    )
    edges = bin_edges(recordings.length)
    for k, members in enumerate(bins):
        note(ax, str(len(members)), (k + 1, members.max(initial=edges[k])), (0, 4), ha="center")
    ax.set_xticks(range(1, len(bins) + 1), [f"{a}\nto {b - 1}" for a, b in pairwise(edges)])
    ax.set_ylim(-0.02 * recordings.length, 1.07 * recordings.length)
    ax.set(xlabel="tenth of the record (samples)", ylabel="place of the R peak (sample)")
    return figure


def rr_intervals(synthesis: Synthesis) -> Any:
    """Heart rates, and each RR interval against the next."""
    recordings = synthesis.recordings
    figure = _figure(recordings, "Heart rate of each record, and each RR interval against the next", 3.9)
    left, right = figure.subplots(1, 2)
    rates = Summary.of(synthesis.heart_rate)
    left.hist(
        synthesis.heart_rate,
        bins=np.arange(5 * (synthesis.heart_rate.min() // 5), synthesis.heart_rate.max() + 5, 5),
        color=SYNTHETIC,
    )
    left.axvline(rates.median, color=MARK, linewidth=1.2, label=f"median, {rates.median:.0f}")
    left.set(xlabel="mean heart rate (beats/min)", ylabel="records")
    left.set_xlim(0.9 * synthesis.heart_rate.min(), 1.05 * synthesis.heart_rate.max())
    left.yaxis.get_major_locator().set_params(integer=True)
    left.legend(loc="upper right")

    now = np.concatenate([rr[:-1] for rr in synthesis.rr])
    following = np.concatenate([rr[1:] for rr in synthesis.rr])
    longest = 1.05 * max(rr.max() for rr in synthesis.rr)
    right.plot([0, longest], [0, longest], color="#bbbbbb", linewidth=0.8, label="equal")
    right.plot(now, following, "o", color=SYNTHETIC, alpha=0.25, markersize=3, markeredgewidth=0)
    right.set(xlabel="RR interval (ms)", ylabel="next RR interval (ms)", xlim=(0, longest), ylim=(0, longest))
    right.set_aspect("equal")
    right.legend(loc="lower right")
    return figure


def wave_intervals(recordings: Recordings, intervals: Intervals) -> Any:
    """Median and 5 to 95 % of PR, QRS and QT beside the healthy ranges."""
    n = len(intervals.recorded)
    figure = _figure(recordings, f"Wave intervals of {plural(n, 'record')}: median, and 5 to 95 % of the records", 3.4)
    kinds = {
        "recorded": (f"{recordings.source.curve},\ndelineated", RECORDED),
        "synthetic": ("synthetic,\ndelineated", SYNTHETIC),
        "put in": ("synthetic,\nas put in", MARK),
    }
    axes = figure.subplots(1, len(HEALTHY), sharey=True)
    for ax, (name, healthy) in zip(axes, HEALTHY.items(), strict=True):
        ax.axvspan(*healthy, color=HEALTHY_RANGE)
        for place, (kind, (_, colour)) in enumerate(kinds.items()):
            summary = intervals.rows()[name][kind]
            ax.plot([summary.low, summary.high], [place] * 2, color=colour, linewidth=2.5)
            ax.plot(summary.median, place, "o", color=colour, markersize=8)
            if summary.n:
                note(ax, f"{summary.median:.0f}", (summary.median, place), (0, 8), ha="center", color=colour)
        ax.set_title(f"{name}; green: healthy, {healthy[0]} to {healthy[1]}", fontsize=9)
        ax.set(xlabel="ms", ylim=(len(kinds) - 0.5, -0.5))
        ax.grid(visible=False, axis="y")
    axes[0].set_yticks(range(len(kinds)), [label for label, _ in kinds.values()])
    return figure


def timing(recordings: Recordings, timings: Sequence[Timing]) -> Any:
    """Records per second of each backend and of NeuroKit2, on a logarithmic axis."""
    seconds = recordings.length / recordings.fs
    figure = _figure(
        recordings,
        f"ECGs of {seconds:g} s at {recordings.fs:g} Hz synthesised per second (medians)",
        1.1 + 0.6 * len(timings),
    )
    ax = figure.subplots()
    labels = [f"{t.name}\n{plural(t.threads, 'thread')}" for t in timings]
    rates = [t.records_per_second for t in timings]
    colours = [SYNTHETIC] * (len(timings) - 1) + [RECORDED]
    ax.barh(labels, rates, color=colours, height=0.6, log=True)
    for k, t in enumerate(timings):
        text = f"{number(t.records_per_second)} per second, {duration(t.seconds)} each"
        note(ax, text, (t.records_per_second, k), (5, 0), va="center")
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    decades = int(np.log10(max(rates))) + 1
    ax.set_xlim(1, 10.0 ** (1.9 * decades))  # room for the texts
    ax.set_xticks([10.0**k for k in range(decades + 1)])
    ax.minorticks_off()
    ax.set_xlabel("records per second")
    return figure


def _figure(recordings: Recordings, title: str, height: float) -> Any:
    """Start a figure that says what it shows, where the data come from, and if they are simulated."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    source = recordings.source
    if source.simulated:
        figure.suptitle(f"{SIMULATED}\n{title}", x=0.01, ha="left", color="#a11212")
    else:
        figure.suptitle(title, x=0.01, ha="left")
        credit = f"Data: {source.name}, doi:{source.doi}, {source.licence}"
        figure.supxlabel(credit, x=0.99, ha="right", fontsize=7, color="#666666")
    return figure
