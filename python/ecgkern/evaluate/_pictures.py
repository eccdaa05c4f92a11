"""The pictures of the report, as matplotlib figures without pyplot, and as PNG files. Grey is real, blue synthetic."""

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ecgkern import _style
from ecgkern._page import number, spread
from ecgkern._style import MARK, RECORDED, SYNTHETIC, WIDTH, note
from ecgkern.evaluate._compare import Comparison, Measured
from ecgkern.evaluate._features import RHYTHM, Floats, amplitudes, spectra_of
from ecgkern.evaluate._input import Pair

SHOWN_RECORDS = 4
_SHOWN_LEADS = ("II", "V2", "V5")
_SHOWN_SECONDS = 10.0
_MOST_PANELS = 12


def draw_all(comparisons: Sequence[Comparison], advance: Callable[[int, int], None]) -> dict[str, bytes]:
    """Draw every picture there is something for; return PNG files by name, of several sets in a folder each."""
    drawings: dict[str, Callable[[], Any]] = {}
    if comparisons[0].sizes[0]:
        drawings["yardstick.png"] = partial(yardstick, comparisons)
    of_sets = folders([comparison.pair for comparison in comparisons])
    for folder, comparison in zip(of_sets, comparisons, strict=True):
        drawings[f"{folder}permutations.png"] = partial(permutations, comparison)
        drawings[f"{folder}least_realistic.png"] = partial(least_realistic, comparison)
        drawings[f"{folder}ks.png"] = partial(ks, comparison)
        drawings[f"{folder}spectra.png"] = partial(spectra, comparison)
        if comparison.rhythm_pvalues:
            drawings[f"{folder}rhythm.png"] = partial(rhythm, comparison)
        drawings[f"{folder}amplitudes.png"] = partial(amplitude_ranges, comparison)
        drawings[f"{folder}nearest.png"] = partial(nearest, comparison)
    return _style.draw_all(drawings, advance)


def folders(pairs: Sequence[Pair]) -> list[str]:
    """Where the pictures of each set are: of a single one beside the report."""
    if len(pairs) == 1:
        return [""]
    labels = [re.sub(r"[^\w.-]+", "-", pair.synthetic.label) for pair in pairs]
    return [f"{k}-{label}/" for k, label in enumerate(labels, start=1)]


def permutations(comparison: Comparison) -> Any:
    """The MMD² of each test among those of the permutations."""
    figure = _figure("MMD² of the two samples, and of the permutations", 3.2)
    for ax, test in zip(figure.subplots(1, 2), comparison.tests, strict=True):
        ax.set_title(f"{test.name}, {_pvalue(test.pvalue)}")
        if test.null.size:
            ax.hist(test.null, bins=40, color="#b8bec4", label=f"{test.permuted} permuted")
        ax.axvline(test.statistic, 0, 0.72, color=MARK, linewidth=2, label="as they are")
        ax.set(xlabel="MMD²", ylabel="permutations")
        ax.set_ylim(0, 1.35 * ax.get_ylim()[1])  # room for the legend
        ax.ticklabel_format(axis="x", style="sci", scilimits=(-2, 3), useMathText=True)
        ax.legend(loc="upper right", fontsize=9)
    return figure


def _pvalue(p: float) -> str:
    return "no p-value" if math.isnan(p) else f"p = {p:.2g}"


