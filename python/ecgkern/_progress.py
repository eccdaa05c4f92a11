"""The progress bar of a long command: one bar over its named steps, and the seconds that each took."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

Advance = Callable[[int, int], None]


class Progress(AbstractContextManager["Progress"]):
    """A bar on stderr, if that is a terminal.

    Parameters
    ----------
    steps : mapping of str to int
        The steps in their order, with their shares of the bar: about how many percent of the time each takes.
    quiet : bool
        Show no bar.
    remedy : str
        What brings tqdm where it is missing, as in 'the demo needs tqdm: pip install ...'.

    Attributes
    ----------
    seconds : dict of str to float
        The time that each step took.
    """

    def __init__(self, steps: Mapping[str, int], quiet: bool, remedy: str) -> None:
        self.seconds: dict[str, float] = {}
        self._steps = dict(steps)
        try:
            from tqdm import tqdm
        except ImportError as error:
            raise ImportError(remedy) from error
        # disable=None: no bar where stderr is no terminal.
        form = "{desc:<20}{percentage:3.0f}%|{bar}| {elapsed}"
        self._bar = tqdm(total=sum(steps.values()), bar_format=form, disable=quiet or None, leave=False)

    def __exit__(self, *_: Any) -> None:
        self._bar.close()

    def say(self, line: str, *, error: bool = False) -> None:
        """Print a line above the bar, on stdout or stderr."""
        self._bar.write(line, file=sys.stderr if error else None)

    @contextmanager
    def step(self, name: str) -> Iterator[Advance]:
        """Time a step; what it yields takes (done, total) and moves the bar within the step's share."""
        names = list(self._steps)
        before = sum(self._steps[earlier] for earlier in names[: names.index(name)])

        def advance(done: int, total: int) -> None:
            self._bar.update(before + self._steps[name] * done / max(total, 1) - self._bar.n)

        self._bar.set_description_str(name)
        advance(0, 1)
        start = time.perf_counter()
        yield advance
        self.seconds[name] = time.perf_counter() - start
        advance(1, 1)
