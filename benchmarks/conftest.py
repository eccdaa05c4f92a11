"""The harness: every case times ours, its peers and its floor in turn, round by round, and checks its result.

The last lines of a run are the tables: medians, ratio to each peer, share of the floor (RESULTS.md says how).
"""

import datetime
import json
import multiprocessing
import os
import platform
import statistics
import time
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import render
from measure import BACKENDS, Peer, use_our_threads

import ecgkern

PER_SECOND = {"microseconds per record": 1e6, "milliseconds per call": 1e3, "nanoseconds per point": 1e9}
ON_GPU = ecgkern.backends()["cuda"].available
collect_ignore = [] if ON_GPU else ["bench_gpu.py"]
LIBRARIES = (
    "cupy-cuda12x",
    "cupy-cuda13x",
    "torch",
    "scikit-learn",
    "scipy",
    "neurokit2",
    "alibi-detect",
    "dtaidistance",
    "magcoordpy",
    "spacepy",
)


def pytest_addoption(parser):
    parser.addoption("--save-table", metavar="FILE", help="write the table to FILE as JSON")
    parser.addoption("--large", action="store_true", help="also the cases that take minutes")


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture(scope="session", autouse=True)
def same_threads():
    use_our_threads()


@pytest.fixture
def compare(benchmark, request):
    """Time ours, the peers and the floor in turn, keep the row of the table and return our part of it.

    records: how many of them a call of ours makes; size: what to write instead, where calls are timed. floor: a call
    that does what `records` records take at least, or a Peer with its own number of them. A peer whose library is
    missing is left out, and the table says so. error: from a result to its relative error; memory: from a name, "ours"
    or a peer's, to the MB that one call needs beyond its input. Both stay outside the timed rounds.
    """

    def run(
        ours,
        records=1,
        *,
        peers,
        floor=None,
        unit="microseconds per record",
        size=None,
        rounds=11,
        error=None,
        memory=None,
    ):
        floors = {"floor": floor if isinstance(floor, Peer) else Peer(floor, records)} if floor else {}
        calls = {**floors, **peers}
        missing, results = {}, {}
        for name, peer in peers.items():  # the first call of each only warms up
            try:
                (peer.warm or peer.call)()
            except ModuleNotFoundError as exception:
                missing[name] = {"missing": str(exception)}
                del calls[name]
        seconds = {name: [] for name in calls}

        def time_the_others():
            for name, peer in calls.items():
                if peer.warm and seconds[name]:
                    continue
                if name == "floor":
                    peer.call()  # ours is warm as well
                start = time.perf_counter()
                results[name] = peer.call()
                spent = time.perf_counter() - start
                if peer.timed:
                    spent, results[name] = results[name]
                seconds[name].append(spent)
            time.sleep(0.01)  # OpenMP threads of a peer spin for a while after their work
            ours()

        before = cpu_seconds()
        results["ours"] = benchmark.pedantic(
            ours, setup=time_the_others, rounds=rounds, warmup_rounds=min(2, rounds - 1)
        )
        spent = cpu_seconds() - before
        scale = PER_SECOND[unit]
        each = {name: scale * statistics.median(seconds[name]) / peer.records for name, peer in calls.items()}
        each["ours"] = scale * statistics.median(benchmark.stats.stats.data) / records

        def measured(name):
            row = {
                "time": each[name],
                "rel_error": float(error(results[name])) if error else None,
                "extra_mb": memory(name) if memory else None,
            }
            return {key: value for key, value in row.items() if value is not None}

        row = {
            "case": request.node.originalname.removeprefix("bench_"),
            "backend": request.node.callspec.params.get("backend", ""),
            "unit": unit,
            **({"size": size} if size else {"records": records}),
            "ours": measured("ours"),
            "peers": {
                name: missing.get(name) or {**measured(name), "ratio": each[name] / each["ours"]} for name in peers
            },
        }
        if floor:
            row |= {"floor": each["floor"], "share_of_floor": each["floor"] / each["ours"]}
        if spent.all():
            row["others"] = float(max(0, 1 - spent[0] / spent[1]))
        benchmark.extra_info.update(row)
        return row["ours"]

    return run


