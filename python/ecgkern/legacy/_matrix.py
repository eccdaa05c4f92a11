"""One program in every build that this machine can make: do the listings agree, and if not, is it rounding or a fault?

How far rounding alone moves each column is measured, not guessed: the reference build, nothing else changed, runs again
with the processor rounding up, down and towards zero. Builds that differ by no more than some times that differ by
rounding.
"""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ecgkern.legacy import _compare
from ecgkern.legacy._build import BuildError, Executable, build
from ecgkern.legacy._compilers import Compiler, available, find
from ecgkern.legacy._process import Outcome, execute
from ecgkern.legacy._run import OUTPUT_LIMIT, _copy, _deck, _files, _sha256, deck_of
from ecgkern.legacy._source import LegacyError, Source, read

__all__ = ["Matrix", "Variant", "flags_matrix"]

LEVELS = ("-O0", "-O2", "-O3")
_GENEROUS = 10  # times what the probes move a column is still rounding
_ASSUMED = 1e-5  # of the column's largest number, where no probe can be made: some hundred roundings of REAL*4
_OWN_KINDS = ("overflow", "not finite", "text", "count", "extra lines", "missing lines")

# Runs before the main program and tells the processor how to round from then on.
_PROBE = """\
#include <fenv.h>
__attribute__((constructor)) static void round_otherwise(void) { fesetround(%s); }
"""
_PROBES = {"up": "FE_UPWARD", "down": "FE_DOWNWARD", "towards zero": "FE_TOWARDZERO"}


# --- one run --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """A run of a build in a scratch folder: how it ended, and the file to compare."""

    outcome: Outcome
    listing: Path  # or, if the listing is empty, the largest file that the program wrote
    name: str  # "listing", or the name of that file


@dataclass(frozen=True)
class Inputs:
    """What every run is given."""

    deck: Path | None
    units: Mapping[int | str, str | Path]
    time_limit: float
    output_limit: int

    @classmethod
    def prepare(
        cls,
        folder: Path,
        deck: str | Path | None,
        units: Mapping[int | str, str | Path] | None,
        f66: bool,
        time_limit: float,
        output_limit: int,
    ) -> "Inputs":
        """Check the input files, and take the deck into the scratch folder as `run` would."""
        if not time_limit > 0:
            raise ValueError(f"time_limit must be positive, not {time_limit}")
        named = ({"deck": deck} if deck else {}) | {f"units[{name!r}]": path for name, path in (units or {}).items()}
        for argument, path in named.items():
            if not os.access(path, os.R_OK) or Path(path).is_dir():
                raise LegacyError(f"{argument} {path}: no such file, or it cannot be read")
        return cls(_deck(deck, folder, f66, []) if deck else None, units or {}, time_limit, output_limit)

    def run(self, built: Executable, folder: Path) -> Trial:
        """Run a program in a new folder."""
        work = folder / "units"
        work.mkdir(parents=True)
        for name, path in self.units.items():
            _copy(Path(path), work / (f"fort.{name}" if str(name).isdigit() else str(name)))
        before = {path: _sha256(path) for path in _files(work)}
        listing = folder / "listing.txt"
        outcome = execute(
            [built.path],
            work,
            deck=self.deck,
            listing=listing,
            time_limit=self.time_limit,
            output_limit=self.output_limit,
        )
        written = [path for path in _files(work) if path.stat().st_size and before.get(path) != _sha256(path)]
        if listing.stat().st_size or not written:
            return Trial(outcome, listing, "listing")
        largest = max(written, key=lambda path: path.stat().st_size)
        return Trial(outcome, largest, largest.name)


def sources_of(program: str | Path | Sequence[str | Path], form: str | None, columns: str) -> tuple[Source, ...]:
    """Return the sources of a program of one or several files."""
    paths = [program] if isinstance(program, str | Path) else list(program)
    if not paths:
        raise ValueError("program must name at least one source")
    return tuple(read(path, form=form, columns=columns) for path in paths)


