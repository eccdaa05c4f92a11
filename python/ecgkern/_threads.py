"""How many threads the CPU kernels use, and the thread pool of the numba backend.

The Fortran kernels are told the number at each call, so it holds for calls from any Python thread. The numba kernels
release the GIL and run on a pool of Python threads: numba's own threading layers abort the process when two Python
threads use them at once.
"""

import operator
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_lock = threading.Lock()
_num_threads: int | None = None
_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def _default_num_threads() -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def get_num_threads() -> int:
    """Return the number of threads that CPU kernels use.

    It is `OMP_NUM_THREADS` if that is set, else the number of processors this process may run on, until
    :func:`set_num_threads` changes it. Results are the same bits for every number of threads.

    Examples
    --------
    >>> import ecgkern
    >>> ecgkern.get_num_threads() >= 1
    True
    """
    global _num_threads
    if _num_threads is None:
        _num_threads = _default_num_threads()
    return _num_threads


def set_num_threads(n: int) -> None:
    """Set the number of threads that CPU kernels use, for the whole process.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is less than 1.

    Examples
    --------
    >>> import ecgkern
    >>> ecgkern.set_num_threads(2)
    >>> ecgkern.get_num_threads()
    2
    """
    global _num_threads
    try:
        n = operator.index(n)
    except TypeError:
        raise TypeError(f"n must be an integer number of threads, got {type(n).__name__}") from None
    if not 1 <= n < 2**15:
        raise ValueError(f"n must be a number of threads from 1 to {2**15 - 1}, got {n}")
    _num_threads = n


def run_ranges(n_items: int, work: Callable[[int, int], None], *, parallel: bool = True) -> None:
    """Call ``work(first, end)`` so that the ranges cover 0..n_items, several of them at a time if `parallel`."""
    n_threads = min(get_num_threads(), n_items) if parallel else 1
    if n_threads <= 1:
        work(0, n_items)
        return
    # More ranges than threads, because a range whose thread has to wait for a processor must not hold up the rest.
    n_ranges = min(n_items, 8 * n_threads)
    bounds = [n_items * i // n_ranges for i in range(n_ranges + 1)]
    for future in [_thread_pool(n_threads).submit(work, bounds[i], bounds[i + 1]) for i in range(n_ranges)]:
        future.result()


def _thread_pool(size: int) -> ThreadPoolExecutor:
    global _pool, _pool_size
    with _lock:
        if _pool is None or _pool_size != size:
            _pool = ThreadPoolExecutor(size, thread_name_prefix="ecgkern")
            _pool_size = size
        return _pool


def _after_fork_in_child() -> None:
    # Threads do not survive fork, and OpenMP would wait for them for ever. A forked worker computes on one thread.
    global _num_threads, _pool, _lock
    _num_threads, _pool, _lock = 1, None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
