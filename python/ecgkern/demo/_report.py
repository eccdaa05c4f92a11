"""``report.json`` with every number, ``report.html`` with the pictures in it; each file appears whole or not at all."""

import datetime
import math
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ecgkern
from ecgkern._page import (
    document,
    duration,
    figure,
    number,
    processor,
    table,
    text,
    tiles,
    versions,
    without_nan,
    write_report,
)
from ecgkern.data import Skipped
from ecgkern.demo._analysis import (
    LEAST_R_HEIGHT,
    Summary,
    Synthesis,
    bin_edges,
    count_at_samples,
    temporal_bins,
    threads_of,
)
from ecgkern.demo._intervals import DELINEATION_FS, HEALTHY, REACH, Intervals, at_60_bpm
from ecgkern.demo._pictures import SIMULATED
from ecgkern.demo._timing import Timing

_LIBRARIES = ("numpy", "numba", "neurokit2", "wfdb", "pandas", "scipy", "matplotlib")
_BOX = ("min", "q1", "median", "q3", "max")
_MOST_LISTED = 10  # left-out records that the page lists for one reason


def write(
    folder: Path,
    synthesis: Synthesis,
    intervals: Intervals,
    timings: Sequence[Timing],
    pictures: Mapping[str, bytes],
    seconds: Mapping[str, float],
) -> Path:
    """Write pictures, numbers and page; return the path of the page, which is written last."""
    numbers = summarise(synthesis, intervals, timings, seconds)
    return write_report(folder, pictures, numbers, page(numbers, pictures))


def summarise(
    synthesis: Synthesis, intervals: Intervals, timings: Sequence[Timing], seconds: Mapping[str, float]
) -> dict[str, Any]:
    """All the numbers of the report, as JSON has them."""
    recordings, source = synthesis.recordings, synthesis.recordings.source
    rr = np.concatenate(synthesis.rr)
    numbers = {
        "title": _title(synthesis),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "simulated": source.simulated,
        "notice": "Not for clinical use.",
        "source": {
            "name": source.name,
            "place": source.place,
            "licence": source.licence,
            "doi": source.doi,
            "citations": list(source.citations),
        },
        "input": {
            "records_used": len(recordings.names),
            "records_left_out": len(recordings.skipped),
            "left_out": [skipped._asdict() for skipped in recordings.skipped],
            "lead": recordings.lead,
            "sampling_rate_hz": recordings.fs,
            "samples_per_record": recordings.length,
        },
        "r_peaks": {
            "count": synthesis.r_peaks.values.size,
            "at_each_sample": count_at_samples(synthesis.r_peaks, recordings.length).tolist(),
            "tenths": _tenths(synthesis),
        },
        "heart_rate_bpm": Summary.of(synthesis.heart_rate)._asdict(),
        "rr_ms": Summary.of(rr)._asdict(),
        "synthesis": {
            "waves": "ecgkern.waveform.PHYSIO at the mean heart rate of each record",
            "backend": synthesis.backend,
            "threads": threads_of(synthesis.backend),
            "least_width_ms": 1000 / recordings.fs,
            "share_of_waves_widened": synthesis.share_widened,
            "scale": Summary.of(synthesis.scale)._asdict(),
            "records_at_least_r_height": synthesis.n_low,
            "least_r_height_mv": LEAST_R_HEIGHT,
            "share_of_r_peaks_found_again": synthesis.share_found,
            "correlation_with_input": Summary.of(synthesis.correlation)._asdict(),
        },
        "intervals_ms": {
            "records": len(intervals.recorded),
            "delineation_hz": max(recordings.fs, DELINEATION_FS),
            "rows": {
                name: {kind: summary._asdict() for kind, summary in row.items()}
                for name, row in intervals.rows().items()
            },
            "preset_at_60_bpm": at_60_bpm(),
            "healthy": {name: list(bounds) for name, bounds in HEALTHY.items()},
            "failed": [failed._asdict() for failed in intervals.failed],
        },
        "timing": [
            {
                "name": t.name,
                "threads": t.threads,
                "seconds_per_record": t.seconds,
                "fastest_seconds_per_record": t.fastest,
                "records_per_second": t.records_per_second,
                "runs": t.runs,
                "records_per_run": t.records_per_run,
            }
            for t in timings
        ],
        "seconds": dict(seconds),
        "software": {"ecgkern": ecgkern.__version__, "python": platform.python_version(), **versions(_LIBRARIES)},
        "machine": {
            "processor": processor(),
            "processors": os.cpu_count(),
            "system": platform.platform(),
            "backends": {name: backend.detail for name, backend in ecgkern.backends().items()},
        },
        "records": [
            {"name": name, "r_peaks": int(beats), "heart_rate_bpm": rate, "scale": scale, "correlation": r}
            for name, beats, rate, scale, r in zip(
                recordings.names,
                np.diff(synthesis.r_peaks.row_offsets),
                synthesis.heart_rate.tolist(),
                synthesis.scale.tolist(),
                synthesis.correlation.tolist(),
                strict=True,
            )
        ],
    }
    as_json: dict[str, Any] = without_nan(numbers)
    return as_json


