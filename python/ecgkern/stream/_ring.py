"""A ring of the latest sequences: a fixed array in which new ones take the place of the oldest."""

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


class RingBuffer:
    """The latest `capacity` arrays of one shape, written by one thread and read by others.

    Parameters
    ----------
    capacity : int
        How many arrays are kept.
    *shape : int
        The shape of each: ``RingBuffer(1000, length, leads)`` for signals, ``RingBuffer(64, latent)`` for codes.

    Notes
    -----
    A row is fresh until a reader has taken one for it: `append` adds fresh rows and `sample` uses them up, whichever
    rows it draws. A writer that calls `wait_for_room` before each batch therefore fills the ring once, and then makes
    a row for every row that is looked at; it sleeps while nobody looks.

    Examples
    --------
    >>> ring = RingBuffer(3, 2)
    >>> ring.append(np.arange(8.0).reshape(4, 2))
    >>> ring.ordered()
    array([[2., 3.],
           [4., 5.],
           [6., 7.]], dtype=float32)
    """

    def __init__(self, capacity: int, *shape: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, got {capacity}")
        self._rows = np.empty((capacity, *shape), np.float32)
        self._head = 0  # where the next row goes
        self._count = 0
        self._fresh = 0
        self._appended = 0
        self._closed = False
        self._changed = threading.Condition()

    @property
    def capacity(self) -> int:
        """How many rows there can be."""
        return len(self._rows)

    @property
    def full(self) -> bool:
        """Whether the next row will take the place of another."""
        with self._changed:
            return self._count == self.capacity

    @property
    def appended(self) -> int:
        """How many rows have been appended, those overwritten since included."""
        with self._changed:
            return self._appended

    def __len__(self) -> int:
        with self._changed:
            return self._count

    def append(self, batch: NDArray[np.float32]) -> None:
        """Append rows; of more than `capacity` the last ones are kept."""
        if batch.shape[1:] != self._rows.shape[1:]:
            expected = ", ".join(map(str, ("n", *self._rows.shape[1:])))
            raise ValueError(f"batch must have shape ({expected}), got {batch.shape}")
        last = batch[-self.capacity :]
        with self._changed:
            before_end = min(len(last), self.capacity - self._head)
            self._rows[self._head : self._head + before_end] = last[:before_end]
            self._rows[: len(last) - before_end] = last[before_end:]
            self._head = (self._head + len(last)) % self.capacity
            self._count = min(self._count + len(last), self.capacity)
            self._fresh = min(self._fresh + len(last), self.capacity)
            self._appended += len(batch)
            self._changed.notify_all()

    def sample(self, k: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Copy `k` different rows at random, or all there are if these are fewer."""
        with self._changed:
            chosen = rng.choice(self._count, size=min(k, self._count), replace=False)
            taken = self._rows[chosen]  # the first `count` places are those in use, wherever the head is
            self._fresh = max(self._fresh - k, 0)
            self._changed.notify_all()
        return taken

    def ordered(self) -> NDArray[np.float32]:
        """Copy all rows, the oldest first."""
        with self._changed:
            start = self._head if self._count == self.capacity else 0
            return np.concatenate([self._rows[start : self._count], self._rows[:start]])

    def clear(self) -> None:
        """Forget all rows."""
        with self._changed:
            self._head = self._count = self._fresh = 0
            self._changed.notify_all()

    def wait_for_rows(self, n: int, timeout: float | None = None) -> bool:
        """Sleep until there are `n` rows; return False if the ring was closed or the seconds passed before."""
        return self._wait(lambda: self._count >= n, timeout)

    def wait_for_room(self, n: int, timeout: float | None = None) -> bool:
        """Sleep until `n` rows are not fresh; return False if the ring was closed or the seconds passed before."""
        return self._wait(lambda: self.capacity - self._fresh >= min(n, self.capacity), timeout)

    def close(self) -> None:
        """Wake all that sleep, and let none sleep again."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or ready(), timeout)
            return not self._closed and ready()
