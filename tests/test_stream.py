"""``ecgkern stream``: the ring, the thread that fills it, and the three ways to look at it."""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("neurokit2")
pytest.importorskip("matplotlib")
pytest.importorskip("safetensors")
pytest.importorskip("bokeh")
pytest.importorskip("PyEMD")

from test_generate import FS, Toy  # noqa: E402

from ecgkern import stream as package  # noqa: E402
from ecgkern.generate._sampler import Sampler  # noqa: E402
from ecgkern.stream import RingBuffer, _browser, _window  # noqa: E402
from ecgkern.stream._source import Generator, Monitor, decompose  # noqa: E402
from ecgkern.torch import models  # noqa: E402

SECONDS = 20  # after which something that should happen has not


def rows(*values):
    return np.array(values, np.float32)[:, None]


def until(condition, seconds=SECONDS):
    """Wait for something that another thread does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)


# --- the ring --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 7), st.lists(st.integers(0, 17), max_size=8))
def test_the_ring_keeps_the_latest_rows_in_order(capacity, sizes):
    ring, expected, n = RingBuffer(capacity, 1), [], 0
    for size in sizes:
        batch = list(range(n, n + size))
        ring.append(np.array(batch, np.float32).reshape(-1, 1))
        expected, n = (expected + batch)[-capacity:], n + size
        assert ring.ordered()[:, 0].tolist() == expected
        assert len(ring) == len(expected)
        assert ring.full == (len(expected) == capacity)
        assert ring.appended == n
        for k in (1, capacity, capacity + 3):
            sampled = ring.sample(k, np.random.default_rng(n))[:, 0].tolist()
            assert len(sampled) == len(set(sampled)) == min(k, len(expected))
            assert set(sampled) <= set(expected)


def test_the_ring_gives_copies_and_refuses_what_does_not_fit():
    ring = RingBuffer(3, 2, 1)
    ring.append(np.ones((1, 2, 1), np.float32))
    ring.ordered()[:] = 9
    ring.sample(1, np.random.default_rng(0))[:] = 9
    assert ring.ordered().max() == 1
    with pytest.raises(ValueError, match=r"batch must have shape \(n, 2, 1\), got \(1, 2\)"):
        ring.append(np.ones((1, 2), np.float32))
    with pytest.raises(ValueError, match="capacity must be at least 1, got 0"):
        RingBuffer(0, 2)
    ring.clear()
    assert (len(ring), ring.full) == (0, False)


def test_every_row_is_sampled_as_often():
    ring = RingBuffer(6, 1)
    ring.append(rows(*range(8)))
    rng = np.random.default_rng(0)
    counts = np.bincount(np.concatenate([ring.sample(2, rng)[:, 0] for _ in range(3000)]).astype(int), minlength=8)
    assert counts[:2].tolist() == [0, 0]
    np.testing.assert_allclose(counts[2:], 1000, rtol=0.12)


def test_room_is_what_was_looked_at():
    ring = RingBuffer(4, 1)
    assert ring.wait_for_room(4, timeout=0)
    assert not ring.wait_for_rows(1, timeout=0)
    ring.append(rows(1, 2, 3))
    assert ring.wait_for_rows(3, timeout=0)
    assert ring.wait_for_room(1, timeout=0)
    assert not ring.wait_for_room(2, timeout=0)
    ring.sample(1, np.random.default_rng(0))
    assert ring.wait_for_room(2, timeout=0)
    ring.append(rows(4, 5, 6))
    assert not ring.wait_for_room(1, timeout=0.01)
    ring.sample(4, np.random.default_rng(0))
    assert ring.wait_for_room(9, timeout=0)  # more than there can be: all
    ring.close()
    assert not ring.wait_for_room(1)
    assert not ring.wait_for_rows(1)


def test_rows_are_never_torn_between_threads():
    ring, stop, wrong, read = RingBuffer(50, 400), threading.Event(), [], [0]

    def look(seed):
        rng = np.random.default_rng(seed)
        while not stop.is_set():
            for sampled in (ring.sample(5, rng), ring.ordered()):
                wrong.extend(row for row in sampled if row.min() != row.max())
                read[0] += len(sampled)

    readers = [threading.Thread(target=look, args=(seed,)) for seed in range(3)]
    for reader in readers:
        reader.start()
    for k in range(2000):
        ring.append(np.full((7, 400), k, np.float32))
    until(lambda: read[0] > 100)
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong


# --- the thread that fills it ----------------------------------------------------------------------------------------


class Counting(Sampler):
    """A sampler that counts what it makes, and can be told to fail."""

    def __init__(self, length=500, fail_at=None):
        super().__init__(Toy(length=length), {"fs": FS, "leads": ["II"]})
        self.batches, self.fail_at = 0, fail_at

    def decode(self, codes):
        if self.batches == self.fail_at:
            raise RuntimeError("out of memory")
        self.batches += 1
        return super().decode(codes)


def started(capacity=20, batch=10, **options):
    sampler = Counting(**options)
    ring = RingBuffer(capacity, sampler.length, 1)
    return sampler, ring, Generator(sampler, ring, batch)


def test_the_ring_is_filled_once_and_then_as_fast_as_it_is_looked_at():
    sampler, ring, generator = started()
    rng = np.random.default_rng(0)
    with generator:
        until(lambda: ring.full)
        time.sleep(0.1)
        assert sampler.batches == 2  # nobody looks: nothing is made
        np.testing.assert_allclose(ring.ordered(), sampler(range(20)), atol=2e-6)
        ring.sample(9, rng)
        time.sleep(0.1)
        made = ring.appended
        assert made == 20
        ring.sample(1, rng)
        until(lambda: ring.appended == 30)
        np.testing.assert_allclose(ring.ordered()[-1], sampler([29])[0], atol=2e-6)
    assert not generator.alive


def test_it_sleeps_without_using_the_processor():
    _, ring, generator = started()
    with generator:
        until(lambda: ring.full)
        time.sleep(0.05)
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.25


def test_a_viewer_that_hangs_or_is_gone_keeps_nothing_waiting():
    _, ring, generator = started(capacity=40)
    monitor = Monitor(ring, generator, fs=FS)
    with generator:
        monitor._lock.acquire()  # a viewer that never comes back, in the middle of its picture
        until(lambda: ring.full)
        other = Monitor(ring, generator, fs=FS, show=5)
        assert len(other.snapshot().shown) == 5
    assert not generator.alive


def test_the_error_of_a_model_ends_the_stream_and_reaches_the_viewer():
    _, ring, generator = started(fail_at=0)
    with generator, pytest.raises(RuntimeError, match="out of memory"):
        Monitor(ring, generator, fs=FS).snapshot()
    _, ring, generator = started(fail_at=2)
    monitor = Monitor(ring, generator, fs=FS, show=10)
    with generator:
        until(lambda: ring.full)
        ring.sample(10, np.random.default_rng(0))  # so that more is made
        until(lambda: generator.error)
        with pytest.raises(RuntimeError, match="out of memory"):
            monitor.snapshot()
    assert not generator.alive


# --- what is seen ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def monitor():
    """A monitor over a full ring."""
    _, ring, generator = started(length=600)
    with generator:
        until(lambda: ring.full)
        yield Monitor(ring, generator, fs=FS, show=2, every=0.2, emd=True)


def test_a_snapshot_has_r_peaks_quality_and_components(monitor):
    snapshot = monitor.snapshot(fresh=True)
    assert len(snapshot.shown) == 2
    assert snapshot.in_ring == 20
    for shown in snapshot.shown:
        assert len(shown.r_peaks) >= 5
        inner = shown.r_peaks[1:-1]  # at the ends of a record the detector errs
        assert (shown.signal[inner] > 0.6).all()
        assert shown.quality in ("Excellent", "Barely acceptable")
        np.testing.assert_allclose(np.sum(shown.components, axis=0), shown.signal, atol=1e-6)
    assert not np.array_equal(snapshot.shown[0].signal, snapshot.shown[1].signal)


def test_viewers_share_a_snapshot_until_the_next_is_due(monitor):
    first = monitor.snapshot(fresh=True)
    assert monitor.snapshot() is first
    assert monitor.snapshot(fresh=True) is not first
    time.sleep(monitor.every)
    assert monitor.snapshot() is not first


def test_components_of_what_has_no_more_than_two():
    line = np.linspace(0, 1, 100)
    t1, t2 = decompose(line)
    np.testing.assert_allclose(t1, line)
    assert not t2.any()
    seconds = np.arange(1000) / FS
    fast, slow = np.sin(2 * np.pi * 8 * seconds), 2 * np.sin(2 * np.pi * 0.1 * seconds)
    t1, t2 = decompose(fast + slow)
    assert np.corrcoef(t2, slow)[0, 1] > 0.95
    assert np.corrcoef(t1, fast)[0, 1] > 0.95


def test_the_gif_has_a_frame_for_each_picture(monitor, tmp_path):
    from PIL import Image

    path = tmp_path / "deep" / "stream.gif"
    done = []
    _window.record(monitor, "Toy", path, 3, lambda *progress: done.append(progress))
    assert done == [(1, 3), (2, 3), (3, 3)]
    with Image.open(path) as gif:
        assert gif.n_frames == 3
        frames = []
        for k in range(3):
            gif.seek(k)
            assert gif.info["duration"] == pytest.approx(1000 * monitor.every, abs=10)
            frames.append(np.asarray(gif.convert("RGB"), np.int64))
    assert (frames[0] < 250).any(axis=2).mean() > 0.01  # something is drawn
    assert np.ptp(frames, axis=0).max() > 100  # and it moves
    assert [p.name for p in path.parent.iterdir()] == ["stream.gif"]


@pytest.fixture
def window(monkeypatch):
    """Let the figures without a window pass for those in one; `pyplot.show` is what the test makes of it."""
    import matplotlib
    from matplotlib import pyplot
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    matplotlib.use("agg")
    monkeypatch.setattr(FigureCanvasAgg, "required_interactive_framework", "test")

    def shown_as(function):
        monkeypatch.setattr(pyplot, "show", function)
        return pyplot

    yield shown_as
    pyplot.close("all")


def test_the_window_moves_until_it_is_closed(monitor, window):
    from matplotlib import animation

    pictures = []

    def show():
        figure = pyplot.gcf()
        for _ in range(3):
            pictures.append(np.concatenate([axes.lines[0].get_ydata() for axes in figure.axes]))
            time.sleep(monitor.every)  # a picture is shared until the next is due
            kept[0]._step()
        pyplot.close(figure)

    pyplot = window(show)
    kept = []
    original = animation.FuncAnimation.__init__

    def keep(self, *arguments, **options):
        kept.append(self)
        original(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(animation.FuncAnimation, "__init__", keep)
        _window.show(monitor, "Toy", None)
    assert len(pictures) == 3
    assert np.ptp(pictures, axis=0).max() > 0.1
    assert not pyplot.get_fignums()
    assert monitor.generator.alive  # a closed window is not an error


def test_where_there_is_no_window_the_error_says_what_to_do(monitor):
    import matplotlib

    matplotlib.use("agg")
    with pytest.raises(OSError, match=r"no window can be opened.*--browser or --record"):
        _window.show(monitor, "Toy", None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_page_is_whole_offline_and_survives_lost_visitors(monitor):
    from bokeh.client import pull_session
    from bokeh.models import ColumnDataSource

    # Without R peaks, which would take most of the time.
    monitor = Monitor(monitor.ring, monitor.generator, fs=FS, show=2, every=0.2, look=False)
    seen = {}

    def values(session):
        session.pull()
        sources = [source for source in session.document.select({"type": ColumnDataSource}) if len(source.data["time"])]
        return [np.array(source.data["record"]) for source in sources]

    def visit(address):
        import asyncio

        asyncio.set_event_loop(asyncio.new_event_loop())
        seen["page"] = urllib.request.urlopen(address, timeout=SECONDS).read().decode()
        seen["script"] = urllib.request.urlopen(f"{address}static/js/bokeh.min.js", timeout=SECONDS).status
        session = pull_session(url=address)
        seen["title"] = session.document.title
        seen["first"] = values(session)
        seen["later"] = seen["first"]
        end = time.monotonic() + SECONDS
        while time.monotonic() < end and np.array_equal(seen["later"][0], seen["first"][0]):
            seen["later"] = values(session)
        session.close()
        time.sleep(3 * monitor.every)
        seen["again"] = urllib.request.urlopen(address, timeout=SECONDS).status

    def begin(address):
        def visit_and_end():
            try:
                visit(address)
            except Exception as error:
                seen["error"] = error
            finally:
                loop.add_callback(loop.stop)

        from tornado.ioloop import IOLoop

        loop = IOLoop.current()
        visitors.append(threading.Thread(target=visit_and_end, daemon=True))
        visitors[0].start()

    visitors = []
    _browser.serve(monitor, "Toy <II>", port=0, seconds=2 * SECONDS, started=begin)
    visitors[0].join(SECONDS)
    assert seen.get("error") is None, repr(seen["error"])
    assert 'src="/static/js/bokeh.min.js' in seen["page"]
    assert "http://" not in seen["page"].replace("http://www.w3.org", "")
    assert "https://" not in seen["page"]
    assert (seen["script"], seen["title"], seen["again"]) == (200, "ecgkern stream", 200)
    assert [len(record) for record in seen["later"]] == [600] * monitor.show
    assert not np.array_equal(seen["first"][0], seen["later"][0])


# --- the command -----------------------------------------------------------------------------------------------------


def command(*arguments):
    parser = argparse.ArgumentParser()
    package.add_arguments(parser)
    return package.run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.fixture
def model_file(tmp_path):
    path = tmp_path / "model.safetensors"
    models.save(models.SineVAE(length=400), path, fs=FS, leads=["II"])
    return path


def test_record_writes_a_gif_and_ends_its_threads(model_file, tmp_path, capsys):
    before = threading.active_count()
    out = tmp_path / "out.gif"
    assert command(model_file, "--record", out, "--seconds", 1, "--show", 2, "--capacity", 30) == 0
    assert "2 pictures" in capsys.readouterr().out
    assert out.read_bytes().startswith(b"GIF89a")
    assert threading.active_count() == before


def test_errors_name_the_option(model_file, tmp_path, capsys):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, message in (
            ((model_file, "--show", 0), "--show must be at least 1, got 0"),
            ((model_file, "--show", 9, "--capacity", 8), "--show must be at most --capacity, 8, got 9"),
            ((model_file, "--every", 0), "--every must be above 0 s, got 0"),
            ((model_file, "--seconds", "inf"), "--seconds must be above 0 s, got inf"),
            ((model_file, "--port", 70000), "--port must be from 0 to 65535"),
            ((model_file, "--record", tmp_path / "o.mp4"), "--record must be a .gif file"),
            ((model_file, "--browser", "--port", port), f"port {port} of 127.0.0.1 cannot be used"),
            ((tmp_path / "none", "--record", tmp_path / "o.gif"), "there is no model"),
        ):
            assert command(*arguments) == 2
            error = capsys.readouterr().err
            assert message in error
            assert error.count("\n") == 1


def test_ctrl_c_ends_everything(model_file):
    code = (
        "import argparse, sys, threading; from ecgkern import stream; p = argparse.ArgumentParser();"
        "stream.add_arguments(p); status = stream.run(p.parse_args(sys.argv[1:]));"
        "print([t.name for t in threading.enumerate() if t.name.startswith('ecgkern')], status)"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code, str(model_file), "--browser", "--port", "0", "--seconds", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        assert "http://127.0.0.1:" in run.stdout.readline()
        run.send_signal(signal.SIGINT)
        out, error = run.communicate(timeout=2 * SECONDS)
    finally:
        run.kill()
    assert out.strip() == "[] 0", error
    assert error.strip() == "ecgkern stream: ended"
