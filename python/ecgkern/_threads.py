"""How many threads the CPU kernels use, and the thread pool of the numba backend.

The Fortran kernels are told the number at each call, so it holds for calls from any Python thread. The numba kernels
release the GIL and run on a pool of Python threads: numba's own threading layers abort the process when two Python
threads use them at once.
"""

import contextlib
import operator
import os
import re
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

# More threads than this only cost memory, and creating thousands of them ends the process.
MOST_THREADS = max(64, 8 * (os.cpu_count() or 1))
# Samples that a thread must have to itself to be worth waking.
_SAMPLES_PER_THREAD = 1 << 15

_lock = threading.Lock()
_num_threads: int | None = None
_pool: ThreadPoolExecutor | None = None
_pool_size = 0
_forked = False


def _default_num_threads() -> int:
    try:
        wanted = int(os.environ.get("OMP_NUM_THREADS", "").split(",")[0])
    except ValueError:
        wanted = 0
    if wanted < 1:
        wanted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(wanted, MOST_THREADS)


def leave_out_a_setting_that_is_no_number() -> None:
    """Remove an ``OMP_NUM_THREADS`` that is not a list of numbers from the environment of this process.

    LLVM's OpenMP, which a build by flang brings, reads past the end of such a setting, and may end the process. To be
    called before the runtime is loaded.
    """
    setting = os.environ.get("OMP_NUM_THREADS")
    if setting is not None and not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", setting):
        del os.environ["OMP_NUM_THREADS"]


def get_num_threads() -> int:
    """Return the number of threads that CPU kernels use at most.

    It is `OMP_NUM_THREADS` if that is set, else the number of processors this process may run on, until
    :func:`set_num_threads` changes it. Small problems use fewer, and a forked process always one, because OpenMP does
    not survive a fork: start workers with the spawn method. Results are the same bits for every number of threads.

    Examples
    --------
    >>> import ecgkern
    >>> ecgkern.get_num_threads() >= 1
    True
    """
    global _num_threads
    if _forked:
        return 1
    if _num_threads is None:
        _num_threads = _default_num_threads()
    return _num_threads


def set_num_threads(n: int) -> None:
    """Set the number of threads that CPU kernels use at most, for the whole process.

    Parameters
    ----------
    n : int
        At least 1, and at most 8 for each processor (or 64).

    Raises
    ------
    TypeError
        If `n` is not an integer.
    ValueError
        If `n` is out of range.

    Warns
    -----
    RuntimeWarning
        In a forked process, which stays at one thread.

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
    if not 1 <= n <= MOST_THREADS:
        raise ValueError(f"n must be a number of threads from 1 to {MOST_THREADS}, got {n}")
    if _forked and n > 1:
        warnings.warn("a forked process computes on one thread; start workers with spawn", RuntimeWarning, stacklevel=2)
    _num_threads = n


def threads_for(n_samples: int) -> int:
    """Return how many threads to use for a problem that reads or writes `n_samples` values."""
    return max(1, min(get_num_threads(), n_samples // _SAMPLES_PER_THREAD))


def run_ranges(n_items: int, n_threads: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(first, end)`` so that the ranges cover 0..n_items, at most `n_threads` of them at a time."""
    # More ranges than threads, because a range whose thread has to wait for a processor must not hold up the rest.
    n_ranges = min(n_items, 8 * n_threads if n_threads > 1 else 1)
    ranges = iter([(n_items * i // n_ranges, n_items * (i + 1) // n_ranges) for i in range(n_ranges)])

    def run() -> None:
        for first, end in ranges:  # every thread takes the next one
            work(first, end)

    helpers: list[Future[None]] = []
    try:
        with contextlib.suppress(RuntimeError):  # an interpreter that is shutting down starts no more threads
            helpers += [_thread_pool(n_threads - 1).submit(run) for _ in range(n_threads - 1)]
        run()
        for helper in helpers:
            helper.result()
    except BaseException:  # Ctrl-C too: nothing may go on writing to the caller's array
        for _ in ranges:
            pass
        wait(helpers)
        raise


def _thread_pool(size: int) -> ThreadPoolExecutor:
    """A pool of at least this many threads; they are started as they are needed."""
    global _pool, _pool_size
    with _lock:
        if _pool is None or _pool_size < size:
            _pool = ThreadPoolExecutor(size, thread_name_prefix="ecgkern")
            _pool_size = size
        return _pool


def _after_fork_in_child() -> None:
    # Threads do not survive fork, and OpenMP would wait for them for ever.
    global _forked, _pool, _lock
    _forked, _pool, _lock = True, None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
