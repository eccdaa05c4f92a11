"""The backend fixture, and ECGKERN_NO_SKIPS=1, under which a skipped test or module fails.

So no missing backend, library or recording can hide behind a skip where all of them must be there.
"""

import os

import pytest

import ecgkern

CPU_BACKENDS = ("numpy", "numba", "fortran")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport():
    _no_skips((yield).get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report():
    _no_skips((yield).get_result())


def _no_skips(report):
    if report.skipped and os.environ.get("ECGKERN_NO_SKIPS") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, which ECGKERN_NO_SKIPS=1 forbids: {report.longrepr}"


def pytest_report_header():
    return [f"ecgkern backend {b.name}: {b if b.available else f'NO, {b}'}" for b in ecgkern.backends().values()]


@pytest.fixture(params=CPU_BACKENDS)
def backend(request):
    found = ecgkern.backends()[request.param]
    if not found.available:
        pytest.skip(f"backend {request.param}: {found}")
    return request.param


@pytest.fixture(autouse=True)
def same_threads_afterwards():
    before = ecgkern.get_num_threads()
    yield
    ecgkern.set_num_threads(before)