# --- results --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """One build and its run.

    Attributes
    ----------
    compiler, optimize : str
        The compiler's name and the level.
    retain : bool
        Whether locals keep their values from call to call and start as zero.
    verdict : str
        "same", "rounding", "different", "ran" (with nothing to compare with), or how it failed: "not built", "crash",
        "error", "time limit", "output limit".
    sentence : str
        What there is to say of it.
    largest_relative : float or None
        The largest relative difference from the reference; None where the listings cannot be compared.
    line : int or None
        The first line of the listing that differs.
    seconds : float
        How long the program ran.
    comparison : Comparison or None
        With the reference.
    """

    compiler: str
    optimize: str
    retain: bool
    verdict: str
    sentence: str
    largest_relative: float | None
    line: int | None
    seconds: float
    comparison: _compare.Comparison | None

    @property
    def name(self) -> str:
        """Compiler, level, and whether locals are retained."""
        return f"{self.compiler} {self.optimize}" + ("" if self.retain else ", locals not retained")

    @property
    def sound(self) -> bool:
        """The same listing but for rounding."""
        return self.verdict in ("same", "rounding")


@dataclass(frozen=True)
class Matrix:
    """What `flags_matrix` found.

    Attributes
    ----------
    variants : tuple of Variant
        One for each build.
    conclusion : str
        One sentence.
    reference : str
        What the listings are compared with.
    probes : dict of str to float
        For each way of rounding otherwise the largest difference that it made, relative to the largest number of the
        column.
    """

    variants: tuple[Variant, ...]
    conclusion: str
    reference: str
    probes: dict[str, float]

    @property
    def ok(self) -> bool:
        """The plainest build runs, and all with retained locals give the same listing but for rounding."""
        kept = [variant for variant in self.variants if variant.retain]
        return kept[0].sound and all(variant.sound or variant.verdict == "not built" for variant in kept)

    def report(self) -> str:
        """Return the table and the conclusion."""
        rows = [
            (
                variant.compiler,
                variant.optimize,
                "retained" if variant.retain else "not retained",
                variant.verdict,
                "" if variant.largest_relative is None else f"{variant.largest_relative:.1e}",
                f"{variant.seconds:.2f}",
                variant.sentence,
            )
            for variant in self.variants
        ]
        heading = ("compiler", "level", "locals", "verdict", "largest", "seconds", "")
        widths = [max(len(row[i]) for row in (heading, *rows)) for i in range(6)]
        table = [
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[6]]).rstrip()
            for row in (heading, *rows)
        ]
        probes = [f"  {name}: {size:.1e}" for name, size in self.probes.items()]
        if probes:
            probes = [
                "",
                "What rounding up, down or towards zero alone changes, relative to the largest number of the column:",
                *probes,
            ]
        lines = [f"Compared with {self.reference}; largest is the largest relative difference.", "", *table, *probes]
        return "\n".join([*lines, "", f"Conclusion: {self.conclusion}.", ""])


# --- the matrix -----------------------------------------------------------------------------------


def flags_matrix(
    program: str | Path | Sequence[str | Path],
    *,
    deck: str | Path | None = None,
    units: Mapping[int | str, str | Path] | None = None,
    compare: str | Path | None = None,
    rtol: float = 0.0,
    atol: float = 0.0,
    compilers: Sequence[str] | None = None,
    f66: bool = False,
    extra: Sequence[str] = (),
    form: str | None = None,
    columns: str = "auto",
    time_limit: float = 60.0,
    output_limit: int = OUTPUT_LIMIT,
) -> Matrix:
    """Build and run a program with every compiler present at -O0, -O2 and -O3, and tell rounding from faults.

    Each build is made twice: with locals that keep their values and start as zero, as old programs expect, and without.
    A build that fails or does not end is a row of the table like the others. Nothing is kept of the runs but what
    the table says.

    Parameters
    ----------
    program, deck, units, f66, extra, form, columns, output_limit
        See `ecgkern.legacy.run`.
    compare : str or pathlib.Path, optional
        The golden listing, which all are compared with; else it is the listing of the first compiler at -O0 with
        retained locals.
    rtol, atol : float, optional
        Differences up to these count as none.
    compilers : sequence of str, optional
        Names or paths; else every compiler on this machine.
    time_limit : float, optional
        Seconds for the first run; the others get twenty times what that took and 10 s, but no more than this.

    Returns
    -------
    Matrix
        The table, with ``ok``, ``conclusion`` and ``report()``.

    Raises
    ------
    LegacyError
        If a file is missing, or no compiler is there.
    """
    sources = sources_of(program, form, columns)
    found = [find(name) for name in compilers] if compilers is not None else available()
    if not found:
        find("gfortran")  # raises, with the command that installs it
    with tempfile.TemporaryDirectory(prefix="ecgkern-legacy-") as scratch:
        folder = Path(scratch)
        if compare is not None:
            _compare.compare(compare, compare)  # raises if there is no such listing
        inputs = Inputs.prepare(folder, deck_of(sources, deck, folder), units, f66, time_limit, output_limit)
        bench = _Bench(sources, folder, inputs, f66, tuple(extra), compare, rtol, atol)
        return bench.run(found)


@dataclass
class _Bench:
    sources: tuple[Source, ...]
    folder: Path
    inputs: Inputs
    f66: bool
    extra: tuple[str, ...]
    golden: str | Path | None
    rtol: float
    atol: float

    def run(self, compilers: Sequence[Compiler]) -> Matrix:
        wanted = [(compiler, level, retain) for retain in (True, False) for compiler in compilers for level in LEVELS]
        first = self._try("reference", compilers[0], LEVELS[0], True)
        reference: str | Path | None = self.golden
        if isinstance(first, Trial):
            limit = min(self.inputs.time_limit, 20 * first.outcome.seconds + 10)
            size = min(self.inputs.output_limit, 4 * first.listing.stat().st_size + 2**26)
            self.inputs = Inputs(self.inputs.deck, self.inputs.units, limit, size)
            reference = reference or (first.listing if first.outcome.ok else None)
        with ThreadPoolExecutor(max(len(os.sched_getaffinity(0)), 1)) as pool:
            probing = {name: pool.submit(self._probe, mode, compilers[0], first) for name, mode in _PROBES.items()}
            rows = [
                pool.submit(self._row, number, *variant, reference, first if number == 0 else None)
                for number, variant in enumerate(wanted)
            ]
            probes = {name: future.result() for name, future in probing.items()}
            variants = [row.result() for row in rows]
        made = {name: comparison for name, comparison in probes.items() if comparison is not None}
        judged = tuple(_judged(variant, list(made.values()), self.golden is not None) for variant in variants)
        name = "the golden listing" if self.golden else f"{judged[0].name}"
        if self.golden is None and isinstance(first, Trial) and first.name != "listing":
            name += f" (the file {first.name}; the listing is empty)"
        moved = {name: max(map(_share, comparison.columns), default=0.0) for name, comparison in made.items()}
        return Matrix(judged, _conclusion(judged, moved, self.golden is not None), name, moved)

    def _try(
        self, name: str, compiler: Compiler, level: str, retain: bool, extra: Sequence[str] = ()
    ) -> Trial | BuildError:
        """Build and run; what cannot be built is an answer too."""
        home = self.folder / name
        try:
            built = build(
                self.sources,
                compiler,
                home / "build",
                optimize=level,
                retain=retain,
                f66=self.f66,
                extra=(*self.extra, *extra),
            )
        except BuildError as error:
            return error
        return self.inputs.run(built, home)

    def _row(
        self,
        number: int,
        compiler: Compiler,
        level: str,
        retain: bool,
        reference: str | Path | None,
        trial: Trial | BuildError | None,
    ) -> Variant:
        trial = trial or self._try(f"variant-{number}", compiler, level, retain)
        label = (compiler.name, level, retain)
        if isinstance(trial, BuildError):
            return Variant(*label, "not built", str(trial).splitlines()[0], None, None, 0.0, None)
        outcome = trial.outcome
        verdict = "ran" if outcome.ok else outcome.ended
        sentence, comparison = "" if outcome.ok else outcome.message, None
        if reference is not None:
            try:
                comparison = _compare.compare(trial.listing, reference, rtol=self.rtol, atol=self.atol)
            except LegacyError as error:
                empty = not (trial.listing.stat().st_size or Path(reference).stat().st_size)
                if outcome.ok:
                    verdict, sentence = ("same", "prints nothing") if empty else ("different", str(error))
        if number:  # the first one's is what the probes are compared with
            trial.listing.unlink()  # as many of them as there are builds could fill a disk
        line = comparison.differences[0].line if comparison and comparison.differences else None
        largest = comparison.largest_relative if comparison and outcome.ok else None
        return Variant(*label, verdict, sentence, largest, line, outcome.seconds, comparison)

    def _probe(self, mode: str, compiler: Compiler, first: Trial | BuildError) -> _compare.Comparison | None:
        """Return how the reference changes when only the rounding does; None if that cannot be had here."""
        if not isinstance(first, Trial) or not first.outcome.ok:
            return None
        code = self.folder / f"{mode}.c"
        code.write_text(_PROBE % mode)
        compiled = code.with_suffix(".o")
        command = [compiler.path, "-c", str(code), "-o", str(compiled)]
        try:
            made = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            return None
        trial = None if made.returncode else self._try(mode, compiler, LEVELS[0], True, [str(compiled)])
        if not isinstance(trial, Trial) or not trial.outcome.ok:
            return None
        try:
            return _compare.compare(trial.listing, first.listing)
        except LegacyError:
            return None


# --- what it means --------------------------------------------------------------------------------


def _share(column: _compare.Column) -> float:
    """Return the largest difference, relative to the column's largest number."""
    return column.largest_absolute / column.scale if column.scale else column.largest_relative