def _title(synthesis: Synthesis) -> str:
    source, n = synthesis.recordings.source, len(synthesis.recordings.names)
    if source.simulated:
        return f"{SIMULATED}: synthetic ECGs at the R peaks of {n} simulated ones"
    return f"Synthetic ECGs at the R peaks of {n} records of {source.name}"


def _tenths(synthesis: Synthesis) -> list[dict[str, Any]]:
    edges = bin_edges(synthesis.recordings.length)
    tenths = []
    for k, members in enumerate(temporal_bins(synthesis.r_peaks, synthesis.recordings.length)):
        bounds = np.percentile(members, [0, 25, 50, 75, 100]).tolist() if members.size else [math.nan] * len(_BOX)
        tenths.append(
            {"first_sample": edges[k], "last_sample": edges[k + 1] - 1, "count": members.size}
            | dict(zip(_BOX, bounds, strict=True))
        )
    return tenths


# --- the page ------------------------------------------------------------------------------------


def page(numbers: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """Return the report as one HTML page that needs no other file."""
    source, simulated = numbers["source"], numbers["simulated"]
    warning = f'<p class="simulated">{SIMULATED}. {text(source["place"])}</p>' if simulated else ""
    body = [
        f"<h1>{text(numbers['title'])}</h1>",
        warning,
        f"<p>{_introduction(numbers)} <strong>{numbers['notice']}</strong></p>",
        _tiles(numbers),
        "<h2>Waveforms</h2>",
        figure("overlay.png", pictures, _about_overlay(numbers)),
        "<h2>R peaks</h2>",
        figure("r_peak_histogram.png", pictures, _about_histogram(numbers)),
        figure("r_peak_boxplots.png", pictures, _about_boxplots()),
        figure("rr_intervals.png", pictures, _about_rr(numbers)),
        "<h2>Wave intervals</h2>",
        figure("intervals.png", pictures, _about_intervals(numbers)),
        _interval_table(numbers),
        "<h2>Time</h2>",
        figure("timing.png", pictures, _about_timing(numbers)),
        _timing_table(numbers),
        "<h2>How it was made</h2>",
        _method(numbers),
        "<h2>Records left out</h2>",
        _left_out(numbers),
        "<h2>Data</h2>",
        _data(numbers),
        "<h2>Software and machine</h2>",
        _software(numbers),
        warning,
    ]
    return document(f"{numbers['title']} - ecgkern demo", body)


def _introduction(numbers: Mapping[str, Any]) -> str:
    given, synthesis = numbers["input"], numbers["synthesis"]
    seconds = given["samples_per_record"] / given["sampling_rate_hz"]
    return (
        f"ecgkern {numbers['software']['ecgkern']} took lead {text(given['lead'])} of {given['records_used']} "
        f"{'simulated ECGs' if numbers['simulated'] else 'records of ' + text(numbers['source']['name'])} "
        f"({seconds:g} s at {given['sampling_rate_hz']:g} Hz), found their R peaks with NeuroKit2, and "
        f"placed Gaussian P, Q, R, S, T and U waves at each. NeuroKit2 finds "
        f"{100 * synthesis['share_of_r_peaks_found_again']:.1f} % of the R peaks again, to within one sample, in the "
        "synthetic ECGs. Numbers like 70 (53 to 99) are a median and the range from 5 to 95 %."
    )


def _tiles(numbers: Mapping[str, Any]) -> str:
    best, neurokit = min(numbers["timing"], key=lambda row: row["seconds_per_record"]), numbers["timing"][-1]
    ratio = neurokit["seconds_per_record"] / best["seconds_per_record"]
    values = {
        "records": str(numbers["input"]["records_used"]),
        "R peaks": str(numbers["r_peaks"]["count"]),
        "beats/min, median": f"{numbers['heart_rate_bpm']['median']:.0f}",
        "per synthetic record": duration(best["seconds_per_record"]),
        "times as fast as NeuroKit2's ecg_simulate": number(ratio),
    }
    return tiles(values)


def _about_overlay(numbers: Mapping[str, Any]) -> str:
    correlation = numbers["synthesis"]["correlation_with_input"]
    circular = (
        " The input comes from the same model with other waves, wander and noise: that the two agree says nothing "
        "about hearts."
        if numbers["simulated"]
        else " The model has one set of waves, of a healthy adult; it knows the R peaks and the R height of a record, "
        "not the shape of its other waves, and has no noise and no baseline wander."
    )
    return (
        f"{_curve(numbers).capitalize()} lead and synthetic ECG in mV against seconds, R peaks marked above. "
        f"Correlation of the two over each record: {_range(correlation, 2)}.{circular}"
    )


def _curve(numbers: Mapping[str, Any]) -> str:
    return "simulated" if numbers["simulated"] else "recorded"


def _about_histogram(numbers: Mapping[str, Any]) -> str:
    counts = np.array(numbers["r_peaks"]["at_each_sample"])
    edge = round(0.3 * numbers["input"]["sampling_rate_hz"])
    return (
        f"How many records have an R peak at a given sample: on average {counts.mean():.2f}, at most {counts.max()}. "
        "Recordings start at no particular point of a beat, so the counts should be level but for chance. NeuroKit2's "
        "detector, however, takes no peak in the first 0.3 s, and errs both ways near the end: there are "
        f"{counts[:edge].mean():.2f} per sample in the first 0.3 s, {counts[-edge:].mean():.2f} in the last, "
        f"{counts[edge:-edge].mean():.2f} between."
    )


def _about_boxplots() -> str:
    return (
        "R peaks by tenths of the record. A box spans the middle half of the R peaks in its tenth, the line in it is "
        "their median, the whiskers reach to the first and the last; above stands how many there are."
    )


def _about_rr(numbers: Mapping[str, Any]) -> str:
    rate, rr = numbers["heart_rate_bpm"], numbers["rr_ms"]
    return (
        f"Left: mean heart rate of each record, {_range(rate)} beats/min. Right: each RR interval against the next, "
        f"{_range(rr)} ms. Steady rhythms lie on the line; a premature beat and its pause lie off it on both sides, "
        "and so does an R peak that was missed."
    )


def _about_intervals(numbers: Mapping[str, Any]) -> str:
    intervals, preset = numbers["intervals_ms"], numbers["intervals_ms"]["preset_at_60_bpm"]
    resampled = (
        f", interpolated to {DELINEATION_FS} Hz" if numbers["input"]["sampling_rate_hz"] < DELINEATION_FS else ""
    )
    return (
        f"Median intervals of each of {intervals['records']} records: in the input and in the synthetic ECG, as "
        f"NeuroKit2 delineates them (wavelets{resampled}; not cleaned, because cleaning widens QRS); and as the waves "
        f"were put in, each reaching {REACH} widths to either side. The delineation widens waves by its own smoothing "
        "and switches its scale at 60 beats/min, so compare the first two with each other. At 60 beats/min the waves "
        f"have PR {preset['PR']:.0f}, QRS {preset['QRS']:.0f} and QT {preset['QT']:.0f} ms; all shorten as the heart "
        "beats faster."
    )


def _interval_table(numbers: Mapping[str, Any]) -> str:
    intervals = numbers["intervals_ms"]
    rows = []
    for name, kinds in intervals["rows"].items():
        healthy = intervals["healthy"].get(name)
        rows.append(
            [
                name,
                *(f"{_range(kinds[kind])}, n = {kinds[kind]['n']}" for kind in ("recorded", "synthetic", "put in")),
                f"{healthy[0]} to {healthy[1]}" if healthy else "",
            ]
        )
    header = [
        "ms: median (5 to 95 %)",
        "simulated input" if numbers["simulated"] else "recorded",
        "synthetic",
        "synthetic, as put in",
        "healthy, at rest",
    ]
    return table(header, rows, "numbers") + _failed(intervals)


def _failed(intervals: Mapping[str, Any]) -> str:
    if not intervals["failed"]:
        return ""
    items = [Skipped(**failed) for failed in intervals["failed"]]
    return f'<p class="soft">Not delineated: {text("; ".join(f"{name}: {why}" for name, why in items))}.</p>'


def _about_timing(numbers: Mapping[str, Any]) -> str:
    batch = numbers["timing"][0]["records_per_run"]
    return (
        f"One call synthesises {batch} records (those above, repeated) into an array that is there already; NeuroKit2, "
        "whose ecg_simulate integrates the ECGSYN equations, makes one record a call. Medians over the runs, after one "
        "that is not counted; where the fastest run is far below the median, other programs kept the processors busy. "
        "Both give one lead of the same length and sampling rate."
    )


def _timing_table(numbers: Mapping[str, Any]) -> str:
    neurokit = numbers["timing"][-1]["seconds_per_record"]
    rows = [
        [
            t["name"],
            str(t["threads"]),
            duration(t["seconds_per_record"]),
            duration(t["fastest_seconds_per_record"]),
            number(t["records_per_second"]),
            number(neurokit / t["seconds_per_record"]),
            str(t["runs"]),
        ]
        for t in numbers["timing"]
    ]
    header = ["", "threads", "time per record", "fastest run", "records/s", "times NeuroKit2", "runs"]
    return table(header, rows, "numbers")


def _method(numbers: Mapping[str, Any]) -> str:
    synthesis, scale = numbers["synthesis"], numbers["synthesis"]["scale"]
    steps = [
        "R peaks: NeuroKit2's ecg_clean and ecg_peaks, method neurokit; records with fewer than two are left out.",
        "Waves: ecgkern.waveform.PHYSIO, moved and stretched to the mean heart rate of the record "
        "(PHYSIO.at_heart_rate), one set for each beat.",
        f"Widths: at least one sample, {synthesis['least_width_ms']:.3g} ms, because narrower waves would not be "
        f"resolved; {100 * synthesis['share_of_waves_widened']:.0f} % of the waves were widened to it.",
        "Height: each synthetic record is multiplied by one number, so that the median height of its R peaks above its "
        "median equals that of the input (at least "
        f"{synthesis['least_r_height_mv']:g} mV, the height given to {synthesis['records_at_least_r_height']} records "
        f"with lower ones): {_range(scale, 2)}.",
        f"Backend: {synthesis['backend']}, {synthesis['threads']} threads, float32.",
    ]
    return "<ul>" + "".join(f"<li>{text(step)}</li>" for step in steps) + "</ul>"


def _left_out(numbers: Mapping[str, Any]) -> str:
    by_reason: dict[str, list[str]] = {}
    for left_out in numbers["input"]["left_out"]:
        by_reason.setdefault(left_out["reason"], []).append(left_out["name"])
    if not by_reason:
        return "<p>None.</p>"
    rows = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - _MOST_LISTED} more, listed in report.json" if len(names) > _MOST_LISTED else ""
        rows.append([reason, ", ".join(names[:_MOST_LISTED]) + more])
    return table(["why", "records"], rows)


