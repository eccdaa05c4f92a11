"""The stream in a matplotlib window, and as a GIF, which needs no window."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from ecgkern import _page, _style
from ecgkern._style import MARK, RECORDED, SYNTHETIC, WIDTH
from ecgkern.stream._source import COLOURS, Monitor, Snapshot

_GIF_DPI = 80


class _Drawing:
    """The axes and lines of a figure, of which each snapshot changes the values."""

    def __init__(self, figure: Any, monitor: Monitor, title: str) -> None:
        self._figure, self._monitor, self._title = figure, monitor, title
        self._rows: list[dict[str, Any]] = []
        self._low, self._high = np.inf, -np.inf

    def update(self, snapshot: Snapshot) -> None:
        """Show a snapshot."""
        if not self._rows:
            self._rows = self._make(len(snapshot.shown), len(snapshot.shown[0].signal))
        values = [row.signal for row in snapshot.shown]
        # The scale of all grows and never shrinks, so that the eye can compare one moment with the next.
        self._low = min(self._low, *(float(v.min()) for v in values))
        self._high = max(self._high, *(float(v.max()) for v in values))
        margin = 0.08 * max(self._high - self._low, 1e-3)
        for row, shown in zip(self._rows, snapshot.shown, strict=True):
            row["signal"].set_ydata(shown.signal)
            row["peaks"].set_data(shown.r_peaks / self._monitor.fs, shown.signal[shown.r_peaks])
            row["axes"].set_title(shown.quality or " ", color=COLOURS[shown.quality], fontsize=9, pad=2)
            for line, values_ in zip(row["components"], shown.components or (), strict=True):
                line.set_ydata(values_)
            row["axes"].set_ylim(self._low - margin, self._high + margin)
        self._figure.suptitle(_heading(self._title, snapshot, self._monitor), x=0.01, ha="left", fontsize=11)

    def _make(self, n: int, length: int) -> list[dict[str, Any]]:
        seconds = np.arange(length) / self._monitor.fs
        axes = self._figure.subplots(n, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        rows = []
        for ax in axes:
            colour, width = (RECORDED, 0.6) if self._monitor.emd else (SYNTHETIC, 0.9)
            (signal,) = ax.plot(seconds, seconds * 0, color=colour, linewidth=width, label="record")
            components = []
            if self._monitor.emd:
                components = ax.plot(seconds, seconds * 0, color=SYNTHETIC, linewidth=1, label="t1")
                components += ax.plot(seconds, seconds * 0, color=MARK, linewidth=1, label="t2")
            (peaks,) = ax.plot([], [], "o", color=MARK, markersize=4, label="R peak")
            ax.set_xlim(seconds[0], seconds[-1])
            ax.set_ylabel("mV")
            rows.append({"axes": ax, "signal": signal, "peaks": peaks, "components": components})
        axes[-1].set_xlabel("time (s)")
        axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, fontsize=8, borderaxespad=0.1)
        return rows


def _heading(title: str, snapshot: Snapshot, monitor: Monitor) -> str:
    ring = f"{snapshot.in_ring} of {monitor.ring.capacity} in the ring, {snapshot.made} made"
    return f"{title}, synthetic. {ring}"


def _size(monitor: Monitor) -> tuple[float, float]:
    return (WIDTH, 0.9 + 1.2 * monitor.show)


def show(monitor: Monitor, title: str, seconds: float | None) -> None:
    """Show the stream in a window until that is closed or the seconds have passed."""
    from matplotlib import animation, pyplot

    with matplotlib.rc_context(_style._STYLE):
        figure = pyplot.figure("ecgkern stream", figsize=_size(monitor), layout="constrained")
        try:
            if figure.canvas.required_interactive_framework is None:
                raise OSError(
                    f"no window can be opened (matplotlib uses {matplotlib.get_backend()}): install a toolkit such as "
                    "PySide6, or use --browser or --record"
                )
            drawing = _Drawing(figure, monitor, title)

            def update(_: int) -> None:
                try:
                    drawing.update(monitor.snapshot())
                except BaseException:  # the toolkit would print it and go on; the caller asks the generator
                    pyplot.close(figure)

            update(0)
            kept = animation.FuncAnimation(figure, update, interval=1000 * monitor.every, cache_frame_data=False)
            timer = figure.canvas.new_timer(interval=round(1000 * (seconds or 0)))
            timer.single_shot = True
            timer.add_callback(pyplot.close, figure)
            if seconds is not None:
                timer.start()
            pyplot.show()
            del kept  # an animation that nobody holds stops
        finally:
            pyplot.close(figure)
    monitor.generator.check()


def record(
    monitor: Monitor, title: str, path: Path, frames: int, advance: Callable[[int, int], None] = lambda *_: None
) -> None:
    """Write so many snapshots to a GIF, which appears whole or not at all."""
    from matplotlib.animation import PillowWriter

    with matplotlib.rc_context(_style._STYLE), tempfile.TemporaryDirectory() as folder:
        figure = Figure(figsize=_size(monitor), layout="constrained")
        drawing = _Drawing(figure, monitor, title)
        drawing.update(monitor.snapshot(fresh=True))
        writer = PillowWriter(fps=1 / monitor.every)  # type: ignore[arg-type]  # any number, whatever the stub says
        part = Path(folder) / "stream.gif"
        with writer.saving(figure, part, dpi=_GIF_DPI):
            for done in range(1, frames + 1):
                writer.grab_frame()
                advance(done, frames)
                if done < frames:
                    drawing.update(monitor.snapshot(fresh=True))
        path.parent.mkdir(parents=True, exist_ok=True)
        _page.write_whole(path, part.read_bytes())