def cpu_seconds():
    """Processor time of this process and its children, and of everything on the machine (zero without /proc)."""
    children = [line for child in multiprocessing.active_children() for line in _lines(f"/proc/{child.pid}/stat")]
    theirs = sum(int(word) for line in children for word in line.rpartition(")")[2].split()[11:13])
    ticks = [int(word) for line in _lines("/proc/stat")[:1] for word in line.split()[1:9]]
    busy = sum(ticks) - sum(ticks[3:5])  # without idle and iowait
    return np.array([time.process_time(), 0]) + np.array([theirs, busy]) / os.sysconf("SC_CLK_TCK")


def surroundings():
    """Where the numbers come from."""
    cpu = next((line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "")
    family = "/".join(
        line.split(":")[1].strip()
        for line in _lines("/proc/cpuinfo")[:6]
        if "family" in line or line.startswith("model\t")
    )
    tuned = {name: value for name, value in os.environ.items() if name.startswith(("MALLOC_", "GLIBC_TUNABLES"))}
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "ecgkern": ecgkern.__version__,
        "processor": f"{cpu or platform.processor()} (family/model {family}), {os.cpu_count()} processors",
        "threads": ecgkern.get_num_threads(),
        "allocator": " ".join([*platform.libc_ver(), "malloc", *(f"{k}={v}" for k, v in tuned.items())])
        + ("" if tuned else ", default settings; waveforms written to arrays made beforehand"),
        "numpy": np.__version__,
        **{
            name: backend.detail
            for name, backend in ecgkern.backends().items()
            if backend.available and name != "numpy"
        },
        **(_card() if ON_GPU else {}),
        "peers": ", ".join(f"{name} {version}" for name in LIBRARIES if (version := _version(name))),
    }


def _card():
    import peers_gpu
    import torch

    driver = next((line for line in _lines("/proc/driver/nvidia/version")), "unknown")
    return {
        "card": torch.cuda.get_device_name(),
        "driver": driver.removeprefix("NVRM version: "),
        "cuda in torch": torch.version.cuda,
        "rates": peers_gpu.rates(),
    }


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _lines(path):
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _others(file, where, rows):
    """The rows of other cases in a file of the same day, machine and versions; any other file is replaced."""
    if not file.exists():
        return []
    saved = json.loads(file.read_text())
    new, others = {row["name"] for row in rows}, saved.pop("rows")
    return [row for row in others if row.get("name") not in new] if saved == where else []


@pytest.hookimpl(trylast=True)  # after pytest-benchmark's own table
def pytest_terminal_summary(terminalreporter, config):
    session = getattr(config, "_benchmarksession", None)
    rows = [{"name": b.name, **b.extra_info} for b in session.benchmarks if b.extra_info] if session else []
    if not rows:
        return
    where = surroundings()
    write = terminalreporter.write_line
    terminalreporter.section("ecgkern against its peers, medians of interleaved rounds")
    for name, value in where.items():
        write(f"{name:>10}: {value}")
    for unit, lines in render.tables(rows).items():
        write(f"\n{unit}")
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        left = [header in render.WORDS for header in lines[0]]
        for line in lines:
            cells = zip(line, widths, left, strict=True)
            write("  ".join(cell.ljust(width) if words else cell.rjust(width) for cell, width, words in cells).rstrip())
    if config.getoption("--save-table"):
        target = Path(config.getoption("--save-table"))
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_suffix(".part")
        scratch.write_text(json.dumps({**where, "rows": [*_others(target, where, rows), *rows]}, indent=1) + "\n")
        scratch.replace(target)
        if target.resolve().parent == render.FOLDER / "results":
            render.render()