def _data(numbers: Mapping[str, Any]) -> str:
    source = numbers["source"]
    if numbers["simulated"]:
        return (
            "<p>No recordings were used. RR intervals vary with breathing, slowly with Mayer waves and at random; the "
            "input ECGs are the model of ecgkern.waveform with waves drawn for each record, baseline wander and "
            "noise.</p>"
        )
    cited = "".join(f"<li>{text(citation)}</li>" for citation in source["citations"])
    return (
        f"<p>{text(source['name'])}, {text(source['place'])}, "
        f'<a href="https://doi.org/{text(source["doi"])}">doi:{text(source["doi"])}</a>. Licence: '
        f"{text(source['licence'])}. The pictures show changed data: one lead, less its median. Cite:</p>"
        f"<ul>{cited}</ul>"
    )


def _software(numbers: Mapping[str, Any]) -> str:
    machine = numbers["machine"]
    rows = [
        ["versions", ", ".join(f"{name} {version}" for name, version in numbers["software"].items())],
        *([f"backend {name}", detail] for name, detail in machine["backends"].items()),
        ["processor", f"{machine['processor']}, {machine['processors']} seen by the system"],
        ["system", machine["system"]],
        ["steps", ", ".join(f"{name} {seconds:.1f} s" for name, seconds in numbers["seconds"].items())],
        ["made", numbers["created"]],
    ]
    return table(None, rows, "plain")


def _range(summary: Mapping[str, float | None], digits: int = 0) -> str:
    if summary["median"] is None:
        return "none found"
    median, low, high = (f"{summary[key]:.{digits}f}" for key in ("median", "low", "high"))
    return f"{median} ({low} to {high})"
