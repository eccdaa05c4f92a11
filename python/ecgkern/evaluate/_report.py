"""``report.json`` with every number, the table on the terminal, and ``report.html`` with the pictures in it."""

import datetime
import math
import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import ecgkern
from ecgkern._page import document, figure, number, plural, processor, table, text, tiles, versions, without_nan
from ecgkern.evaluate._compare import (
    DTW_WINDOW,
    LEVEL,
    N_SPLITS,
    Comparison,
    Measured,
    PermutationTest,
    share_rejected,
)
from ecgkern.evaluate._features import PERCENTILES, RHYTHM, SEGMENT, Features, amplitudes, heights, limb_leads
from ecgkern.evaluate._input import Pair, Side
from ecgkern.evaluate._pictures import lead_name, least, typical

_LIBRARIES = ("numpy", "numba", "scipy", "neurokit2", "wfdb", "pandas", "matplotlib")
_QUANTILES = {"low": 5, "median": 50, "high": 95}


def summarise(
    comparisons: Sequence[Comparison], settings: Mapping[str, Any], seconds: Mapping[str, float]
) -> dict[str, Any]:
    """All the numbers of the report on one set, as JSON has them."""
    (comparison,) = comparisons
    numbers: dict[str, Any] = without_nan(
        {"title": _title(comparison.pair), **run_of(comparison, settings, seconds), **numbers_of(comparison)}
    )
    return numbers


def run_of(comparison: Comparison, settings: Mapping[str, Any], seconds: Mapping[str, float]) -> dict[str, Any]:
    """What any set beside the same real records has in common, and the run."""
    pair = comparison.pair
    return {
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "notice": "Not for clinical use.",
        "notes": comparison.notes,
        "real": _side(pair.real),
        "leads": list(pair.leads),
        "sampling_rate_hz": pair.fs,
        "samples_per_record": pair.length,
        "settings": dict(settings),
        "seconds": dict(seconds),
        "software": {"ecgkern": ecgkern.__version__, "python": platform.python_version(), **versions(_LIBRARIES)},
        "machine": {"processor": processor(), "processors": os.cpu_count(), "system": platform.platform()},
    }


def numbers_of(comparison: Comparison) -> dict[str, Any]:
    """The numbers of one set beside the real records."""
    pair, nearest = comparison.pair, comparison.nearest
    return {
        "real": _side(pair.real),
        "synthetic": _side(pair.synthetic),
        "tests": {test.name: _test(test) for test in comparison.tests},
        "halves": {"splits": N_SPLITS, "records": comparison.sizes[0], "compared_with": comparison.sizes[1]},
        "distances": {m.metric.name: _distance(m) for m in comparison.measured},
        "ks": {
            "samples": int(np.asarray(comparison.ks.pvalue).size),
            "share_rejected_by_lead": {
                lead: share_rejected(np.asarray(p), adjusted=False)
                for lead, p in zip(pair.leads, comparison.ks.pvalue, strict=True)
            },
        },
        "rhythm": {
            "pvalues": comparison.rhythm_pvalues,
            "real": _rhythm(comparison.real),
            "synthetic": _rhythm(comparison.synthetic),
        },
        "limb_leads_mv": {
            name: {lead: _quantiles(rms) for lead, rms in limb_leads(side.signals, pair.leads).items()}
            for name, side in (("real", pair.real), ("synthetic", pair.synthetic))
        },
        "amplitudes_mv": {
            name: _amplitudes(side, pair.leads) for name, side in (("real", pair.real), ("synthetic", pair.synthetic))
        },
        "share_beyond_real_range": _share_beyond(pair),
        "nearest_real_dtw_mv": {
            "lead": nearest.lead,
            "sampling_rate_hz": nearest.fs,
            "seconds": nearest.seconds,
            "window_s": DTW_WINDOW,
            "synthetic": _spread(nearest.synthetic),
            "real": _spread(nearest.real),
            "synthetic_closer_than_any_two_real": nearest.closer_than_any,
        },
        "least_realistic": [
            {"name": pair.synthetic.names[i], "witness": float(comparison.witness_synthetic[i])}
            for i in least(comparison.witness_synthetic)
        ],
        "ordinary": [
            {"name": pair.real.names[i], "witness": float(comparison.witness_real[i])}
            for i in typical(comparison.witness_real)
        ],
        "witness": {
            "real": dict(zip(pair.real.names, np.asarray(comparison.witness_real, float).tolist(), strict=True)),
            "synthetic": dict(
                zip(pair.synthetic.names, np.asarray(comparison.witness_synthetic, float).tolist(), strict=True)
            ),
        },
    }


