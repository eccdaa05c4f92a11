"""How far the synthetic records are from the real ones, and, as the yardstick, real records from real records.

A distance between samples has no scale of its own, and most grow as the samples get smaller. So the real records are
halved at random (whole patients, where these are known), again and again, and each time one half is compared with the
other and with as many synthetic records. Synthetic records as good as real ones are farther off every second time.
Several synthetic sets see the same halves.
"""

import math
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecgkern import stats
from ecgkern._page import spread
from ecgkern._progress import Advance
from ecgkern.evaluate._features import RHYTHM, Features, Floats
from ecgkern.evaluate._input import Pair, halves

N_SPLITS = 10
WIDTHS = (1, 2, 4, 8)  # of the kernels for several sets, in median distances of real records
LEVEL = 0.05
DTW_FS = 50.0  # Hz, at least; the bulk of an ECG's power is below 25 Hz
DTW_SECONDS = 10.0
DTW_WINDOW = 1.0  # s: one beat at 60 beats/min, so that any phase of the rhythm may be matched
DTW_RECORDS = 200  # of each side


class Metric(NamedTuple):
    """A distance between two samples of records."""

    name: str
    unit: str
    about: str
    distance: Callable[[Features, Features], float]


@dataclass(frozen=True, eq=False)
class Measured:
    """One distance: of all records, and of the halves; `reason` says why there is none."""

    metric: Metric
    value: float = math.nan
    to_synthetic: Floats = field(
        default_factory=lambda: np.zeros(0)
    )  # of a half of the real records from as many synthetic ones
    to_real: Floats = field(default_factory=lambda: np.zeros(0))  # and from the other half
    reason: str = ""

    @property
    def farther(self) -> int:
        """In how many of the splits the synthetic records are farther off than the real ones."""
        return int((self.to_synthetic > self.to_real).sum())


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """A test on the MMD²; `reason` says why there is no p-value."""

    name: str
    bandwidth: float
    statistic: float
    pvalue: float = math.nan
    null: Floats = field(default_factory=lambda: np.zeros(0))
    method: str = "none"
    permuted: str = "records"
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Nearest:
    """DTW distance of each record from the nearest real one, in mV (root mean square over the samples)."""

    synthetic: Floats
    real: Floats  # each real record from the nearest other one, of another patient where these are known
    synthetic_rows: list[int]
    fs: float  # Hz
    seconds: float
    lead: str

    @property
    def closer_than_any(self) -> int:
        """How many synthetic records are nearer to a real one than any two real ones are to each other."""
        return int((self.synthetic < self.real.min()).sum())


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything that was found out about a pair."""

    pair: Pair
    real: Features
    synthetic: Features
    tests: list[PermutationTest]
    measured: list[Measured]
    ks: Any  # statistic and p-value, (leads, samples)
    rhythm_pvalues: dict[str, float]
    nearest: Nearest
    witness_real: Floats
    witness_synthetic: Floats
    sizes: tuple[int, int]  # records of a half, and how many are compared with it; zeros without a yardstick
    notes: list[str]


def compare(
    pairs: Sequence[Pair],
    real: Features,
    sets: Sequence[Features],
    *,
    n_resamples: int,
    seed: int,
    rng: np.random.Generator,
    backend: str | None,
    advance: Advance,
) -> list[Comparison]:
    """Take every measure of every set beside the real records; `advance` hears of each test, split and warp.

    `rng` halves the real records. All else that is random depends on the seed and on the set that it is for.
    """
    notes = list(pairs[0].notes)
    total = N_SPLITS + 4 * len(sets)
    steps = iter(range(1, total + 1))

    def done() -> None:
        advance(next(steps), total)

    generators = [np.random.default_rng([seed, zlib.crc32(synthetic.signals.data)]) for synthetic in sets]
    tests = []
    for pair, synthetic, generator in zip(pairs, sets, generators, strict=True):
        with _noted(notes, f"{pair.synthetic.label}: "):
            tests.append(_tests(real, synthetic, n_resamples, generator, backend, done))
    comparisons = []
    with _noted(notes):
        if len(sets) == 1:
            real, *sets = standardised([real, *sets], [real, *sets])
            of_signals, of_bands = ([test.bandwidth] for test in tests[0])
        else:  # what one of several sets is like must not change the scale that another is measured by
            real, *sets = standardised([real, *sets], [real])
            of_signals, of_bands = (
                [width * stats.median_bandwidth(of(real), backend=backend) for width in WIDTHS]
                for of in (_signals, _bands)
            )
        metrics = _metrics(pairs[0], of_signals, of_bands, backend)
        measured, sizes = _with_yardstick(metrics, real, sets, rng, generators, done)
        nearest = _nearest(pairs[0], real, sets, backend, done)
        for k, (pair, synthetic) in enumerate(zip(pairs, sets, strict=True)):
            ks = stats.ks_2samp(real.signals, synthetic.signals, axis=0, backend=backend)
            rhythm_pvalues = {}
            if real.rhythm is not None:
                rhythm_pvalues = {name: _rhythm_pvalue(c, real, synthetic, backend) for c, name in enumerate(RHYTHM)}
            at_real, at_synthetic = (
                stats.mmd_witness(side.bands, real.bands, synthetic.bands, bandwidth=of_bands, backend=backend)
                for side in (real, synthetic)
            )
            comparisons.append(
                Comparison(
                    pair=pair,
                    real=real,
                    synthetic=synthetic,
                    tests=tests[k],
                    measured=measured[k],
                    ks=ks,
                    rhythm_pvalues=rhythm_pvalues,
                    nearest=nearest[k],
                    witness_real=at_real,
                    witness_synthetic=at_synthetic,
                    sizes=sizes,
                    notes=notes,
                )
            )
            done()
    return comparisons


@contextmanager
def _noted(notes: list[str], whose: str = "") -> Iterator[None]:
    """Add what the functions warn of to the notes of the report."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RuntimeWarning)
        yield
    said = [str(warning.message) for warning in caught if issubclass(warning.category, RuntimeWarning)]
    for line in dict.fromkeys(f"{line[0].upper()}{line[1:]}." for line in said):
        if not any(whose + line in note for note in notes):
            notes.append(whose + line)