def _judged(variant: Variant, probes: list[_compare.Comparison], golden: bool) -> Variant:
    """Return the variant with its verdict, if it ran: the same, rounding or different."""
    comparison = variant.comparison
    if variant.verdict != "ran":
        return variant
    values = vars(variant)
    if comparison is None:
        return Variant(**values | {"sentence": "nothing to compare with"})
    where = f"first at line {variant.line}" if variant.line else ""
    if comparison.agree:
        same = {"identical": "", "same numbers": "the same numbers in another layout"}
        return Variant(**values | {"verdict": "same", "sentence": same.get(comparison.verdict, comparison.verdict)})
    reason = _beyond_rounding(comparison, probes)
    if reason:
        if not golden:
            reason = reason.replace("golden listing", "reference")
        return Variant(**values | {"verdict": "different", "sentence": f"{reason}; {where}"})
    beyond = [column for column in comparison.columns if column.beyond]
    size = max(map(_share, beyond), default=0.0)
    sentence = (
        f"by {size:.1e} of the column's largest number; {where}" if beyond else f"as other rounding does; {where}"
    )
    return Variant(**values | {"verdict": "rounding", "sentence": sentence})


def _beyond_rounding(comparison: _compare.Comparison, probes: list[_compare.Comparison]) -> str:
    """Return what cannot come from rounding, or nothing."""
    for kind in _OWN_KINDS:
        if comparison.counts[kind] and not any(probe.counts[kind] for probe in probes):
            return next((d.sentence for d in comparison.differences if d.kind == kind), f"{kind} differ")
    for column in comparison.columns:
        if not column.beyond or 0 < column.largest_units <= _compare.ROUNDING:
            continue
        moved = [other for probe in probes for other in probe.columns if other.key == column.key]
        allowed = _GENEROUS * max((other.largest_absolute for other in moved), default=0.0)
        if not probes:
            allowed = _ASSUMED * column.scale
        if column.largest_absolute > allowed:
            times = f"{_GENEROUS} times as much as rounding moves it" if allowed else "rounding does not move it"
            return f"{column.name} differs by {column.largest_absolute:.2g}: " + (
                f"more than {times}" if allowed else times
            )
    return ""