def _title(pair: Pair) -> str:
    if pair.synthetic.label == "synthetic":
        return f"{plural(len(pair.synthetic), 'synthetic ECG')} beside {len(pair.real)} real ones"
    return f"Two halves of {len(pair.real) + len(pair.synthetic)} real ECGs"


def _side(side: Side) -> dict[str, Any]:
    return {
        "label": side.label,
        "place": side.place,
        "records": len(side),
        "patients": None if side.patients is None else int(np.unique(side.patients).size),
        "left_out": [skipped._asdict() for skipped in side.skipped],
    }


def _test(test: PermutationTest) -> dict[str, Any]:
    return {
        "mmd2": test.statistic,
        "pvalue": test.pvalue,
        "kernel": "gaussian",
        "bandwidth": test.bandwidth,
        "method": test.method,
        "permuted": test.permuted,
        "n_resamples": int(test.null.size),
        "reason": test.reason,
    }


def _distance(m: Measured) -> dict[str, Any]:
    return {
        "value": m.value,
        "unit": m.metric.unit,
        "about": m.metric.about,
        "reason": m.reason,
        "real_half_to_synthetic": m.to_synthetic.tolist(),
        "real_half_to_real_half": m.to_real.tolist(),
        "splits_farther": m.farther,
    }


def _quantiles(values: Any) -> dict[str, Any]:
    """Median and 5 to 95 % of the finite values, and how many there are."""
    finite = np.asarray(values, float)[np.isfinite(values)]
    if not finite.size:
        return dict.fromkeys(_QUANTILES, math.nan) | {"n": 0}
    found = np.percentile(finite, list(_QUANTILES.values())).tolist()
    return dict(zip(_QUANTILES, found, strict=True)) | {"n": int(finite.size)}


def _spread(values: Any) -> dict[str, Any]:
    finite = np.asarray(values, float)[np.isfinite(values)]
    ends = {"mean": float(finite.mean()), "min": float(finite.min())} if finite.size else {"mean": None, "min": None}
    return ends | _quantiles(values)


def _rhythm(side: Features) -> dict[str, Any] | None:
    if side.rhythm is None:
        return None
    return {name: _quantiles(side.rhythm[:, k]) for k, name in enumerate(RHYTHM)}


def _amplitudes(side: Side, leads: Sequence[str]) -> dict[str, Any]:
    peak_to_peak = heights(side.signals)
    return {
        lead: {
            "percentiles": dict(zip(map(str, PERCENTILES), row.tolist(), strict=True)),
            "peak_to_peak": _quantiles(peak_to_peak[:, k]),
        }
        for k, (lead, row) in enumerate(zip(leads, amplitudes(side.signals), strict=True))
    }


def _share_beyond(pair: Pair) -> float:
    """Share of the synthetic values that are beyond the range of the real ones of their lead."""
    low, high = (f(pair.real.signals, axis=(0, 2))[:, None] for f in (np.min, np.max))
    return float(((pair.synthetic.signals < low) | (pair.synthetic.signals > high)).mean())


# --- words --------------------------------------------------------------------------------------------------------


def verdict(numbers: Mapping[str, Any]) -> str:
    """One or two sentences on what the tests say, and what they do not."""
    found = {name: test["pvalue"] for name, test in numbers["tests"].items() if test["pvalue"] is not None}
    if not found:
        return "No test could be made: " + "; ".join(test["reason"] for test in numbers["tests"].values()) + "."
    said = " and ".join(f"p = {p:.3g} on the {name}" for name, p in found.items())
    # Two tests: either may err, so each has half of the level.
    if min(found.values()) <= LEVEL / len(found):
        return f"The two samples can be told apart: {said}."
    sizes = f"{numbers['real']['records']} and {numbers['synthetic']['records']} records"
    if min(test["n_resamples"] for test in numbers["tests"].values()) < len(found) / LEVEL - 1:
        return f"Nothing can be said: {said}, but {sizes} or their permutations are too few for a test."
    return f"The two samples cannot be told apart: {said}. With {sizes} these tests may miss small differences."


