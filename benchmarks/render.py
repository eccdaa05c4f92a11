"""Writes RESULTS.md from results/*.json: python benchmarks/render.py   (`ecgkern bench --save` does it as well)."""

import json
from pathlib import Path

FOLDER = Path(__file__).parent
HEAD = """# Results

Written by `benchmarks/render.py` from the files in `results/`; not to be edited. Microseconds per record, medians of
rounds in which ours, each peer and the floor take turns. Ratio: how many times faster than the peer. Floor: the same
array filled once (gradient: read once) by as many threads; share: floor divided by ours.
"""


def render():
    """Write RESULTS.md anew."""
    parts = [HEAD]
    for path in sorted((FOLDER / "results").glob("*.json")):
        run = json.loads(path.read_text())
        rows = run.pop("rows")
        parts.append(f"\n## {run.pop('processor')}\n")
        parts.append("\n".join(f"- {name}: {value}" for name, value in run.items()) + "\n")
        parts.append("| case | backend | records | ours | peer | peer's time | ratio | floor | share |")
        parts.append("|---|---|---:|---:|---|---:|---:|---:|---:|")
        for row in rows:
            head = f"| {row['case']} | {row['backend']} | {row['records']} | {row['ours_us']:.3f} |"
            tail = f"{row['floor_us']:.3f} | {row['share_of_floor']:.0%} |"
            peers = row["peers"] or {"": None}
            for name, peer in peers.items():
                middle = f" {name} | {peer['us']:.2f} | {peer['ratio']:.1f} |" if peer else " | | |"
                parts.append(f"{head}{middle} {tail}")
    target = FOLDER / "RESULTS.md"
    scratch = target.with_suffix(".part")
    scratch.write_text("\n".join(parts) + "\n")
    scratch.replace(target)


if __name__ == "__main__":
    render()