def _conclusion(variants: Sequence[Variant], moved: Mapping[str, float], golden: bool) -> str:
    first = variants[0]
    kept = [variant for variant in variants if variant.retain]
    loose = [variant for variant in variants if not variant.retain]
    if first.verdict not in ("same", "rounding", "different", "ran"):
        return f"{first.name}, the plainest build, does not run: {first.sentence}"
    refused = sorted({variant.compiler for variant in kept if variant.verdict == "not built"})
    built = [variant for variant in variants if variant.verdict != "not built"]
    kept = [variant for variant in kept if variant.verdict != "not built"]
    loose = [variant for variant in loose if variant.verdict != "not built"]
    broken = [variant for variant in kept if variant.verdict not in ("same", "rounding", "different")]
    different = [variant for variant in kept if variant.verdict == "different"]
    if golden and len(different) == len(kept):
        return (
            f"every build differs from the golden listing, {first.name} at line {first.line}: it is neither rounding "
            "nor optimisation, so look at deck and source"
        )
    faulty = different + broken
    if faulty:
        plain = {variant.compiler for variant in kept if variant.optimize == LEVELS[0] and variant.sound}
        names = ", ".join(variant.name for variant in faulty)
        does = "; ".join(f"{variant.name}: {variant.verdict}" for variant in broken)
        if any(variant.compiler in plain for variant in faulty):
            if different:
                return f"a fault: the listing depends on optimisation far beyond rounding ({names}): run --autopsy"
            return f"a fault: the program runs or fails by optimisation ({does}): run --autopsy"
        if different:
            return f"a fault: the listing depends on the compiler far beyond rounding ({names}): run --autopsy"
        return f"a fault: with some compilers the program does not run ({does})"
    rounding = [variant for variant in kept if variant.verdict == "rounding"]
    lost = [variant for variant in loose if not variant.sound]
    parts = []
    if rounding:
        size = max(
            (_share(c) for v in rounding if v.comparison is not None for c in v.comparison.columns if c.beyond),
            default=0.0,
        )
        probe = max(moved.values(), default=0.0)
        among = "the golden listing" if golden else first.name
        parts.append(
            f"rounding: last digits differ between {among} and {', '.join(variant.name for variant in rounding)}, at "
            f"most {size:.0e} of the column's largest number (other rounding alone changes {probe:.0e})"
        )
    if lost:
        changed = next((variant for variant in lost if variant.line), lost[0])
        how = f"the listing changes at line {changed.line}" if changed.line else f"it ends otherwise: {changed.verdict}"
        parts.append(
            f"the program relies on retained or zeroed locals: without them {how} ({changed.compiler} "
            f"{changed.optimize}); with them all {len(kept)} builds {'agree' if rounding else 'give the same listing'}"
        )
    if not parts:
        parts.append(f"same listing in all {len(built)} builds")
    if refused:
        parts.append(f"{' and '.join(refused)} cannot build the program")
    return "; ".join(parts)