def standardised(sides: Sequence[Features], by: Sequence[Features]) -> list[Features]:
    """The sides with band powers in standard deviations of all of `by` together."""
    pooled = np.concatenate([side.bands for side in by])
    mean, deviation = pooled.mean(axis=0), pooled.std(axis=0)
    deviation[deviation == 0] = 1.0
    return [replace(side, bands=(side.bands - mean) / deviation) for side in sides]


def _signals(side: Features) -> Any:
    return side.flat


def _bands(side: Features) -> Any:
    return side.bands


# --- tests --------------------------------------------------------------------------------------------------------


def _tests(
    real: Features,
    synthetic: Features,
    n_resamples: int,
    rng: np.random.Generator,
    backend: str | None,
    done: Callable[[], None],
) -> list[PermutationTest]:
    """The tests on signals and spectra, in scales that no permutation changes: those of both samples together."""
    real, synthetic = standardised([real, synthetic], [real, synthetic])
    tests = []
    for name, of in (("signals", _signals), ("spectra", _bands)):
        tests.append(_permutation_test(name, of, real, synthetic, n_resamples, rng, backend))
        done()
    return tests


def _permutation_test(
    name: str,
    of: Callable[[Features], Any],
    real: Features,
    synthetic: Features,
    n_resamples: int,
    rng: np.random.Generator,
    backend: str | None,
) -> PermutationTest:
    x, y = of(real), of(synthetic)
    bandwidth = stats.median_bandwidth(x, y, backend=backend)
    groups_x, groups_y = _groups(real, synthetic)
    permuted = "records" if groups_x is None else "patients"
    try:
        result = stats.mmd_test(
            x,
            y,
            bandwidth=bandwidth,
            n_resamples=n_resamples,
            groups_x=groups_x,
            groups_y=groups_y,
            rng=rng,
            backend=backend,
        )
    except ValueError as error:  # a side with one patient
        statistic = float(stats.mmd2(x, y, bandwidth=bandwidth, backend=backend))
        return PermutationTest(name, bandwidth, statistic, permuted=permuted, reason=str(error))
    return PermutationTest(
        name, bandwidth, result.statistic, result.pvalue, result.null_distribution, result.method, permuted
    )


