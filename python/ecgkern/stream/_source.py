"""The two sides of the stream: a thread that keeps the ring filled, and what viewers get to see of it.

As in the blog, random codes enter a ring until it is full, the decoder makes records of all of them, and these go into
a second, larger ring, in which they take the place of the oldest. A viewer looks at a few of these at random.
"""

import threading
import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ecgkern._style import RECORDED
from ecgkern.generate._look import QUALITIES, find_peaks, quality_labels
from ecgkern.generate._sampler import Sampler, Signals
from ecgkern.stream._ring import RingBuffer

# What a picture says of quality; dark enough to be read on white.
COLOURS = dict(zip(QUALITIES, ("#1b7837", "#8a6d00", "#a11212"), strict=True)) | {"": RECORDED}


class Generator:
    """A thread that fills a ring with records, for use in a `with` block.

    It fills the ring once, as fast as it can, and then makes one batch for each batch of rows that was looked at. So it
    never waits for a viewer to finish with anything, and uses no processor while nobody looks.

    Parameters
    ----------
    sampler : Sampler
        What makes records.
    ring : RingBuffer
        Where they go.
    batch : int
        How many are made at a time.
    """

    def __init__(self, sampler: Sampler, ring: RingBuffer, batch: int) -> None:
        self._sampler, self._ring = sampler, ring
        sizes = [int(np.prod(shape)) for _, shape in sampler.kinds]
        self._ends = np.cumsum(sizes)[:-1]
        self.codes = RingBuffer(min(batch, ring.capacity), sum(sizes))
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ecgkern stream", daemon=True)

    def __enter__(self) -> "Generator":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread still runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Let the thread end after the batch that it is making."""
        self._stop.set()
        self._ring.close()

    def check(self) -> None:
        """Raise what ended the thread, if anything did."""
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        record = 0
        try:
            while self._ring.wait_for_room(self.codes.capacity) and not self._stop.is_set():
                while not self.codes.full:
                    code = [part.ravel() for part in self._sampler.codes([record])]
                    self.codes.append(np.concatenate(code)[None])
                    record += 1
                self._ring.append(self._decode(self.codes.ordered()))
                self.codes.clear()
        except BaseException as error:
            self.error = error
            self._ring.close()  # wakes the viewers, who then see the error

    def _decode(self, codes: NDArray[np.float32]) -> Signals:
        parts = np.split(codes, self._ends, axis=1)
        kinds = self._sampler.kinds
        return self._sampler.decode(
            tuple(np.ascontiguousarray(part.reshape(-1, *shape)) for part, (_, shape) in zip(parts, kinds, strict=True))
        )


class Shown(NamedTuple):
    """One lead of a record, as a viewer shows it.

    Attributes
    ----------
    signal : ndarray, shape (length,)
        In mV.
    r_peaks : ndarray of int
        R peaks that NeuroKit2 finds, in samples.
    quality : str
        One of `QUALITIES`, or "" where the record is too short to tell.
    components : tuple of ndarray, optional
        t1 and t2 of `decompose`.
    """

    signal: NDArray[np.float32]
    r_peaks: NDArray[np.int64]
    quality: str
    components: tuple[NDArray[np.float64], NDArray[np.float64]] | None


class Snapshot(NamedTuple):
    """What is to be seen at one moment."""

    shown: tuple[Shown, ...]
    in_ring: int
    made: int


class Monitor:
    """What viewers see: a few random records, with R peaks and quality.

    Viewers that ask within `every` seconds get the same snapshot, so that ten cost no more than one.

    Parameters
    ----------
    ring : RingBuffer
        Where the records are.
    generator : Generator
        What fills it; its error, if it has one, is raised here.
    fs : float
        Sampling rate in Hz.
    lead : int
        Which lead to show.
    show : int
        How many records.
    every : float
        Seconds between snapshots.
    emd : bool
        Whether to decompose them.
    look : bool
        Whether to look for R peaks and quality.
    seed : int
        Of the choice.
    """

    def __init__(
        self,
        ring: RingBuffer,
        generator: Generator,
        *,
        fs: float,
        lead: int = 0,
        show: int = 5,
        every: float = 0.5,
        emd: bool = False,
        look: bool = True,
        seed: int = 0,
    ) -> None:
        self.ring, self.generator = ring, generator
        self.fs, self.lead, self.show, self.every, self.emd = fs, lead, show, every, emd
        self._look = look
        self._rng = np.random.default_rng([seed, 1])
        self._lock = threading.Lock()
        self._last: tuple[float, Snapshot] | None = None

    def snapshot(self, *, fresh: bool = False) -> Snapshot:
        """Return what is to be seen now; with `fresh`, other records than last time however short ago that was.

        Waits for the first records after the start.
        """
        with self._lock:
            if self._last is None or fresh or time.monotonic() - self._last[0] >= 0.8 * self.every:
                self.ring.wait_for_rows(min(self.show, self.ring.capacity))
                self.generator.check()
                chosen = self.ring.sample(self.show, self._rng)[:, :, self.lead]
                shown = tuple(self._shown(signal) for signal in chosen)
                self._last = (time.monotonic(), Snapshot(shown, len(self.ring), self.ring.appended))
            return self._last[1]

    def _shown(self, signal: NDArray[np.float32]) -> Shown:
        peaks, quality = np.empty(0), ""
        if self._look:
            peaks, quality = find_peaks(signal[None], self.fs)[0], quality_labels(signal[None], self.fs)[0]
        return Shown(signal, peaks.astype(np.int64), quality, decompose(signal) if self.emd else None)


def decompose(signal: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split a signal by empirical mode decomposition into what swings fast, t1, and the rest, t2.

    Parameters
    ----------
    signal : array_like, shape (length,)
        A signal.

    Returns
    -------
    t1, t2 : ndarray, shape (length,)
        They add up to the signal. t2 is the sum of the last two components, or 0 where there are no more than two.

    Raises
    ------
    ImportError
        If PyEMD is missing (``pip install "ecgkern[stream]"``).

    Notes
    -----
    Huang et al. (1998), Proc. R. Soc. A 454, 903. The components depend on the program: another one may find more or
    fewer of them.
    """
    try:
        import PyEMD
    except ImportError as error:
        raise ImportError('EMD needs EMD-signal: pip install "ecgkern[stream]"') from error
    values = np.asarray(signal, np.float64)
    modes = PyEMD.EMD()(values)
    t2 = modes[-2:].sum(axis=0) if len(modes) > 2 else np.zeros_like(values)
    return values - t2, t2