def yardstick(comparisons: Sequence[Comparison]) -> Any:
    """Every distance: of the halves of the real records from each other, and from the records of each set."""
    shown = [
        of_sets
        for of_sets in zip(*(comparison.measured for comparison in comparisons), strict=True)
        if all(np.isfinite(m.to_real).all() and np.isfinite(m.to_synthetic).all() for m in of_sets)
    ]
    rows = max(1, -(-len(shown) // 2))
    one, others = comparisons[0].pair.real.label, [comparison.pair.synthetic.label for comparison in comparisons]
    whose = others[0] if len(others) == 1 else "each set"
    figure = _figure(
        f"From a random half ({one}) to the other half, and to as many records ({whose})",
        0.8 + (0.51 + 0.22 * (1 + len(others))) * rows,
    )
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    for ax, of_sets in zip(axes, shown, strict=False):
        _strips(ax, of_sets)
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    for ax in axes[: len(shown) : 2]:
        ax.set_yticks(range(1 + len(others)), [*others[::-1], one])
    return figure


def _strips(ax: Any, of_sets: Sequence[Measured]) -> None:
    first = of_sets[0]
    strips = [(first.to_real, RECORDED, "o"), *((m.to_synthetic, SYNTHETIC, "D") for m in of_sets)]
    most = _most_shown(of_sets)
    for place, (values, colour, marker) in zip(reversed(range(len(strips))), strips, strict=True):
        median, shown = np.median(values), values[values <= most]
        ax.plot(shown, np.full(len(shown), place), marker, color=colour, alpha=0.45, markersize=6, markeredgewidth=0)
        if median <= most:
            ax.plot(median, place, "|", color=colour, markersize=18, markeredgewidth=2)
        if len(shown) < len(values):
            style = {"xycoords": ax.get_yaxis_transform(), "color": colour, "ha": "right", "fontsize": 8}
            note(ax, f"median {number(float(median))} \N{RIGHTWARDS ARROW}", (1, place), (0, -3), **style)
    unit = f" ({first.metric.unit})" if first.metric.unit else ""
    ax.set_title(f"{first.metric.name}{unit}", fontsize=9)
    ax.set_yticks(range(len(strips)), [""] * len(strips))
    if np.ptp([values for values, _, _ in strips]) == 0:
        ax.set_xlim(first.to_real[0] - 0.05, first.to_real[0] + 1)
    ax.set_ylim(-0.6, len(strips) - 0.4)
    ax.grid(visible=False, axis="y")
    ax.tick_params(labelsize=8)
    ax.xaxis.get_major_locator().set_params(nbins=5)
    ax.ticklabel_format(axis="x", style="sci", scilimits=(-3, 4), useMathText=True)
    ax.xaxis.get_offset_text().set_fontsize(8)


def _most_shown(of_sets: Sequence[Measured]) -> float:
    """Where the axis ends, so that a set far off leaves room to tell the others from the real halves."""
    real = of_sets[0].to_real
    nearest = min((m.to_synthetic for m in of_sets), key=lambda values: abs(np.median(values) - np.median(real)))
    near = np.concatenate([real, nearest])
    return float(near.max() + 10 * np.ptp(near)) if np.ptp(near) else math.inf


def least_realistic(comparison: Comparison) -> Any:
    """Ordinary real records beside the synthetic ones with the smallest values of the witness function."""
    pair = comparison.pair
    left, right = typical(comparison.witness_real), least(comparison.witness_synthetic)
    rows = max(len(left), len(right))
    leads = _shown_leads(pair.leads)
    figure = _figure(
        f"Ordinary records ({pair.real.label}), and the least realistic ones ({pair.synthetic.label})",
        0.7 + 1.75 * rows,
    )
    axes = figure.subplots(rows, 2, sharex=True, squeeze=False)
    every = [pair.real.signals[i] for i in left] + [pair.synthetic.signals[i] for i in right]
    places = [pair.leads.index(lead) for lead in leads]
    step = _step([signals[places] for signals in every])
    for column, (side, chosen, witness, colour) in enumerate(
        (
            (pair.real, left, comparison.witness_real, RECORDED),
            (pair.synthetic, right, comparison.witness_synthetic, SYNTHETIC),
        )
    ):
        for ax, i in zip(axes[:, column], chosen, strict=False):
            _trace(ax, side.signals[i][places], leads, pair.fs, step, colour)
            ax.set_title(f"{side.label}, {side.names[i]}: witness {witness[i]:+.3f}", fontsize=9)
        for ax in axes[len(chosen) :, column]:
            ax.set_axis_off()
        axes[min(rows, len(chosen)) - 1, column].set_xlabel("time (s)")
    _scale_bar(axes[0, 1])
    return figure


def typical(witness: Floats) -> list[int]:
    """Records whose witness values are nearest to the median."""
    order = np.argsort(np.abs(witness - np.median(witness)), kind="stable")
    return [int(i) for i in order[:SHOWN_RECORDS]]


def least(witness: Floats) -> list[int]:
    """Records with the smallest witness values, the smallest first."""
    return [int(i) for i in np.argsort(witness, kind="stable")[:SHOWN_RECORDS]]


def _shown_leads(leads: Sequence[str]) -> tuple[str, ...]:
    wanted = tuple(lead for lead in _SHOWN_LEADS if lead in leads)
    return wanted if len(wanted) >= min(2, len(leads)) else tuple(leads[:3])


def _step(records: Sequence[Any]) -> float:
    """What to move one lead against the next by, in mV: so much that in most of the records they do not overlap."""
    centred = [r - np.median(r, axis=1, keepdims=True) for r in records]
    needed = [(np.roll(r.max(axis=1), -1) - r.min(axis=1)).max() for r in centred]
    return max(0.5, float(np.ceil(2 * np.percentile(needed, 75)) / 2))


def _trace(ax: Any, signals: Any, leads: Sequence[str], fs: float, step: float, colour: str) -> None:
    n = min(signals.shape[1], round(_SHOWN_SECONDS * fs))
    seconds = np.arange(n) / fs
    for k, lead in enumerate(signals[:, :n]):
        ax.plot(seconds, lead - np.median(lead) - k * step, color=colour, linewidth=0.8)
    ax.set_yticks([-k * step for k in range(len(leads))], leads)
    ax.set_ylim(-(len(leads) - 0.4) * step, 0.9 * step)  # the same for all: one scale; what is higher is cut
    ax.tick_params(labelsize=8)
    ax.margins(x=0.005)


def _scale_bar(ax: Any) -> None:
    """A bar of 1 mV outside the axes, above the end of the uppermost lead."""
    place = {"transform": ax.get_yaxis_transform(), "clip_on": False}
    ax.plot([1.015, 1.015], [0, 1], color=MARK, linewidth=2, **place)
    ax.text(1.03, 0.5, "1 mV", color=MARK, fontsize=8, va="center", rotation=90, **place)


def ks(comparison: Comparison) -> Any:
    """The KS statistic of every sample of the records."""
    pair, statistic = comparison.pair, np.asarray(comparison.ks.statistic)
    figure = _figure("Where the values differ: KS statistic of each sample", 1.9 + 0.19 * len(pair.leads))
    ax = figure.subplots()
    image = ax.imshow(
        statistic,
        aspect="auto",
        cmap="cividis",
        vmin=0,
        vmax=max(0.1, statistic.max()),
        interpolation="nearest",
        extent=(0, pair.length / pair.fs, len(pair.leads) - 0.5, -0.5),
    )
    ax.set_yticks(range(len(pair.leads)), pair.leads)
    ax.grid(visible=False)
    ax.set_xlabel("time (s)")
    bar = figure.colorbar(image, ax=ax, pad=0.01)
    rejected = statistic[np.asarray(comparison.ks.pvalue) <= 0.05]
    if rejected.size:
        bar.ax.axhline(rejected.min(), color="#ffffff", linewidth=2)
        note(bar.ax, "5 %", (1, rejected.min()), (32, -3), fontsize=8)
    return figure


def spectra(comparison: Comparison) -> Any:
    """Mean power spectra of each lead, and the range of the real ones."""
    pair = comparison.pair
    frequencies, _ = spectra_of(pair.real.signals[:1], pair.fs)
    places = spread(range(len(pair.leads)), _MOST_PANELS)
    columns = min(3, len(places))
    rows = -(-len(places) // columns)
    figure = _figure("Power spectra: mean, and 5 to 95 % of the records", 1.1 + (1.5 if rows > 1 else 2.6) * rows)
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax, k in zip(axes.ravel(), places, strict=False):
        for side, features, colour, style in (
            (pair.real, comparison.real, RECORDED, "-"),
            (pair.synthetic, comparison.synthetic, SYNTHETIC, "--"),
        ):
            density = features.spectra[:, k]
            low, high = (_decibels(np.percentile(density, q, axis=0)) for q in (5, 95))
            ax.fill_between(frequencies, low, high, color=colour, alpha=0.16, linewidth=0)
            ax.plot(frequencies, _decibels(density.mean(axis=0)), style, color=colour, linewidth=1.5, label=side.label)
        ax.set_title(pair.leads[k])
        ax.margins(x=0)
    for ax in axes.ravel()[len(places) :]:
        ax.set_axis_off()
    axes[0, 0].legend(loc="upper right", fontsize=8)
    top = max(ax.dataLim.y1 for ax in axes.ravel()[: len(places)])
    axes[0, 0].set_ylim(max(axes[0, 0].get_ylim()[0], top - 90), top + 5)
    figure.supylabel("dB of 1 mV²/Hz", fontsize=10)
    for ax in axes[-1]:
        ax.set_xlabel("frequency (Hz)")
    return figure


def _decibels(density: Floats) -> Floats:
    return np.asarray(10 * np.log10(np.maximum(density, 1e-15)))


def rhythm(comparison: Comparison) -> Any:
    """Heart rate and its variability, record by record."""
    pair = comparison.pair
    sides = ((pair.real, comparison.real, RECORDED), (pair.synthetic, comparison.synthetic, SYNTHETIC))
    figure = _figure(f"Heart rates, from the R peaks of {lead_name(pair.leads[pair.rhythm_lead or 0])}", 3.3)
    for column, (ax, (name, unit)) in enumerate(zip(figure.subplots(1, 3), RHYTHM.items(), strict=True)):
        values = [np.asarray(features.rhythm)[:, column] for _, features, _ in sides]
        values = [v[np.isfinite(v)] for v in values]
        ax.set_title(f"{name}, KS {_pvalue(comparison.rhythm_pvalues[name])}")
        ax.set(xlabel=f"{name} ({unit})")
        if not all(v.size for v in values):
            note(ax, "too few R peaks", (0.5, 0.5), (0, 0), xycoords="axes fraction", ha="center")
            continue
        # A few records with wrong R peaks must not squeeze the rest; those beyond count in the last bar.
        pooled = np.concatenate(values)
        low, high = np.percentile(pooled, [1, 98]) if pooled.size > 50 else (pooled.min(), pooled.max())
        edges = np.linspace(low, max(high, low + 1e-9), 16)
        for v, (side, _, colour), hatch in zip(values, sides, (None, "///"), strict=True):
            weights = np.full(v.size, 100 / v.size)
            ax.hist(np.clip(v, edges[0], edges[-1]), edges, weights=weights, color=colour, alpha=0.25)
            ax.hist(
                np.clip(v, edges[0], edges[-1]),
                edges,
                weights=weights,
                histtype="step",
                color=colour,
                linewidth=1.6,
                linestyle="--" if hatch else "-",
                label=side.label,
            )
        ax.set_ylim(0, 1.3 * ax.get_ylim()[1])
        if column == 0:
            ax.set_ylabel("% of the records")
            ax.legend(loc="upper right", fontsize=8)
    return figure


def amplitude_ranges(comparison: Comparison) -> Any:
    """The range of the values of each lead."""
    pair = comparison.pair
    figure = _figure("Amplitudes: 1 to 99 % of all values (bar), least and largest (line), median (white)", 3.4)
    ax = figure.subplots()
    for shift, side, colour in ((-0.17, pair.real, RECORDED), (0.17, pair.synthetic, SYNTHETIC)):
        least_, low, middle, high, most = amplitudes(side.signals).T
        places = np.arange(len(pair.leads)) + shift
        ax.vlines(places, least_, most, color=colour, linewidth=1)
        ax.bar(places, high - low, 0.28, bottom=low, color=colour, label=side.label)
        ax.hlines(middle, places - 0.14, places + 0.14, color="#ffffff", linewidth=1.5)
    ax.set_xticks(range(len(pair.leads)), pair.leads)
    ax.grid(visible=False, axis="x")
    ax.set_ylabel("mV")
    ax.set_ylim(ax.get_ylim()[0], ax.get_ylim()[1] + 0.15 * np.ptp(ax.get_ylim()))
    ax.legend(loc="upper right", ncols=2)
    return figure


def nearest(comparison: Comparison) -> Any:
    """How far each record is from the nearest real one."""
    found, pair = comparison.nearest, comparison.pair
    figure = _figure(f"DTW distance from the nearest {pair.real.label} record, {lead_name(found.lead)}", 3.0)
    ax = figure.subplots()
    real = found.real[np.isfinite(found.real)]
    edges = np.histogram_bin_edges(np.concatenate([real, found.synthetic]), 30)
    for values, label, colour, style in (
        (real, f"from other {pair.real.label} records", RECORDED, "-"),
        (found.synthetic, f"{pair.synthetic.label}", SYNTHETIC, "--"),
    ):
        if values.size:
            weights = np.full(values.size, 100 / values.size)
            ax.hist(values, edges, weights=weights, color=colour, alpha=0.25)
            ax.hist(
                values,
                edges,
                weights=weights,
                histtype="step",
                color=colour,
                linewidth=1.6,
                linestyle=style,
                label=f"{label}, mean {values.mean():.3g} mV",
            )
    ax.set(xlabel="mV, root mean square", ylabel="% of the records")
    ax.legend(loc="upper right", fontsize=9)
    return figure


def lead_name(lead: str) -> str:
    """A lead in a sentence; those without names are called lead 0, lead 1 and so on already."""
    return lead if lead.startswith("lead ") else f"lead {lead}"


def _figure(title: str, height: float) -> Any:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    return figure