def terminal(numbers: Mapping[str, Any]) -> str:
    """The table on the terminal: of the halves the medians alone."""
    lines = aligned([_headings(numbers), *_distance_rows(numbers), *_other_rows(numbers)])
    left_out = [f"{name}: not computed, {d['reason']}" for name, d in numbers["distances"].items() if d["reason"]]
    worst = ", ".join(f"{record['name']} ({record['witness']:+.3f})" for record in numbers["least_realistic"])
    return paragraphs(
        numbers["notes"],
        [*lines, *left_out],
        [*_about_columns(numbers), f"Least realistic, by the witness function: {worst}.", verdict(numbers)],
    )


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows of a table as lines, numbers to the right."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["  ".join(f"{cell:{'>' if k else '<'}{widths[k]}}" for k, cell in enumerate(row)) for row in rows]


def paragraphs(*parts: Sequence[str]) -> str:
    """Return the lines of each part that has some, with an empty line between the parts."""
    return "\n\n".join("\n".join(line.rstrip() for line in lines) for lines in parts if lines)


def _headings(numbers: Mapping[str, Any]) -> list[str]:
    halves = numbers["halves"]
    first, second = _labels(numbers)
    if not halves["records"]:
        return ["", f"{first} v {second}", "p", "", f"within {first}", ""]
    return [
        "",
        f"{first} v {second}",
        "p",
        f"{halves['records']} v {halves['compared_with']}",
        f"within {first}",
        "farther in",
    ]


def _about_columns(numbers: Mapping[str, Any]) -> list[str]:
    halves = numbers["halves"]
    if not halves["records"]:
        return ["There are too few real records, or patients, for two halves: the distances have no yardstick."]
    return [
        f"The columns after p: {halves['splits']} random halves ({halves['records']} v {halves['compared_with']} "
        "records), and "
        "in how many the other sample is farther off than the other half."
    ]