def _groups(real: Features, synthetic: Features) -> tuple[list[str] | None, list[str] | None]:
    """The patient of each record; where only one side has patients, each record of the other is one of its own."""
    if real.patients is None and synthetic.patients is None:
        return None, None
    labels = [
        [f"{side_name} record {i}" for i in range(len(side))]
        if side.patients is None
        else list(map(str, side.patients))
        for side_name, side in (("real", real), ("synthetic", synthetic))
    ]
    return labels[0], labels[1]


# --- distances ----------------------------------------------------------------------------------------------------


def _metrics(pair: Pair, of_signals: list[float], of_bands: list[float], backend: str | None) -> list[Metric]:
    def mmd2(of: Callable[[Features], Any], bandwidth: list[float], x: Features, y: Features) -> float:
        return float(stats.mmd2(of(x), of(y), bandwidth=bandwidth, backend=backend))

    def ks_share(adjusted: bool, x: Features, y: Features) -> float:
        pvalue = np.asarray(stats.ks_2samp(x.signals, y.signals, axis=0, backend=backend).pvalue)
        return 100 * share_rejected(pvalue, adjusted)

    def psd(x: Features, y: Features) -> float:
        by_lead = [stats.psd_distance(x.signals[:, k], y.signals[:, k], fs=pair.fs) for k in range(len(pair.leads))]
        return float(np.mean(by_lead))

    def ks_of_rhythm(column: int, x: Features, y: Features) -> float:
        if pair.without_rhythm:
            raise ValueError(pair.without_rhythm)
        return _ks_of_rhythm(column, x, y, backend)[0]

    length = f"{len(pair.leads)} x {pair.length} values of a record"
    metrics = [
        Metric("MMD², signals", "", f"Gaussian kernel on the {length}", partial(mmd2, _signals, of_signals)),
        Metric("MMD², spectra", "", "Gaussian kernel on the octave bands' powers", partial(mmd2, _bands, of_bands)),
        Metric(
            "energy distance",
            "mV",
            f"Euclidean, on the {length}",
            lambda x, y: float(stats.energy_distance(x.flat, y.flat, backend=backend)),
        ),
        Metric(
            "Fréchet distance, signals",
            "mV²",
            f"of Gaussians with the means and covariances of the {length}, by way of the records where these are fewer",
            lambda x, y: float(stats.frechet_distance(x.flat, y.flat)),
        ),
        Metric(
            "Fréchet distance, spectra",
            "",
            "the same of the powers in octave bands, in standard deviations",
            lambda x, y: float(stats.frechet_distance(x.bands, y.bands)),
        ),
        Metric("KS rejects at 5 %", "%", "share of a record's samples; at most 5 % expected", partial(ks_share, False)),
        Metric("KS rejects, adjusted", "%", "the same at a false discovery rate of 5 %", partial(ks_share, True)),
        Metric(
            "Wasserstein distance",
            "mV",
            "of each sample of a record, averaged",
            lambda x, y: float(np.mean(stats.wasserstein_distance(x.signals, y.signals, axis=0))),
        ),
        Metric("PSD distance", "dB", "between the mean spectra, root mean square, averaged over the leads", psd),
    ]
    for column, name in enumerate(RHYTHM):
        about = f"largest difference of the distribution functions of {name}"
        metrics.append(Metric(f"{name}, KS", "", about, partial(ks_of_rhythm, column)))
    return metrics


def share_rejected(pvalue: Floats, adjusted: bool) -> float:
    """Share of p-values at or below 5 %, or of those that Benjamini and Hochberg reject at that discovery rate."""
    p = np.sort(pvalue, axis=None)
    threshold = LEVEL * np.arange(1, p.size + 1) / p.size if adjusted else LEVEL
    below = np.flatnonzero(p <= threshold)
    return float((below[-1] + 1) / p.size) if below.size else 0.0


def _ks_of_rhythm(column: int, x: Features, y: Features, backend: str | None) -> tuple[float, float]:
    values = [np.asarray(side.rhythm)[:, column] for side in (x, y)]
    values = [v[np.isfinite(v)] for v in values]
    if min(map(len, values)) < 2:
        raise ValueError("fewer than 2 records have 3 R peaks")
    result = stats.ks_2samp(*values, backend=backend)
    return float(result.statistic), float(result.pvalue)


def _rhythm_pvalue(column: int, x: Features, y: Features, backend: str | None) -> float:
    try:
        return _ks_of_rhythm(column, x, y, backend)[1]
    except ValueError:  # the distance of the same name says why
        return math.nan


