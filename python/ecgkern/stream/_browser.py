"""The stream as a page in the browser, served by Bokeh on this machine with everything that the page needs."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import numpy as np

from ecgkern._page import text
from ecgkern._style import MARK, RECORDED, SYNTHETIC
from ecgkern.stream._source import COLOURS, Monitor, Snapshot

_ADDRESS = "127.0.0.1"  # this machine alone; from another one through ssh -L


def serve(
    monitor: Monitor, title: str, *, port: int, seconds: float | None, started: Callable[[str], None] = print
) -> None:
    """Serve the page until interrupted or the seconds have passed; `started` is told its address.

    Each page that is open asks for snapshots by itself; one that is closed or lost is forgotten by the server, and
    neither keeps the generator waiting.
    """
    from bokeh.application import Application
    from bokeh.application.handlers.function import FunctionHandler
    from bokeh.server.server import Server

    application = Application(FunctionHandler(lambda document: _page(document, monitor, title)))
    try:
        if port == 0:  # a free one must be known beforehand, for the origins
            with socket.create_server((_ADDRESS, 0)) as free:
                port = int(free.getsockname()[1])
        origins = [f"{host}:{port}" for host in (_ADDRESS, "localhost")]
        server = Server({"/": application}, port=port, address=_ADDRESS, allow_websocket_origin=origins)
    except OSError as error:
        raise OSError(
            f"port {port} of {_ADDRESS} cannot be used ({error.strerror}); choose another by --port"
        ) from None
    try:
        server.start()
        started(f"http://{_ADDRESS}:{port}/")
        if seconds is not None:
            server.io_loop.call_later(seconds, server.io_loop.stop)
        _watch(server, monitor)
        server.io_loop.start()
    finally:
        server.stop()
    monitor.generator.check()


def _watch(server: Any, monitor: Monitor) -> None:
    """End the server when the generator has failed."""
    if monitor.generator.error is not None:
        server.io_loop.stop()
    else:
        server.io_loop.call_later(monitor.every, _watch, server, monitor)


def _page(document: Any, monitor: Monitor, title: str) -> None:
    """Fill the document of one visitor."""
    from bokeh.layouts import column
    from bokeh.models import Div

    heading = Div(text=f"<h2>{text(title)}</h2>", sizing_mode="stretch_width")
    state = Div(text="Waiting for the first records", sizing_mode="stretch_width")
    lines = " Grey: the record; blue: t1; orange: t2." if monitor.emd else ""
    about = f"Synthetic records, not for clinical use. Dots: R peaks as NeuroKit2 finds them.{lines}"
    note = Div(text=about, styles={"color": "#5c5c5c"})
    rows = [_Row(monitor, last=place == monitor.show - 1) for place in range(monitor.show)]
    scale = rows[0].figure.y_range
    for row in rows[1:]:
        row.figure.x_range, row.figure.y_range = rows[0].figure.x_range, scale
    document.title = "ecgkern stream"
    document.add_root(column(heading, state, *(row.figure for row in rows), note, sizing_mode="stretch_width"))

    def draw(snapshot: Snapshot) -> None:
        state.text = (
            f"{snapshot.in_ring} of {monitor.ring.capacity} records in the ring, {snapshot.made} made. "
            f"{len(snapshot.shown)} of them at random, every {monitor.every:g} s."
        )
        low = min(float(shown.signal.min()) for shown in snapshot.shown)
        high = max(float(shown.signal.max()) for shown in snapshot.shown)
        margin = 0.08 * max(high - low, 1e-3)
        # The scale of all grows and never shrinks, so that the eye can compare one moment with the next.
        first = not rows[0].source.data["time"].size
        scale.start = low - margin if first else min(scale.start, low - margin)
        scale.end = high + margin if first else max(scale.end, high + margin)
        for row, shown in zip(rows, snapshot.shown, strict=False):
            row.draw(shown)

    async def update() -> None:
        # In another thread, for NeuroKit2 takes its time and the server has other visitors.
        draw(await asyncio.to_thread(monitor.snapshot))

    document.add_periodic_callback(update, round(1000 * monitor.every))
    if len(monitor.ring) >= monitor.show:
        draw(monitor.snapshot())  # so that the page is not empty at first


class _Row:
    """One record on the page."""

    def __init__(self, monitor: Monitor, *, last: bool) -> None:
        from bokeh.models import ColumnDataSource, Range1d
        from bokeh.plotting import figure

        self._fs = monitor.fs
        names = ("time", "record", "t1", "t2") if monitor.emd else ("time", "record")
        self.source = ColumnDataSource({name: np.empty(0) for name in names})
        self._peaks = ColumnDataSource({"time": np.empty(0), "record": np.empty(0)})
        self.figure = figure(
            height=150 + 30 * last,
            sizing_mode="stretch_width",
            y_range=Range1d(-1, 1),
            tools="xpan,xwheel_zoom,reset,save",
            toolbar_location="right" if last else None,
            title=" ",
        )
        for name, colour, width in (
            ("record", RECORDED if monitor.emd else SYNTHETIC, 1),
            ("t1", SYNTHETIC, 1.5),
            ("t2", MARK, 1.5),
        ):
            if name in names:
                self.figure.line("time", name, source=self.source, color=colour, line_width=width)
        self.figure.scatter("time", "record", source=self._peaks, color=MARK, size=7)
        self.figure.yaxis.axis_label = "mV"
        self.figure.yaxis.ticker.desired_num_ticks = 3
        self.figure.xaxis.visible = last
        self.figure.xaxis.axis_label = "time (s)"
        self.figure.x_range.range_padding = 0
        self.figure.outline_line_color = None

    def draw(self, shown: Any) -> None:
        """Show a record."""
        seconds = np.arange(len(shown.signal)) / self._fs
        data = {"time": seconds, "record": shown.signal}
        if shown.components is not None:
            data |= dict(zip(("t1", "t2"), shown.components, strict=True))
        self.source.data = data
        self._peaks.data = {"time": seconds[shown.r_peaks], "record": shown.signal[shown.r_peaks]}
        beats = f"{len(shown.r_peaks)} R peak{'s' * (len(shown.r_peaks) != 1)}"
        self.figure.title.text = f"{shown.quality}, {beats}" if shown.quality else " "
        self.figure.title.text_color = COLOURS[shown.quality]
