"""The report on several sets of records: one table with a column for each set, and all about each set below it.

Numbers that depend on how many records they are of compare only where those are equally many. So a column holds how far
a random half of the real records is from as many records of its set, and the last column how far that half is from the
other half of the real ones: the yardstick. Both are medians over the divisions. What is said of single records, and the
p-values, are of all there are.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ecgkern._page import document, figure, plural, table, text, without_nan
from ecgkern.evaluate._compare import WIDTHS, Comparison
from ecgkern.evaluate._features import RHYTHM
from ecgkern.evaluate._pictures import folders, lead_name
from ecgkern.evaluate._report import (
    aligned,
    cell,
    foot,
    head,
    median,
    notes,
    numbers_of,
    paragraphs,
    pvalues,
    run_of,
    sections,
    short,
    verdict,
    with_unit,
)

_MARK = "*"


def summarise(
    comparisons: Sequence[Comparison], settings: Mapping[str, Any], seconds: Mapping[str, float]
) -> dict[str, Any]:
    """All the numbers of the report on several sets, as JSON has them."""
    pairs = [comparison.pair for comparison in comparisons]
    sets = {
        pair.synthetic.label: {**without_nan(numbers_of(comparison)), "pictures": folder}
        for pair, comparison, folder in zip(pairs, comparisons, folders(pairs), strict=True)
    }
    first = next(iter(sets.values()))
    return {
        "title": f"{len(sets)} sets of ECGs beside {first['real']['records']} real ones",
        **without_nan(run_of(comparisons[0], settings, seconds)),
        "notes": [*comparisons[0].notes, *_about_halves(sets)],
        "halves": first["halves"],
        "distances": list(_distances(sets)),
        "records": list(_records(sets)),
        "sets": sets,
    }


def _about_halves(sets: Mapping[str, Any]) -> Iterator[str]:
    """What makes the halves a worse yardstick than they seem."""
    first = next(iter(sets.values()))
    real, half = first["real"], first["halves"]["records"]
    records, label = min((of_set["synthetic"]["records"], label) for label, of_set in sets.items())
    if half and records < real["records"] - half:
        yield f"{label} has only {plural(records, 'record')}, so every distance is from {records} records of each set."
    if half and real["patients"] and real["patients"] < real["records"]:
        yield (
            f"REAL has several records a patient ({real['records']} of {real['patients']}), so its halves differ more "
            "than independent records would: a set may come out nearer without being better."
        )


def _distances(sets: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows on distances that any of the sets has; in the last column the halves of the real records."""
    first = next(iter(sets.values()))
    for name, distance in first["distances"].items():
        of_sets = {label: numbers["distances"][name] for label, numbers in sets.items()}
        if first["halves"]["records"]:
            values = {label: median(entry["real_half_to_synthetic"]) for label, entry in of_sets.items()}
        else:
            values = {label: entry["value"] for label, entry in of_sets.items()}
        if any(value is not None for value in values.values()):
            real = median(distance["real_half_to_real_half"])
            yield _row(with_unit(name, distance["unit"]), values, real)
            if name in pvalues(first):
                yield _row(f"{name}: p", {label: pvalues(numbers)[name] for label, numbers in sets.items()}, None)