def pvalues(numbers: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the p-values of the distances that have one."""
    of_tests = {f"MMD², {name}": test["pvalue"] for name, test in numbers["tests"].items()}
    return of_tests | {f"{name}, KS": p for name, p in numbers["rhythm"]["pvalues"].items()}


def with_unit(name: str, unit: str) -> str:
    """Return the name of a number with its unit, if it has one."""
    return f"{name} ({unit})" if unit else name


def _distance_rows(numbers: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for name, distance in numbers["distances"].items():
        p = pvalues(numbers).get(name)
        known = [v for v in distance["real_half_to_real_half"] if v is not None]
        rows.append(
            [
                with_unit(name, distance["unit"]),
                short(distance["value"]),
                "" if p is None else f"{p:.2g}",
                *(cell(median(distance[f"real_half_to_{other}"])) for other in ("synthetic", "real_half")),
                f"{distance['splits_farther']} of {len(known)}" if known else "",
            ]
        )
    return rows


def _other_rows(numbers: Mapping[str, Any]) -> list[list[str]]:
    """What has the real records themselves as its yardstick."""
    nearest, limb_leads_of = numbers["nearest_real_dtw_mv"], numbers["limb_leads_mv"]
    means = [short(nearest[side]["mean"]) for side in ("synthetic", "real")]
    rows = [["DTW to the nearest real record (mV)", means[0], "", "", means[1], ""]]
    for lead in limb_leads_of["real"]:
        here, there = (f"{1000 * limb_leads_of[side][lead]['median']:.2f}" for side in ("synthetic", "real"))
        rows.append([f"{lead} less its value from I and II (µV)", here, "", "", there, ""])
    return rows


def short(value: float | None) -> str:
    """Return a number with three digits that count, or a dash for none."""
    return "-" if value is None else number(value)


def cell(value: float | None) -> str:
    """Return a number as `short` does, or nothing for none."""
    return "" if value is None else short(value)


def median(values: Sequence[float | None]) -> float | None:
    """Return the median of the values that there are."""
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


# --- the page -----------------------------------------------------------------------------------------------------


def page(numbers: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """Return the report as one HTML page that needs no other file."""
    sides = [numbers["real"], numbers["synthetic"]]
    body = [
        *head(numbers, sides),
        f'<p class="verdict"><strong>{text(verdict(numbers))}</strong></p>',
        _tiles(numbers),
        notes(numbers),
        *sections(numbers, pictures),
        *foot(numbers, sides),
    ]
    return document(f"{numbers['title']} - ecgkern evaluate", body)


def head(numbers: Mapping[str, Any], sides: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the title, and what was compared."""
    return [
        f"<h1>{text(numbers['title'])}</h1>",
        f"<p>{_introduction(numbers, sides)} <strong>{numbers['notice']}</strong></p>",
    ]


def notes(numbers: Mapping[str, Any]) -> str:
    """Return what is to be known before the numbers are."""
    items = "".join(f"<li>{text(line)}</li>" for line in numbers["notes"])
    return f"<ul>{items}</ul>" if items else ""


def foot(numbers: Mapping[str, Any], sides: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return where the records are from, and what computed."""
    return ["<h2>Records, software and machine</h2>", _sources(numbers, sides)]


def sections(numbers: Mapping[str, Any], pictures: Mapping[str, bytes]) -> list[str]:
    """Return all tables and pictures of one set beside the real records."""
    return [
        "<h2>Distances and their yardstick</h2>",
        f"<p>{_about_yardstick(numbers)}</p>",
        table(_headings(numbers), _distance_rows(numbers), "numbers"),
        _reasons(numbers),
        _shown(
            "yardstick.png",
            pictures,
            "Each mark is one division of the real records, the bar their median. Blue "
            "marks that lie among the grey ones are what good synthetic records give.",
        ),
        _what_they_are(numbers),
        "<h2>Permutation tests</h2>",
        _shown("permutations.png", pictures, _about_tests(numbers)),
        "<h2>The least realistic records</h2>",
        _shown("least_realistic.png", pictures, _about_witness()),
        "<h2>Values, sample by sample</h2>",
        _shown("ks.png", pictures, _about_ks(numbers)),
        "<h2>Spectra</h2>",
        _shown(
            "spectra.png",
            pictures,
            f"Welch's estimate with segments of {SEGMENT} samples or the whole record, Hann "
            "window; the mean over the records, and the range that 90 % of them are in.",
        ),
        "<h2>Heart rate</h2>",
        *_rhythm_part(numbers, pictures),
        "<h2>Limb leads</h2>",
        _limb_leads(numbers),
        "<h2>Amplitudes</h2>",
        _shown("amplitudes.png", pictures, _about_amplitudes(numbers)),
        "<h2>Nearest real records</h2>",
        _shown("nearest.png", pictures, _about_nearest(numbers)),
    ]


def _shown(name: str, pictures: Mapping[str, bytes], caption: str) -> str:
    return figure(name, pictures, caption) if name in pictures else ""


def _introduction(numbers: Mapping[str, Any], sides: Sequence[Mapping[str, Any]]) -> str:
    first, *others = (f"{plural(side['records'], 'record')} of {text(side['place'])}" for side in sides)
    return (
        f"ecgkern {numbers['software']['ecgkern']} compared {first} with {', '.join(others)}: "
        f"{plural(len(numbers['leads']), 'lead')} of {numbers['samples_per_record']} samples at "
        f"{numbers['sampling_rate_hz']:g} Hz. Values are taken to be in mV."
    )


def _tiles(numbers: Mapping[str, Any]) -> str:
    values = {"real records": str(numbers["real"]["records"]), "compared with": str(numbers["synthetic"]["records"])}
    for name, test in numbers["tests"].items():
        values[f"p of the MMD test on {name}"] = short(test["pvalue"])
    rejects = numbers["distances"]["KS rejects at 5 %"]["value"]
    values["of the samples KS rejects at 5 %"] = "-" if rejects is None else f"{rejects:.1f} %"
    return tiles(values)


def _about_yardstick(numbers: Mapping[str, Any]) -> str:
    halves = numbers["halves"]
    if not halves["records"]:
        return _about_columns(numbers)[0]
    whole = "whole patients, " if numbers["real"]["patients"] is not None else ""
    return (
        "Most distances have no scale of their own, and grow as samples get smaller. So the real records were "
        f"divided {halves['splits']} times at random into halves ({whole}{halves['records']} and "
        f"{halves['compared_with']} records in the first division), and one half was compared with "
        f"{halves['compared_with']} records of the other sample and with the other half: the medians are given. The "
        "last column counts the divisions in which the other sample was farther away than the real half: about half "
        "of them if it is as good as real records, all of them if it is plainly different. Hardly any is as telling: "
        "records that vary less than real ones come out nearer by energy, Fréchet and Wasserstein distance. The "
        "first column is of all records."
    )


def _reasons(numbers: Mapping[str, Any]) -> str:
    said = [f"{name}: {d['reason']}" for name, d in numbers["distances"].items() if d["reason"]]
    return f'<p class="soft">Not computed: {text("; ".join(said))}.</p>' if said else ""


def _what_they_are(numbers: Mapping[str, Any]) -> str:
    items = "".join(f"<li>{text(name)}: {text(d['about'])}.</li>" for name, d in numbers["distances"].items())
    return f"<details><summary>What each distance is</summary><ul>{items}</ul></details>"


def _about_tests(numbers: Mapping[str, Any]) -> str:
    said = []
    for name, test in numbers["tests"].items():
        if test["reason"]:
            said.append(f"{name}: {test['reason']}")
            continue
        how = "all divisions" if test["method"] == "exact" else f"{test['n_resamples']} permutations"
        said.append(
            f"{name}: MMD² {short(test['mmd2'])}, p = {short(test['pvalue'])} ({how} of {test['permuted']}, "
            f"sigma = {test['bandwidth']:.4g})"
        )
    return (
        f"{text('; '.join(said))}. MMD² is the unbiased estimate with a Gaussian kernel, whose sigma is the median "
        "distance of the pooled records; it may be negative. Signals are all values of a record as they are, so "
        "where the beats lie matters; spectra are the powers of each lead in octave bands (log10, in standard "
        "deviations), where it does not. p is how often permuted records give as large a value."
    )


def _about_witness() -> str:
    return (
        "The witness function of the MMD on the spectra: the mean similarity to the real records less that to the "
        "synthetic ones. Left, real records with values nearest to the median; right, the synthetic records with the "
        "smallest, each lead less its median, on one scale. A record is least realistic where synthetic records "
        "crowd and real ones are rare; one that resembles neither has a value near 0."
    )


def _about_ks(numbers: Mapping[str, Any]) -> str:
    plain, adjusted = (numbers["distances"][name]["value"] for name in ("KS rejects at 5 %", "KS rejects, adjusted"))
    by_lead = ", ".join(
        f"{lead} {100 * share:.0f} %" for lead, share in numbers["ks"]["share_rejected_by_lead"].items()
    )
    return (
        f"Two-sample Kolmogorov-Smirnov tests of the {number(numbers['ks']['samples'])} values of a record, one by "
        f"one, over the records. {short(plain)} % of them reject at 5 %; if there were no difference, it would be 5 "
        "% or a little less on average, but neighbouring samples go together, so that the share scatters widely: see "
        f"the yardstick. After the correction of Benjamini and Hochberg for so many tests {short(adjusted)} % remain "
        f"(0 if there is no difference). By lead: {text(by_lead)}. The white line in the colour bar is the least "
        "value that is rejected."
    )


def _rhythm_part(numbers: Mapping[str, Any], pictures: Mapping[str, bytes]) -> list[str]:
    if not numbers["rhythm"]["pvalues"]:
        return [f"<p>Not looked at: {numbers['distances']['heart rate, KS']['reason']}.</p>"]
    return [_shown("rhythm.png", pictures, _about_rhythm(numbers)), _rhythm_table(numbers)]


def _about_rhythm(numbers: Mapping[str, Any]) -> str:
    counted = [numbers["rhythm"][side]["heart rate"]["n"] for side in ("real", "synthetic")]
    return (
        "R peaks by NeuroKit2. Of each record: mean heart rate, standard deviation of the RR intervals (SDNN) and "
        f"root mean square of their successive differences (RMSSD). {counted[0]} of {numbers['real']['records']} and "
        f"{counted[1]} of {numbers['synthetic']['records']} records have the three R peaks that this needs. The "
        "p-values take records as independent. Where there are more than 50 records, the outermost bars hold what is "
        "beyond, too."
    )


def _rhythm_table(numbers: Mapping[str, Any]) -> str:
    rhythm = numbers["rhythm"]
    rows = [
        [
            f"{name} ({unit})",
            *(_range(rhythm[side][name]) for side in ("real", "synthetic")),
            short(rhythm["pvalues"][name]),
        ]
        for name, unit in RHYTHM.items()
    ]
    return table(["median (5 to 95 %)", *_labels(numbers), "KS p"], rows, "numbers")


def _limb_leads(numbers: Mapping[str, Any]) -> str:
    found = numbers["limb_leads_mv"]
    if not found["real"]:
        return "<p>Leads I and II and one that follows from them are not all there, or not known by name.</p>"
    rows = [[lead, *(_micro(found[side][lead]) for side in ("real", "synthetic"))] for lead in found["real"]]
    return (
        "<p>III = II - I, aVR = -(I + II)/2, aVL = I - II/2 and aVF = II - I/2, up to the rounding of the recorder "
        "(1 or 2 µV). Root mean square of what each record lacks:</p>"
        + table(["µV: median (5 to 95 %)", *_labels(numbers)], rows, "numbers")
    )


def _about_amplitudes(numbers: Mapping[str, Any]) -> str:
    heights_of = {
        side: ", ".join(
            f"{lead} {values['peak_to_peak']['median']:.2f}" for lead, values in numbers["amplitudes_mv"][side].items()
        )
        for side in ("real", "synthetic")
    }
    first, second = _labels(numbers)
    return (
        f"{100 * numbers['share_beyond_real_range']:.2g} % of the values of the second sample are beyond the range of "
        f"the first. Median height from peak to peak in mV, {text(first)}: {text(heights_of['real'])}; "
        f"{text(second)}: {text(heights_of['synthetic'])}."
    )


def _about_nearest(numbers: Mapping[str, Any]) -> str:
    found = numbers["nearest_real_dtw_mv"]
    copies = found["synthetic_closer_than_any_two_real"]
    return (
        f"Dynamic time warping of {text(lead_name(found['lead']))}, its first {found['seconds']:g} s at "
        f"{found['sampling_rate_hz']:.3g} Hz (averaged), a band of {found['window_s']:g} s, at most "
        f"{found['synthetic']['n']} and {found['real']['n']} records, evenly spread; divided by the root of the "
        "number of samples. The yardstick is how far real records are from the nearest other one (of another "
        f"patient, where these are known): {short(found['real']['mean'])} mV on average, against "
        f"{short(found['synthetic']['mean'])} mV. Far larger distances are unlike any real record; far smaller ones "
        f"are copies, or low and flat. {plural(copies, 'record')} of the second sample "
        f"{'is' if copies == 1 else 'are'} nearer to a real one than any two real ones are."
    )


def _sources(numbers: Mapping[str, Any], sides: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for side in sides:
        known = "" if side["patients"] is None else f", {plural(side['patients'], 'patient')}"
        out = side["left_out"]
        said = "; ".join(f"{left_out['name']}: {left_out['reason']}" for left_out in out[:5])
        lost = f"; left out: {said}" if out else ""
        more = f" and {len(out) - 5} more, listed in report.json" if len(out) > 5 else ""
        rows.append([side["label"], f"{side['place']}: {plural(side['records'], 'record')}{known}{lost}{more}"])
    settings, machine = numbers["settings"], numbers["machine"]
    rows += [
        ["leads", ", ".join(numbers["leads"])],
        ["settings", ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())],
        ["versions", ", ".join(f"{name} {version}" for name, version in numbers["software"].items())],
        ["processor", f"{machine['processor']}, {machine['processors']} seen by the system"],
        ["system", machine["system"]],
        ["steps", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in numbers["seconds"].items())],
        ["made", numbers["created"]],
    ]
    return table(None, rows, "plain")


def _labels(numbers: Mapping[str, Any]) -> list[str]:
    return [numbers[side]["label"] for side in ("real", "synthetic")]


def _range(summary: Mapping[str, Any], scale: float = 1.0, form: str = ".3g") -> str:
    if summary["median"] is None:
        return "none found"
    median, low, high = (f"{scale * summary[key]:{form}}" for key in ("median", "low", "high"))
    return f"{median} ({low} to {high})"


def _micro(summary: Mapping[str, Any]) -> str:
    """A range in µV of values in mV; less than a hundredth is rounding."""
    return _range(summary, 1000, ".2f")
