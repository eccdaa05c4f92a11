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
    known = {"realdata", *CPU_BACKENDS}
    if not known >= REQUIRED:
        pytest.exit(
            f"ECGKERN_REQUIRE knows {', '.join(sorted(known))}, not {', '.join(REQUIRED - known)}", returncode=4
        )
    for name in REQUIRED - {"realdata"}:
        backend = ecgkern.backends()[name]
        if not backend.available:
            pytest.exit(f"ECGKERN_REQUIRE: backend {name} is missing: {backend}", returncode=1)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    _fail_if_required((yield).get_result(), item.get_closest_marker("realdata"))


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector):
    _fail_if_required((yield).get_result(), True)  # a module skipped as a whole may hold such tests


def _fail_if_required(report, needs_recordings):
    if report.skipped and needs_recordings and "realdata" in REQUIRED:
        report.outcome = "failed"
        report.longrepr = f"skipped, but ECGKERN_REQUIRE asks for tests on real recordings: {report.longrepr}"


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
