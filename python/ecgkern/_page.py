"""Reports: files that appear whole or not at all, numbers for JSON, and an HTML page that needs no other file."""

import base64
import html
import json
import math
import os
import platform
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

Item = TypeVar("Item")

# --- files ----------------------------------------------------------------------------------------


def write_report(folder: Path, pictures: Mapping[str, bytes], numbers: Mapping[str, Any], page: str) -> Path:
    """Write pictures, ``report.json`` and ``report.html``; return the path of the page, which is written last."""
    for name, content in pictures.items():
        write_whole(folder / name, content)
    write_whole(folder / "report.json", (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode())
    report = folder / "report.html"
    write_whole(report, page.encode())
    return report


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file at once: readers see the old one or the new one, and an interruption leaves the old."""
    with replacing(path) as part:
        part.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the name of a file beside `path` that takes its place, and its permissions, unless something goes wrong."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        if path.exists():
            shutil.copymode(path, part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def make_writable(folder: Path) -> None:
    """Make the folder, or raise OSError now and not after the work."""
    probe = folder / "probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(probe, b"")
        probe.unlink()
    except OSError as error:
        raise OSError(f"cannot write to the folder {folder} (--out): {error.strerror}") from error


# --- numbers and machine --------------------------------------------------------------------------


def without_nan(value: Any) -> Any:
    """Return numbers for JSON, which has no NaN: null stands for what could not be measured."""
    if isinstance(value, dict):
        return {key: without_nan(member) for key, member in value.items()}
    if isinstance(value, list):
        return [without_nan(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def number(value: float) -> str:
    """Write a number with three digits that count, in groups of thousands."""
    if value >= 1000:
        digits = int(np.floor(np.log10(value)))
        value = round(value, 2 - digits)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Write a time in the unit that suits it."""
    units = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
    unit = next((unit for unit, size in units.items() if seconds >= size), "ns")
    return f"{seconds / units[unit]:.3g} {unit}"


def plural(n: int, thing: str) -> str:
    """Return the number with its noun."""
    return f"{n} {thing}{'' if n == 1 else 's'}"


def readable(path: os.PathLike[str]) -> str:
    """Return a path as text that any file or terminal takes, whatever bytes are in it."""
    return os.fsencode(path).decode("utf-8", "replace")


def spread(items: Sequence[Item], limit: int) -> list[Item]:
    """Choose at most `limit` of the items, evenly spread."""
    chosen = np.linspace(0, len(items) - 1, min(limit, len(items))).round().astype(int)
    return [items[i] for i in chosen]


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Return the versions of those that are installed."""
    found = {}
    for name in libraries:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def processor() -> str:
    """Return the name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not Linux, or a processor that gives no name
        return platform.processor() or platform.machine()


# --- the page -------------------------------------------------------------------------------------


_CSS = """
:root { color-scheme: light dark; --text: #1c1c1c; --soft: #5c5c5c; --back: #ffffff; --panel: #f3f5f7;
  --line: #d9dde1; --link: #1769aa; --warn: #a11212; --warn-back: #fdeaea; }
@media (prefers-color-scheme: dark) { :root { --text: #e8e8e8; --soft: #a8adb3; --back: #16181b; --panel: #22262b;
  --line: #3a4047; --link: #7db8e8; --warn: #ffb4b4; --warn-back: #431919; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 57rem; padding: 1rem 1.1rem 3rem; color: var(--text); background: var(--back);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .8rem 0 .4rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .5rem; border-top: 1px solid var(--line); padding-top: 1.1rem; }
a { color: var(--link); overflow-wrap: anywhere; }
.soft, figcaption { color: var(--soft); font-size: .92rem; }
.simulated { color: var(--warn); background: var(--warn-back); border: 2px solid; border-radius: .5rem;
  padding: .6rem .9rem; font-weight: 600; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .6rem; padding: 0;
  margin: 1.2rem 0; }
.tiles li { list-style: none; background: var(--panel); border-radius: .5rem; padding: .6rem .8rem; font-size: .88rem;
  color: var(--soft); }
.tiles b { display: block; font-size: 1.35rem; color: var(--text); }
figure { margin: 1rem 0; }
.scroll { overflow-x: auto; border-radius: .4rem; }
figure img { display: block; width: 100%; min-width: 34rem; height: auto; background: #ffffff;
  border: 1px solid var(--line); border-radius: .4rem; }
figcaption { margin-top: .45rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .94rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
.plain th { white-space: nowrap; }
.numbers th, .numbers td { white-space: nowrap; }
@media print { body { max-width: none; } figure, tr { break-inside: avoid; } .scroll { overflow: visible; } }
"""


text = html.escape


def document(title: str, body: Iterable[str]) -> str:
    """Return a whole page of the parts of its body."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{_CSS}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def tiles(values: Mapping[str, str]) -> str:
    """Return the numbers that matter most, large, with what each is."""
    return '<ul class="tiles">' + "".join(f"<li><b>{v}</b>{text(k)}</li>" for k, v in values.items()) + "</ul>"


def figure(name: str, pictures: Mapping[str, bytes], caption: str) -> str:
    """Return a picture, embedded, with its caption in HTML."""
    picture = base64.b64encode(pictures[name]).decode("ascii")
    return (
        f'<figure><div class="scroll"><img alt="{text(name)}: see the text below" '
        f'src="data:image/png;base64,{picture}"></div><figcaption>{caption}</figcaption></figure>'
    )


def table(header: Sequence[str] | None, rows: Iterable[Sequence[str]], kind: str = "") -> str:
    """Return a table of plain texts; the first of each row is its heading."""
    head = "<tr>" + "".join(f"<th>{text(cell)}</th>" for cell in header) + "</tr>" if header else ""
    body = "".join(
        f"<tr><th>{text(first)}</th>" + "".join(f"<td>{text(cell)}</td>" for cell in rest) + "</tr>"
        for first, *rest in rows
    )
    return f'<div class="scroll"><table class="{kind}">{head}{body}</table></div>'
