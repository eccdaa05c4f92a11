"""The harness: every case times ours, its peers and its floor in turn, round by round, and checks its result.

The last lines of a run are the table: microseconds per record (medians), ratio to each peer, share of the floor.
"""

import datetime
import json
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import pytest
import render

import ecgkern

BACKENDS = [name for name, backend in ecgkern.backends().items() if backend.available and name != "numpy"]


def pytest_addoption(parser):
    parser.addoption("--save-table", metavar="FILE", help="write the table to FILE as JSON")


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture
def compare(benchmark, request):
    """compare(ours, n, floor=call, peers={name: (call, n)}): n is the number of records that a call makes."""

    def run(ours, n, *, floor, peers, rounds=11):
        calls = {"floor": (floor, n), **peers}
        seconds = {name: [] for name in calls}

        def time_the_others():
            for name, (call, _) in calls.items():
                if name == "floor":
                    call()  # ours is warm as well
                start = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - start)
            time.sleep(0.01)  # OpenMP threads of a peer spin for a while after their work
            ours()

        time_the_others()
        for times in seconds.values():  # the first call of each only warms up
            times.clear()
        benchmark.pedantic(ours, setup=time_the_others, rounds=rounds, warmup_rounds=2)
        each = {name: 1e6 * statistics.median(seconds[name]) / calls[name][1] for name in calls}
        mine = 1e6 * statistics.median(benchmark.stats.stats.data) / n
        benchmark.extra_info.update(
            case=request.node.originalname.removeprefix("bench_"),
            backend=request.node.callspec.params.get("backend", ""),
            records=n,
            ours_us=mine,
            floor_us=each["floor"],
            share_of_floor=each["floor"] / mine,
            peers={name: {"us": each[name], "ratio": each[name] / mine} for name in peers},
        )

    return run


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
        + ("" if tuned else ", default settings; results written to arrays made beforehand"),
        "numpy": np.__version__,
        **{
            name: backend.detail
            for name, backend in ecgkern.backends().items()
            if backend.available and name != "numpy"
        },
    }


def _lines(path):
    return Path(path).read_text().splitlines() if Path(path).exists() else []


@pytest.hookimpl(trylast=True)  # after pytest-benchmark's own table
def pytest_terminal_summary(terminalreporter, config):
    session = getattr(config, "_benchmarksession", None)
    rows = [b.extra_info for b in session.benchmarks if b.extra_info] if session else []
    if not rows:
        return
    where = surroundings()
    write = terminalreporter.write_line
    terminalreporter.section("ecgkern against its peers, microseconds per record (medians of interleaved rounds)")
    for name, value in where.items():
        write(f"{name:>10}: {value}")
    write("")
    write(
        f"{'case':<26}{'backend':<9}{'records':>8}{'ours':>9}  {'peer':<14}{'peer':>11}{'ratio':>9}{'floor':>8}"
        f"{'share of floor':>16}"
    )
    for row in rows:
        head = f"{row['case']:<26}{row['backend']:<9}{row['records']:>8}{row['ours_us']:>9.3f}"
        tail = f"{row['floor_us']:>8.3f}{row['share_of_floor']:>15.0%}"
        for name, peer in row["peers"].items():
            write(f"{head}  {name:<14}{peer['us']:>11.2f}{peer['ratio']:>9.1f}{tail}")
            head, tail = " " * len(head), ""
        if not row["peers"]:
            write(f"{head}  {'-':<14}{'-':>11}{'-':>9}{tail}")
    if config.getoption("--save-table"):
        target = Path(config.getoption("--save-table"))
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_suffix(".part")
        scratch.write_text(json.dumps({**where, "rows": rows}, indent=1) + "\n")
        scratch.replace(target)
        if target.resolve().parent == render.FOLDER / "results":
            render.render()