def _records(sets: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows on what the records of each set are like; in the last column the real records themselves."""
    first = next(iter(sets.values()))
    counts = {label: numbers["synthetic"]["records"] for label, numbers in sets.items()}
    yield {**_row("records", counts, first["real"]["records"]), "nearest": []}
    of_sets = {label: _likeness(numbers, "synthetic") for label, numbers in sets.items()}
    for name, real in _likeness(first, "real").items():
        yield _row(name, {label: values[name] for label, values in of_sets.items()}, real)


def _likeness(numbers: Mapping[str, Any], side: str) -> dict[str, float | None]:
    nearest = numbers["nearest_real_dtw_mv"]
    height = numbers["amplitudes_mv"][side][nearest["lead"]]["peak_to_peak"]
    rhythm = numbers["rhythm"][side] or {}
    return {
        **{with_unit(f"{name}, median", RHYTHM[name]): values["median"] for name, values in rhythm.items()},
        **{
            f"peak to peak of {lead_name(nearest['lead'])}, {name} (mV)": height[key]
            for name, key in (("5 %", "low"), ("median", "median"), ("95 %", "high"))
        },
        "DTW to the nearest real record (mV)": nearest[side]["mean"],
        **{
            f"{lead} less its value from I and II (µV)": 1000 * values["median"]
            for lead, values in numbers["limb_leads_mv"][side].items()
        },
    }


def _row(name: str, values: Mapping[str, float | None], real: float | None) -> dict[str, Any]:
    """A row of the table, and which sets are nearest to its last column, if that holds something."""
    off = {label: abs(value - real) for label, value in values.items() if value is not None and real is not None}
    nearest = [label for label, value in off.items() if value == min(off.values())]
    return {"name": name, "values": dict(values), "real": real, "nearest": nearest}


# --- words --------------------------------------------------------------------------------------------------------


def terminal(numbers: Mapping[str, Any]) -> str:
    """The table on the terminal, and what the tests say of each set."""
    first, second = ([_headings(numbers, kind), *_cells(numbers[kind])] for kind in ("distances", "records"))
    lines = aligned([*first, [""] * len(first[0]), *second])
    verdicts = [f"{label}: {verdict(of_set)}" for label, of_set in numbers["sets"].items()]
    about = [line for part in _about(numbers).values() for line in part]
    return paragraphs(numbers["notes"], lines, [*_missing(numbers), *about], verdicts)


def _headings(numbers: Mapping[str, Any], kind: str) -> list[str]:
    if kind == "records":
        return ["of each record", *numbers["sets"], "real"]
    halves = numbers["halves"]
    sizes = f"{halves['records']} v {halves['compared_with']} records" if halves["records"] else "all records"
    return [sizes, *numbers["sets"], "real halves" if halves["records"] else ""]


def _cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The rows as texts, in which the nearest values have a mark, and the others room for it."""
    return [
        [
            row["name"],
            *(f"{short(value)}{_MARK if label in row['nearest'] else ' '}" for label, value in row["values"].items()),
            cell(row["real"]),
        ]
        for row in rows
    ]


def _missing(numbers: Mapping[str, Any]) -> list[str]:
    """Which distances not all sets have, and why."""
    sets = numbers["sets"]
    found: dict[tuple[str, str], list[str]] = {}
    for name in next(iter(sets.values()))["distances"]:
        whose: dict[str, list[str]] = {}
        for label, of_set in sets.items():
            whose.setdefault(of_set["distances"][name]["reason"], []).append(label)
        for reason, labels in whose.items():
            of = "" if len(labels) == len(sets) else f" for {', '.join(labels)}"
            found.setdefault((of, reason), []).append(name)
    return [f"Not computed{of}: {'; '.join(names)} ({reason})." for (of, reason), names in found.items() if reason]


def _about(numbers: Mapping[str, Any]) -> dict[str, list[str]]:
    """What the rows of each kind are, and what the mark is."""
    halves = numbers["halves"]
    distances = [
        "There are too few real records, or patients, for two halves: the distances have no yardstick, and most depend "
        "on how many records a set has.",
    ]
    if halves["records"]:
        distances = [
            f"Distances: medians of {halves['splits']} random halves of the real records, from as many records of each "
            "set and from the other half, which is the yardstick.",
            "What is nearer than the halves is as good as real, varies less, or copies real records (see the DTW row).",
        ]
    return {
        "distances": [
            *distances,
            "Kernel widths and standard deviations are those of the real records, so that no set changes another's: "
            f"MMD² is the mean over {', '.join(map(str, WIDTHS))} times their median distance.",
            "The p-values are of all records, smaller where there are more of them, and of tests whose kernel width is "
            "the median distance of both samples together.",
        ],
        "records": [
            f"{_MARK} is what is nearest to the last column. Between sets that differ less than the halves scatter, it "
            "is chance.",
        ],
    }


# --- the page -----------------------------------------------------------------------------------------------------


def page(numbers: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """Return the report as one HTML page that needs no other file, with all about each set folded up."""
    sets = numbers["sets"]
    sides = [numbers["real"], *(of_set["synthetic"] for of_set in sets.values())]
    yardstick = (
        "Each mark is one division of the real records, the bar their median. Good sets lie among the grey ones. "
        "An arrow stands for marks beyond the axis."
    )
    body = [
        *head(numbers, sides),
        notes(numbers),
        "<h2>Side by side</h2>",
        *(_table(numbers, kind) for kind in ("distances", "records")),
        _soft(_missing(numbers)),
        figure("yardstick.png", pictures, yardstick) if "yardstick.png" in pictures else "",
        "<h2>Each set</h2>",
        *(_folded(label, of_set, pictures) for label, of_set in sets.items()),
        *foot(numbers, sides),
    ]
    return document(f"{numbers['title']} - ecgkern evaluate", body)


def _table(numbers: Mapping[str, Any], kind: str) -> str:
    return table(_headings(numbers, kind), _cells(numbers[kind]), "numbers") + _soft(_about(numbers)[kind])


def _soft(lines: Sequence[str]) -> str:
    return f'<p class="soft">{text(" ".join(lines))}</p>' if lines else ""


def _folded(label: str, of_set: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    folder = of_set["pictures"]
    own = {name.removeprefix(folder): png for name, png in pictures.items() if name.startswith(folder)}
    inside = "\n".join(part for part in sections(of_set, own) if part)
    return f"<details><summary><strong>{text(label)}</strong>. {text(verdict(of_set))}</summary>\n{inside}\n</details>"
