"""Writes RESULTS.md from results/*.json: python benchmarks/render.py   (`ecgkern bench --save` does it as well)."""

import json
from pathlib import Path

FOLDER = Path(__file__).parent
HEAD = """# Results

Written by `benchmarks/render.py` from the files in `results/`; not to be edited. Medians of rounds in which ours, each
peer and the floor take turns; a peer that takes seconds may have only one round. Ratio: how many times faster
than the peer. Share: floor divided by ours. Floor of `waveform`: the array filled once (gradient: read once) by as many
threads. Floor of `stats`: the multiplications of the pairs i < j of the pooled samples as one matrix product at the
best rate of the BLAS of NumPy and torch (gradient: three times that; 12 dimensions: with one exponential a pair; KS:
the data read once). Floor of `geomag`: the inputs read and the results written once, to arrays made beforehand; the
times themselves include making the results, whose first touch costs up to 1 ns a value where the allocator gave its
pages back. There the ratio of two threads is to one of ours. Floor of `conv`: the useful multiply-adds at the rate of a
matrix product of 2048 x 2048 float32 values by the faster of the BLAS of NumPy and torch. Useful are those of the
forward pass, and in training as many again for the kernels (`train`) and for the records (`train_all`) and twice those
of the merge; what ours computes a second time, to save memory, is not. The peers of `conv` are PyTorch, each in a
process of its own; one with tuned malloc was started with MALLOC_MMAP_THRESHOLD_=4294967296,
MALLOC_TRIM_THRESHOLD_=8589934592 and MALLOC_TOP_PAD_=268435456, "in chunks" takes few records at a time. There 64
records of one channel have eager PyTorch and the arrangement of each means that was fastest in a trial, other sizes
eager PyTorch and the fastest of all 14. Floor of `training_step`: the step without the convolutions. There eager is the
same model with PyTorch's own convolutions, and ours is shown with tuned malloc as well, by which the rest of the step
gains, too: that is what eager with tuned malloc has to be compared with. The discriminator's steps are those without
its penalty, three of four. Error: relative, against float64 (`geomag`: against long double, angles and hours in
radians). MB: how far one call raises the peak of the resident memory of a fresh process that already holds the data;
results that the call makes, in `geomag` 8 MB each, are part of it. Others: what part of the processor time spent during
the rounds went to other processes; from a few per cent on, the times are too long and not to be compared. On a GPU
arrays are there before the clock starts, which stops when the result is; the floor is what the bytes take at the rate
of a copy on the card, or the multiplications at that of products of 8192 x 8192 matrices, and MB is memory of the card.
"""
NO_CARD = """No run on a GPU has been made yet. `make gpu` makes one and puts its table here: the same cases on the card
and on the CPU, PyTorch's own operations on the card beside them, and the rates that the card reaches as the ceilings.
"""
WORDS = ("case", "backend", "size", "peer")  # aligned to the left


def _cells(row, name, peer):
    """One line of a table: ours, and one peer."""

    def show(part, key, style):
        return format(part[key], style) if key in part else ""

    ours = row["ours"]
    return {
        "case": row["case"],
        "backend": row["backend"],
        "records": show(row, "records", "d"),
        "size": row.get("size", ""),
        "ours": show(ours, "time", ".3f"),
        "error": show(ours, "rel_error", ".0e"),
        "MB": show(ours, "extra_mb", ".0f"),
        "peer": f"{name}: {peer['missing']}" if "missing" in peer else name,
        "peer's time": show(peer, "time", ".2f"),
        "ratio": show(peer, "ratio", ".1f"),
        "peer's error": show(peer, "rel_error", ".0e"),
        "peer's MB": show(peer, "extra_mb", ".0f"),
        "floor": show(row, "floor", ".3f"),
        "share": show(row, "share_of_floor", ".0%"),
        "others": show(row, "others", ".0%"),
    }


def tables(rows):
    """A table for each unit of time, as lines of cells, the headers first; without the columns that are empty."""
    found = {}
    for row in rows:
        peers = row["peers"] or {"": {}}
        found.setdefault(row["unit"], []).extend(_cells(row, name, peer) for name, peer in peers.items())
    result = {}
    for unit, lines in found.items():
        headers = [header for header in lines[0] if any(line[header] for line in lines)]
        result[unit] = [headers, *([line[header] for header in headers] for line in lines)]
    return result


def render():
    """Write RESULTS.md anew."""
    parts, on_cards = [HEAD], 0
    for path in sorted((FOLDER / "results").glob("*.json")):
        run = json.loads(path.read_text())
        rows = run.pop("rows")
        on_cards += "card" in run
        parts.append(f"\n## {run.pop('card') if 'card' in run else run.pop('processor')}\n")
        parts.append("\n".join(f"- {name}: {value}" for name, value in run.items()))
        for unit, (headers, *lines) in tables(rows).items():
            rule = ["---" if header in WORDS else "---:" for header in headers]
            parts.append(f"\n{unit.capitalize()}:\n")
            parts += [f"| {' | '.join(line)} |" for line in (headers, rule, *lines)]
    if not on_cards:
        parts.append(f"\n## GPU\n\n{NO_CARD}")
    target = FOLDER / "RESULTS.md"
    scratch = target.with_suffix(".part")
    scratch.write_text("\n".join(parts) + "\n")
    scratch.replace(target)


if __name__ == "__main__":
    render()