def _with_yardstick(
    metrics: list[Metric],
    real: Features,
    sets: Sequence[Features],
    rng: np.random.Generator,
    generators: Sequence[np.random.Generator],
    done: Callable[[], None],
) -> tuple[list[list[Measured]], tuple[int, int]]:
    """Every metric of all records of each set, and of `N_SPLITS` halves."""
    whole = [[_safely(metric, real, synthetic) for metric in metrics] for synthetic in sets]
    divisions = [_division(real, sets, rng, generators) for _ in range(N_SPLITS)]
    n_first, n_second = divisions[0][0].size, divisions[0][1].size
    if min(min(map(len, division)) for division in divisions) < 2:
        return [
            [Measured(m, value, reason=reason) for m, (value, reason) in zip(metrics, of_set, strict=True)]
            for of_set in whole
        ], (0, 0)
    to_others = np.empty((1 + len(sets), len(metrics), N_SPLITS))  # the other half, and each set
    for split, (first, second, *drawn) in enumerate(divisions):
        half = real.take(first)
        others = [real.take(second), *(side.take(rows) for side, rows in zip(sets, drawn, strict=True))]
        for row, metric in enumerate(metrics):
            to_others[:, row, split] = [_safely(metric, half, other)[0] for other in others]
        done()
    return [
        [
            Measured(metric, value, to_synthetic[row], to_others[0, row], reason)
            for row, (metric, (value, reason)) in enumerate(zip(metrics, of_set, strict=True))
        ]
        for of_set, to_synthetic in zip(whole, to_others[1:], strict=True)
    ], (n_first, n_second)


def _safely(metric: Metric, x: Features, y: Features) -> tuple[float, str]:
    """The distance, or why there is none: flat signals have no spectrum, and few records no heart rates."""
    try:
        return metric.distance(x, y), ""
    except ValueError as error:
        return math.nan, str(error)


def _division(
    real: Features, sets: Sequence[Features], rng: np.random.Generator, generators: Sequence[np.random.Generator]
) -> list[NDArray[np.int64]]:
    """Rows of two halves of the real records, and of each set as many as the second has."""
    first, second = halves(real.patients, len(real), rng)
    size = min(second.size, *map(len, sets))
    others = None if real.patients is None else real.patients[second]
    second = second[_draw(others, second.size, size, rng)]
    drawn = (_draw(side.patients, len(side), size, own) for side, own in zip(sets, generators, strict=True))
    return [first, second, *drawn]


def _draw(patients: Any, n: int, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`size` of n rows, patient after patient in random order."""
    units = np.arange(n) if patients is None else np.unique(patients, return_inverse=True)[1].reshape(n)
    place = rng.permutation(n if patients is None else int(units.max()) + 1)[units]
    return np.sort(np.argsort(place, kind="stable")[:size])


def _nearest(
    pair: Pair, real: Features, sets: Sequence[Features], backend: str | None, done: Callable[[], None]
) -> list[Nearest]:
    """How far each record of each set is from the nearest real one, by DTW of one lead."""
    lead = pair.rhythm_lead or 0
    step = max(1, int(pair.fs // DTW_FS))
    n_steps = max(1, min(pair.length, round(DTW_SECONDS * pair.fs)) // step)
    step = min(step, pair.length)
    fs = pair.fs / step

    def coarse(side: Features, rows: list[int]) -> Floats:
        signals = side.signals[rows, lead, : n_steps * step].astype(np.float64)
        return np.asarray(signals.reshape(len(rows), n_steps, step).mean(axis=2))

    window = round(DTW_WINDOW * fs) + 1
    warp = partial(stats.cdist_dtw, window=window, backend=backend)
    scale = math.sqrt(n_steps)
    rows_real = spread(range(len(real)), DTW_RECORDS)
    x = coarse(real, rows_real)
    units = np.asarray(rows_real) if real.patients is None else np.asarray(real.patients)[rows_real]
    own = np.where(units[:, None] == units, np.inf, warp(x, x)).min(axis=1)
    own = np.where(np.isfinite(own), own, np.nan)
    found = []
    for synthetic in sets:
        rows = spread(range(len(synthetic)), DTW_RECORDS)
        nearest = warp(coarse(synthetic, rows), x).min(axis=1)
        found.append(Nearest(nearest / scale, own / scale, rows, fs, n_steps / fs, pair.leads[lead]))
        done()
    return found
