"""The backend fixture, and what must not be skipped.

ECGKERN_REQUIRE is a comma-separated list of backends and "realdata": a missing backend then ends the run, and a skipped
test that needs real recordings fails.
"""

import os

import pytest

import ecgkern

REQUIRED = {word for word in os.environ.get("ECGKERN_REQUIRE", "").split(",") if word}
CPU_BACKENDS = ("numpy", "numba", "fortran")


def pytest_sessionstart(session):
    for name in REQUIRED - {"realdata"}:
        backend = ecgkern.backends()[name]
        if not backend.available:
            pytest.exit(f"ECGKERN_REQUIRE: backend {name} is missing: {backend.detail}", returncode=1)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.skipped and "realdata" in REQUIRED and item.get_closest_marker("realdata"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} needs real recordings and was skipped: {report.longrepr}"


def pytest_report_header():
    return [
        f"ecgkern backend {b.name}: {b.detail if b.available else 'NO, ' + b.detail}"
        for b in ecgkern.backends().values()
    ]


@pytest.fixture(params=CPU_BACKENDS)
def backend(request):
    found = ecgkern.backends()[request.param]
    if not found.available:
        pytest.skip(f"backend {request.param}: {found.detail}")
    return request.param


@pytest.fixture(autouse=True)
def same_threads_afterwards():
    before = ecgkern.get_num_threads()
    yield
    ecgkern.set_num_threads(before)
