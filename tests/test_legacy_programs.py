"""The fixed-form programs of fortran/legacy: unchanged, the same listing from every compiler, and right.

CDED is compared with `ecgkern.geomag` number by number. F2LINE has limits with closed forms, and in between a steady
state that is solved here once more, in another way. The decks of the limits are written here.
"""

import dataclasses
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ecgkern import geomag

LEGACY = Path(__file__).parents[1] / "fortran" / "legacy"
DECKS = sorted(path.stem for path in LEGACY.glob("*.deck"))
COMPILERS = {"gfortran": ("gfortran",), "flang": ("flang-new-19", "flang", "flang-new")}
TRAPS = ("-g", "-fcheck=all", "-ffpe-trap=invalid,zero,overflow", "-finit-real=snan", "-finit-integer=-99999")
BUILDS = {
    "gfortran -O0": ("gfortran", "-O0"),
    "gfortran -O2": ("gfortran", "-O2"),
    "gfortran, retained and zeroed": ("gfortran", "-O2", "-fno-automatic", "-finit-local-zero"),
    "gfortran, trapping": ("gfortran", *TRAPS),
    "flang -O2": ("flang", "-O2"),
}


@pytest.fixture(scope="module")
def execute(tmp_path_factory):
    """Build a program, once for each set of flags, and run it with a deck as text."""
    built = {}

    def run(program, deck, compiler="gfortran", *flags):
        flags = flags or ("-O2",)
        if (program, compiler, flags) not in built:
            found = next(filter(None, map(shutil.which, COMPILERS[compiler])), None)
            if found is None:
                pytest.skip(f"none of {', '.join(COMPILERS[compiler])} is installed")
            executable = tmp_path_factory.mktemp("legacy") / program
            legacy = ["-std=legacy"] * (compiler == "gfortran")
            command = [found, *legacy, *flags, "-o", str(executable), str(LEGACY / f"{program}.f")]
            subprocess.run(command, check=True, cwd=executable.parent)
            built[program, compiler, flags] = executable
        executable = built[program, compiler, flags]
        return subprocess.run(
            [executable], input=deck, capture_output=True, text=True, timeout=60, cwd=executable.parent
        )

    return run


@pytest.fixture
def listing(execute):
    """Return the lines that a program lists for a deck."""

    def run(*arguments):
        ran = execute(*arguments)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout.splitlines()

    return run


# ---- the files -------------------------------------------------------------------------------------------------------


def test_no_program_deck_or_listing_was_touched():
    sums = dict(reversed(line.split("  ")) for line in (LEGACY / "SHA256SUMS").read_text().splitlines())
    files = [path for path in LEGACY.iterdir() if path.suffix in (".f", ".deck", ".lst")]
    assert sums == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_cded_is_punched_on_numbered_cards():
    text = (LEGACY / "cded.f").read_text(encoding="ascii")
    assert text == text.upper()
    for number, card in enumerate(text.splitlines(), 1):
        assert len(card) == 80
        assert card[72:] == f"CDED{10 * number:04d}"


def test_f2line_has_nothing_behind_column_72():
    lines = (LEGACY / "f2line.f").read_text(encoding="ascii").splitlines()
    assert max(map(len, lines)) <= 72
    assert not any("\t" in line for line in lines)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("deck", DECKS)
def test_every_build_gives_the_golden_listing(listing, deck, build):
    found = listing(deck.split("_")[0], (LEGACY / f"{deck}.deck").read_text(), *BUILDS[build])
    golden = (LEGACY / f"{deck}.lst").read_text().splitlines()
    for number, (line, expected) in enumerate(zip(found, golden, strict=True), 1):
        assert line == expected, f"line {number}"


@pytest.mark.parametrize("deck", DECKS)
def test_listings_fit_the_printer(deck):
    text = (LEGACY / f"{deck}.lst").read_text(encoding="ascii")
    assert max(map(len, text.splitlines())) <= 132
    assert not re.search(r"\*{2}|NaN|Inf(?:inity)?\b", text)


# ---- CDED against ecgkern.geomag -------------------------------------------------------------------------------------

CDED_DECKS = [name for name in DECKS if name.startswith("cded")]


class Deck:
    """The cards of a deck of CDED, and what its listing must say by `ecgkern.geomag`."""

    def __init__(self, name):
        cards = (LEGACY / f"{name}.deck").read_text().splitlines()
        pairs = [(float(card[10:20]), float(card[20:30])) for card in cards[2:7]]
        (g10, _), (g11, h11), (g20, _), (g21, h21), (g22, h22) = pairs
        self.epoch = float(cards[1][:10])
        self.coefficients = [g10, g11, h11, g20, g21, h21, g22, h22]
        self.lines_per_page = int(cards[1][15:20])
        self.coords = "geodetic" if int(cards[1][10:15]) else "geocentric"
        self.stations = cards[7:]
        self.names = [card[:16] for card in self.stations]
        self.lat, self.lon, self.alt = (
            np.array([float(card[a:b]) for card in self.stations]) for a, b in ((16, 25), (25, 35), (35, 43))
        )
        self.times = np.array([self.time(card) for card in self.stations])
        self.given = {"model": self.coefficients, "coords": self.coords}

    @staticmethod
    def time(card):
        year, month, day, hour, minute = (int(card[a:b]) for a, b in ((43, 49), (49, 52), (52, 55), (57, 60), (60, 63)))
        moment = np.datetime64(f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}", "ms")
        return moment + np.timedelta64(round(1000 * float(card[63:69])), "ms")


def cells(lines, name, heading):
    """Return the numbers behind the names of the stations on the pages with a heading, as text."""
    rows, page = [], False
    for line in lines:
        page = (page or heading in line) and not line.startswith("1")
        if page and line[1:17] in name:
            assert line[1:17] == name[len(rows)]
            rows.append(line[17:].split())
    assert len(rows) == len(name)
    return rows


def agree(text, value, turn=None):
    """Assert that a printed number is a value, rounded; an angle or an hour up to whole turns."""
    decimals = len(text.partition(".")[2])
    difference = float(text) - value
    if turn is not None:
        difference -= turn * np.rint(difference / turn)
    assert abs(difference) <= 0.5 * 10.0**-decimals + 1e-9, f"printed {text}, computed {value!r}"


@pytest.fixture(params=CDED_DECKS)
def cded(request, listing):
    name = request.param
    return Deck(name), listing("cded", (LEGACY / f"{name}.deck").read_text())


def test_the_decks_are_of_the_models_of_the_package():
    first, second = Deck("cded_1990"), Deck("cded_2025")
    np.testing.assert_array_equal(first.coefficients, geomag.Dipole.at(model="igrf1990-ramana").coefficients)
    np.testing.assert_array_equal(second.coefficients, geomag.Dipole.at(second.epoch).coefficients)
    assert (first.coords, second.coords) == ("geocentric", "geodetic")


def test_cded_prints_what_the_author_of_the_paper_published():
    published = json.loads((LEGACY.parents[1] / "tests" / "golden" / "geomag.json").read_text())["toolkit"]
    printed, times = published["printed"], published["times"]["printed"]
    text = (LEGACY / "cded_1990.lst").read_text()
    words = text.split()
    axes = [number for axis in printed["rotation"] for number in axis if number != "0"]
    for number in (printed["b0"], *axes, *printed["delta"], printed["distance"], *printed["direction"]):
        assert number in words
    rows = [line for line in text.splitlines() if re.match(r" BENGALURU +2025 ", line)]
    assert [row.split()[i : i + 3] for row in rows for i in (11, 19)] == [
        times[kind].split(":") for kind in ("cd", "ed_surface")
    ]
    outward, south, east = (float(number) for number in printed["field_r_theta_lambda"])
    fields = [line.split()[1:] for line in text.splitlines() if line.startswith(" " * 19 + "ED ")]
    (bengaluru,) = [row for row in fields if row[0] == f"{-south:.2f}"]
    assert bengaluru[1:3] == [f"{east:.2f}", f"{-outward:.2f}"]
    assert bengaluru[5] == printed["declination"]


def test_cded_dipoles(cded):
    deck, lines = cded
    dipole, poles = geomag.Dipole.at(model=deck.coefficients), geomag.poles(model=deck.coefficients)

    def after(label):
        line = next(line for line in lines if line[1:].startswith(label))
        return re.findall(r"-?\d+\.\d+(?:D[+-]\d+)?", line[1 + len(label) :])

    agree(*after("REDUCED MOMENT"), dipole.b0)
    assert after("MOMENT") == [f"{dipole.moment:.5E}".replace("E", "D")]
    rows = lines.index(" ROTATION FROM GEOGRAPHIC TO DIPOLE AXES")
    for line, axis in zip(lines[rows + 1 : rows + 4], dipole.rotation, strict=True):
        for printed, value in zip(line.split(), axis, strict=True):
            agree(printed, value)
    towards = geomag.xyz_to_geo(dipole.offset_km, coords="geocentric")
    expected = [*dipole.delta, *dipole.offset_km, dipole.eccentric_distance, towards.lat, towards.lon]
    for printed, value in zip([*after("RADII"), *after("KM "), *after("DISTANCE")], expected, strict=True):
        agree(printed, value)
    labels = {"CD, AXIS": "cd", "ED, AXIS": "ed_axial", "ED, FIELD VERTICAL": "ed_dip"}
    for label, kind in labels.items():
        north, south = getattr(poles, f"{kind}_north"), getattr(poles, f"{kind}_south")
        for number, value in zip(after(label), [*north, *south], strict=True):
            agree(number, value)


def test_cded_coordinates(cded):
    deck, lines = cded
    where = deck.lat, deck.lon, deck.alt
    expected = np.transpose([*where, *geomag.geo_to_cd(*where, **deck.given), *geomag.geo_to_ed(*where, **deck.given)])
    for row, values in zip(cells(lines, deck.names, "LONG   HEIGHT"), expected, strict=True):
        for column, (printed, value) in enumerate(zip(row, values, strict=True)):
            agree(printed, value, 360 if column in (4, 7) else None)


def test_cded_times(cded):
    deck, lines = cded
    sun = geomag.subsolar_point(deck.times)
    solar = geomag.apparent_solar_time(deck.lon, deck.times)
    kinds = [("cd", "direction"), ("ed", "direction"), ("ed", "surface")]
    hours = [
        geomag.magnetic_local_time(deck.lat, deck.lon, deck.times, alt=deck.alt, kind=kind, sun=where, **deck.given)
        for kind, where in kinds
    ]
    for i, row in enumerate(cells(lines, deck.names, "SUN AT INFINITY")):
        year, month, day, hour, minute, second = row[:6]
        stamp = f"{year}-{month:0>2}-{day:0>2}T{hour:0>2}:{minute:0>2}:{float(second):06.3f}"
        assert np.datetime64(stamp, "ms") == deck.times[i]
        agree(row[6], sun.lat[i])
        agree(row[7], sun.lon[i], 360)
        agree(row[8], solar[i], 24)
        for k in range(3):
            agree(row[9 + 4 * k], hours[k][i], 24)
            h, m, s = map(int, row[10 + 4 * k : 13 + 4 * k])
            agree(str(3600 * h + 60 * m + s), 3600 * hours[k][i], 86400)


def test_cded_fields(cded):
    deck, lines = cded
    found = cells(lines, deck.names, "HORIZ       TOTAL")
    eccentric = [line.split() for line in lines if line.startswith(" " * 19 + "ED ")]
    for kind, rows in (("cd", found), ("ed", eccentric)):
        field = np.transpose(geomag.dipole_field(deck.lat, deck.lon, deck.alt, kind=kind, **deck.given))
        for row, values in zip(rows, field, strict=True):
            assert row[0] == kind.upper()
            for column, (printed, value) in enumerate(zip(row[1:], values, strict=True)):
                agree(printed, value, 360 if column == 5 else None)


def test_cded_prints_a_page_at_a_time(cded):
    deck, lines = cded
    heads = [i for i, line in enumerate(lines) if line.startswith("1")]
    assert [int(lines[i].split()[-1]) for i in heads] == list(range(1, len(heads) + 1))
    tables = [lines[first:end] for first, end in zip(heads[1:], [*heads[2:], len(lines) - 1], strict=True)]
    assert tables
    for page in tables:
        assert sum(2 if line.startswith("0") else 1 for line in page) <= deck.lines_per_page
    assert lines[-1].split() == ["0END", "OF", "RUN,", str(len(deck.names)), "STATIONS,", str(len(heads)), "PAGES"]


@pytest.mark.parametrize(
    ("columns", "text"),
    [(slice(16, 25), "  95.0000"), (slice(16, 25), "  12.O000"), (slice(49, 55), "  2 30"), (slice(63, 69), " 60.00")],
)
def test_cded_rejects_a_bad_station_card_and_goes_on(execute, columns, text):
    cards = (LEGACY / "cded_1990.deck").read_text().splitlines()
    cards[9] = cards[9][: columns.start] + text + cards[9][columns.stop :]
    ran = execute("cded", "\n".join(cards) + "\n")
    assert ran.returncode == 0
    assert "0*** CARD  10 REJECTED" in ran.stdout
    assert f"END OF RUN,{len(cards) - 8:4d} STATIONS" in ran.stdout


@pytest.mark.parametrize(
    ("keep", "code", "message"),
    [(4, 1, "*** THE DECK ENDS BEFORE CARD   5"), (7, 4, "*** NO STATION CARD COULD BE USED")],
)
def test_cded_says_what_is_missing(execute, keep, code, message):
    ran = execute("cded", "\n".join((LEGACY / "cded_1990.deck").read_text().splitlines()[:keep]) + "\n")
    assert ran.returncode == code
    assert message in ran.stdout


# ---- F2LINE against closed forms -------------------------------------------------------------------------------------

BOLTZMANN, AMU, GM, RADIUS, BASE = 1.380649e-23, 1.66053907e-27, 3.986004418e14, 6371.2e3, 120e3  # SI
GRAVITY = GM / (RADIUS + BASE) ** 2
MASSES = AMU * np.array([16.0, 28.0, 32.0])  # O, N2, O2


@dataclasses.dataclass
class Line:
    """A deck of F2LINE: its control numbers, with the values of the Kokubunji deck where a test says nothing."""

    points: int = 151
    sun: int = 0
    gravity: int = 1
    chapman: int = 1
    production: int = 1
    loss: int = 2
    diffusion: int = 1
    ends: int = 1
    every: int = 1
    step: float = 3.6e6
    theta: float = 1.0
    before: float = 0.0
    hours: float = 1000.0
    table: float = 1000.0
    profile: float = 1000.0
    t_inf: float = 1000.0
    t_120: float = 380.0
    sigma: float = 0.021
    ion: float = 1.0
    electron: float = 1.6
    densities: tuple = (9e16, 3e17, 4.5e16)
    foot: float = 130.0
    chi: float = 50.0
    beta: float = 1e-4
    start: float = 1e11
    most: float = 1e12
    night: float = 0.0
    bands: tuple = ((2e14, 8, 11, 18, 8), (0.8e14, 12.5, 23, 24, 12.5), (1e14, 4, 25, 15, 4))

    def cards(self):
        switches = self.sun, self.gravity, self.chapman, self.production, self.loss, self.diffusion, self.ends
        hours = self.before, self.hours, self.table, self.profile
        cards = [
            "TEST",
            f"{'KOKUBUNJI':16}{35.71:10.4f}{139.49:10.4f}{300:10.4f}{1990:6d}{3:4d}{21:4d}{0:8.3f}",
            "".join(f"{value:9.2f}" for value in geomag.Dipole.at(model="igrf1990-ramana").coefficients),
            "".join(f"{value:5d}" for value in (self.points, *switches, self.every, len(self.bands))),
            f"{self.step:10.2E}{self.theta:10.3f}" + "".join(f"{value:10.3f}" for value in hours),
            "".join(f"{value:10.4f}" for value in (self.t_inf, self.t_120, self.sigma, self.ion, self.electron)),
            "".join(f"{value:12.4E}" for value in self.densities),
            "".join(f"{value:12.4E}" for value in (self.foot, self.chi, self.beta, self.start, self.most, self.night)),
            *(f"{band[0]:12.4E}" + "".join(f"{value:10.3f}" for value in band[1:]) for band in self.bands),
        ]
        return "\n".join(cards) + "\n"


COLUMNS = ("pnt", "height", "lat", "lon", "ed_lat", "dip", "chi", "n", "q", "beta", "d")
PEAKS = ("hours", "ut", "local", "chi", "nm_s", "hm_s", "fo_s", "nm_n", "hm_n", "fo_n", "content")


def tables(lines):
    """Return the profiles, and the table of peaks, as record arrays."""
    blocks, block = [], []
    for line in [*lines, ""]:
        words = line.split()
        if len(words) == len(COLUMNS) and not re.search("[A-Za-z]", words[1]):
            block.append(tuple(map(float, words)))
        elif block and not words:
            blocks.append(block)
            block = []
    *profiles, peaks = blocks
    as_records = [np.rec.fromrecords(block, names=COLUMNS) for block in profiles]
    return as_records, np.rec.fromrecords(peaks, names=PEAKS)


@pytest.fixture
def f2line(listing):
    def run(line):
        return tables(listing("f2line", line.cards()))

    return run


class Air:
    """Bates' atmosphere at heights in m, and the rates of O+ in it."""

    def __init__(self, line, height):
        above = height - BASE
        self.gravity = np.full_like(height, GRAVITY)
        self.geopotential = GRAVITY * above
        if line.gravity:
            self.gravity = GM / (RADIUS + height) ** 2
            self.geopotential = GM / (RADIUS + BASE) - GM / (RADIUS + height)
        zeta, sigma = self.geopotential / GRAVITY, 1e-3 * line.sigma
        self.t = line.t_inf - (line.t_inf - line.t_120) * np.exp(-sigma * zeta)
        gamma = MASSES[:, None] * GRAVITY / (sigma * BOLTZMANN * line.t_inf)
        self.n = (
            np.array(line.densities)[:, None] * (line.t_120 / self.t) ** (1 + gamma) * np.exp(-sigma * gamma * zeta)
        )
        ion = line.ion * self.t
        mean, hot = (ion + self.t) / 2, ion / 300
        frequency = 1e-6 * (
            3.67e-11 * self.n[0] * np.sqrt(mean) * (1 - 0.064 * np.log10(mean)) ** 2
            + 6.82e-10 * self.n[1]
            + 6.64e-10 * self.n[2]
        )
        plasma = (line.ion + line.electron) * self.t
        self.d = np.minimum(BOLTZMANN * plasma / (MASSES[0] * frequency), line.most)
        with_n2 = np.where(ion > 1700, 2.73 - 1.155 * hot + 0.1483 * hot**2, 1.533 - 0.592 * hot + 0.0860 * hot**2)
        with_o2 = 28.2 - 7.74 * hot + 1.073 * hot**2 - 0.0517 * hot**3 + 9.65e-4 * hot**4
        self.beta = 1e-18 * (with_n2 * self.n[1] + with_o2 * self.n[2]) if line.loss == 2 else line.beta + 0 * height

    def columns(self):
        """Return the columns overhead of O, N2 and O2, taking the local scale height for the whole of them."""
        return self.n * BOLTZMANN * self.t / (MASSES[:, None] * self.gravity)

    def production(self, line):
        """Return the production with the Sun at chi above plane layers."""
        slant = self.columns() / np.cos(np.radians(line.chi))
        return self.n[0] * sum(
            band[0] * 1e-22 * band[4] * np.exp(-1e-22 * (np.array(band[1:4]) @ slant)) for band in line.bands
        )


GIVEN = {"model": "igrf1990-ramana", "coords": "geocentric"}
STATION = geomag.geo_to_ed(35.71, 139.49, 300.0, **GIVEN)
SHELL = STATION.r / np.cos(np.radians(STATION.lat)) ** 2  # km, the line is r = SHELL cos²


def on_the_line(lat):
    """Return the geographic places at dipole latitudes."""
    return geomag.ed_to_geo(lat, STATION.lon, r=SHELL * np.cos(np.radians(lat)) ** 2, **GIVEN)


def per_radian(lat):
    """Return the metres of the line for a radian of dipole latitude, which is in radians."""
    return 1e3 * SHELL * np.cos(lat) * np.sqrt(1 + 3 * np.sin(lat) ** 2)


def tube_area(lat):
    """Return the area across a tube, which goes as one over the field."""
    return np.cos(lat) ** 6 / np.sqrt(1 + 3 * np.sin(lat) ** 2)


def test_f2line_follows_the_line_of_the_eccentric_dipole(f2line):
    (profile, _), _ = f2line(Line())
    back = on_the_line(profile.ed_lat)
    np.testing.assert_allclose(profile.lat, back.lat, atol=2e-3)
    np.testing.assert_allclose(profile.lon, back.lon, atol=2e-3)
    np.testing.assert_allclose(profile.height, back.alt, atol=0.15)  # km: the ED latitude has three decimals
    field = geomag.dipole_field(back.lat, back.lon, back.alt, kind="ed", **GIVEN)
    np.testing.assert_allclose(profile.dip, field.inclination, atol=0.01)
    np.testing.assert_allclose(profile.height[[0, -1]], 130.0, atol=6e-4)


@pytest.mark.parametrize("chi", [0.0, 60.0, 75.0])
def test_without_diffusion_f2line_gives_the_layer_of_chapman(f2line, chi):
    line = Line(
        gravity=0, chapman=0, loss=1, diffusion=0, t_120=1000.0, densities=(9e16, 0.0, 0.0), chi=chi,
        bands=((3e14, 10, 0, 0, 8),), start=0.0, points=301, step=3.6e8, hours=1e5, table=1e5, profile=1e5,
    )  # fmt: skip
    (_, profile), peaks = f2line(line)
    scale = BOLTZMANN * 1000 / (MASSES[0] * GRAVITY)
    depth_one = BASE + scale * np.log(1e-21 * 9e16 * scale)  # m, where the optical depth from overhead is 1
    largest = 3e14 * 8e-22 / (1e-21 * scale * np.e)
    z, secant = (1e3 * profile.height - depth_one) / scale, 1 / np.cos(np.radians(chi))
    expected = largest * np.exp(1 - z - secant * np.exp(-z))
    visible = secant * np.exp(-z) < 60
    assert visible.sum() > 250
    np.testing.assert_allclose(profile.q[visible], expected[visible], rtol=2e-4)
    np.testing.assert_allclose(profile.n[visible], expected[visible] / 1e-4, rtol=2e-4)
    for nm, hm in ((peaks.nm_s, peaks.hm_s), (peaks.nm_n, peaks.hm_n)):
        np.testing.assert_allclose(nm[-1], largest / secant / 1e-4, rtol=1e-3)
        np.testing.assert_allclose(hm[-1], 1e-3 * (depth_one + scale * np.log(secant)), atol=0.5)


@pytest.mark.parametrize("chi", [0.0, 50.0, 80.0, 90.0, 96.0])
def test_without_diffusion_f2line_gives_photochemical_equilibrium(f2line, chi):
    line = Line(diffusion=0, chi=chi, start=0.0, step=3.6e8, hours=1e5, table=1e5, profile=1e5)
    (_, profile), _ = f2line(line)
    height = 1e3 * profile.height
    air = Air(line, height)
    fast = air.beta > 1e-5
    np.testing.assert_allclose(profile.beta[fast], air.beta[fast], rtol=2e-4)
    np.testing.assert_allclose(profile.n[fast], profile.q[fast] / profile.beta[fast], rtol=1e-3)
    # The columns by adding up along the ray to the Sun, which the program does not do.
    layer = (height > 160e3) & (height < 600e3)
    along = np.concatenate([[0], np.geomspace(10, 9e6, 3000)])[:, None]
    r, cosine = RADIUS + height[layer], np.cos(np.radians(chi))
    ray = np.sqrt(r**2 + along**2 + 2 * r * along * cosine) - RADIUS
    depth = np.zeros((len(line.bands), layer.sum()))
    for species in range(3):
        n = Air(line, ray.ravel()).n[species].reshape(ray.shape)
        column = np.sum((n[1:] + n[:-1]) / 2 * np.diff(along, axis=0), axis=0)
        depth += 1e-22 * np.array([band[1 + species] for band in line.bands])[:, None] * column
    production = air.n[0][layer] * sum(
        band[0] * 1e-22 * band[4] * np.exp(-tau) for band, tau in zip(line.bands, depth, strict=True)
    )
    # The program takes the local scale height for that of the whole column, and Smith and Smith's form of Ch.
    strong = depth.min(axis=0) < 2
    assert strong.sum() > 10
    np.testing.assert_allclose(profile.q[layer][strong], production[strong], rtol=0.07 if chi > 90 else 0.03)


@pytest.mark.parametrize("chi", [130.0, 180.0])
def test_behind_the_earth_there_is_starlight(f2line, chi):
    (_, dark), _ = f2line(Line(chi=chi, diffusion=0))
    low = dark.height < 1000
    assert low.sum() > 50
    assert np.all(dark.q[low] == 0)
    line = Line(chi=chi, diffusion=0, night=5e-11)
    (_, profile), _ = f2line(line)
    air = Air(line, 1e3 * profile.height[low])
    depth = 1e-22 * np.array(line.bands[0][1:4]) @ air.columns()
    np.testing.assert_allclose(profile.q[low], 5e-11 * air.n[0] * np.exp(-depth), rtol=1e-3)


def test_f2line_has_the_sun_of_the_almanac(f2line):
    profiles, peaks = f2line(Line(sun=1, step=600.0, hours=24, table=1, profile=6))
    times = np.datetime64("1990-03-21", "s") + (3600 * peaks.hours).astype("m8[s]")
    np.testing.assert_allclose(peaks.local, geomag.apparent_solar_time(139.49, times), atol=0.0051)
    np.testing.assert_allclose(peaks.chi, zenith_angle(35.71, 139.49, times), atol=0.051)
    for profile, time in zip(profiles, times[::6], strict=True):
        np.testing.assert_allclose(profile.chi, zenith_angle(profile.lat, profile.lon, time), atol=0.0062)


def zenith_angle(lat, lon, time):
    sun = geomag.subsolar_point(time)
    lat, of_sun, hour_angle = (np.radians(angle) for angle in (lat, sun.lat, lon - sun.lon))
    return np.degrees(np.arccos(np.sin(lat) * np.sin(of_sun) + np.cos(lat) * np.cos(of_sun) * np.cos(hour_angle)))


@pytest.mark.parametrize("t_120", [1000.0, 380.0])
def test_closed_and_without_sources_f2line_comes_to_diffusive_equilibrium(f2line, t_120):
    line = Line(production=0, loss=0, ends=0, t_120=t_120, points=301, most=1e9, hours=1e5, table=1e4, profile=1e5)
    (_, profile), peaks = f2line(line)
    height = np.linspace(120e3, 2000e3, 40001)
    air = Air(line, height)
    pressure = MASSES[0] * air.gravity / (BOLTZMANN * (line.ion + line.electron) * air.t)
    depth = np.concatenate([[0], np.cumsum((pressure[1:] + pressure[:-1]) / 2 * np.diff(height))])
    expected = np.interp(1e3 * profile.height, height, -depth - np.log(air.t))
    found = np.log(profile.n)
    margin = 1e-5 if t_120 == line.t_inf else 4e-4  # the exponentials are exact where the temperature is constant
    np.testing.assert_allclose(found - found[0], expected - expected[0], atol=margin)
    assert np.ptp(peaks.content) <= 2e-7 * peaks.content[0]


def test_closed_f2line_keeps_the_content_that_it_starts_with(f2line):
    line = Line(production=0, loss=0, ends=0, step=300.0, hours=24, table=1, profile=24, most=1e12)
    (first, last), peaks = f2line(line)
    lat = np.radians(np.linspace(first.ed_lat[0], first.ed_lat[-1], 20001))
    tube = np.trapezoid(tube_area(lat) * per_radian(lat), lat) / tube_area(lat[-1])
    np.testing.assert_allclose(peaks.content[0], 1e11 * tube, rtol=1e-4)  # feet to three decimals
    assert np.ptp(peaks.content) <= 2e-7 * peaks.content[0]
    assert np.ptp(np.log(last.n / first.n)) > 1


@pytest.mark.parametrize(("theta", "ratio"), [(1.0, 2.0), (0.5, 4.0)])
def test_the_order_of_the_time_step(f2line, theta, ratio):
    errors = []
    for step in (3600.0, 1800.0, 900.0):
        line = Line(production=0, loss=1, diffusion=0, theta=theta, step=step, hours=6, table=6, profile=6)
        (_, profile), _ = f2line(line)
        errors.append(profile.n[0] / (1e11 * np.exp(-1e-4 * 6 * 3600)) - 1)
    found = np.divide(errors[:-1], errors[1:])
    np.testing.assert_allclose(found, ratio, rtol=0.25)
    assert abs(found[1] - ratio) < abs(found[0] - ratio)


def test_through_a_day_with_everything_on_the_step_is_of_first_order(f2line):
    content = [
        f2line(Line(sun=1, step=step, hours=24, table=1, profile=24, before=24))[1].content
        for step in (1200.0, 600.0, 300.0)
    ]
    coarse, fine = (np.linalg.norm(content[i] - content[i + 1]) for i in (0, 1))
    assert 1.7 < coarse / fine < 2.3
    np.testing.assert_allclose(content[1], content[2], rtol=0.05)


STEADY = Line(chapman=0, hours=5e4, table=5e4, profile=5e4, step=1.8e7, most=1e9, night=0.0)


def test_the_order_of_the_grid(f2line):
    solutions = []
    for factor in (1, 2, 4):
        (_, profile), _ = f2line(dataclasses.replace(STEADY, points=75 * factor + 1, every=factor))
        solutions.append(np.log(profile.n))
    layer = profile.height > 180
    coarse, fine = (np.abs(solutions[i] - solutions[i + 1])[layer].max() for i in (0, 1))
    assert 3.3 < coarse / fine < 4.7
    assert fine < 0.02


def test_the_steady_state_is_that_of_another_solution(f2line):
    """Central differences on equal steps of arc, with rates and geometry computed here, instead of exponentials."""
    (_, profile), _ = f2line(dataclasses.replace(STEADY, points=401))
    np.testing.assert_allclose(profile.n[[0, -1]], (profile.q / profile.beta)[[0, -1]], rtol=2e-4)
    lat = np.radians(np.linspace(profile.ed_lat[0], profile.ed_lat[-1], 8001))
    arc = np.cumsum(per_radian(lat)) * (lat[1] - lat[0])
    s, step = np.linspace(arc[0], arc[-1], 4001, retstep=True)
    lat = np.interp(s, arc, lat)
    air = Air(STEADY, 1e3 * on_the_line(np.degrees(lat)).alt)
    plasma = (STEADY.ion + STEADY.electron) * air.t
    drift = MASSES[0] * np.gradient(air.geopotential, s) / (BOLTZMANN * plasma) + np.gradient(np.log(plasma), s)
    conductance = np.sqrt((tube_area(lat) * air.d)[1:] * (tube_area(lat) * air.d)[:-1]) / step
    half = (drift[1:] + drift[:-1]) * step / 4
    up, down = conductance * (1 + half), conductance * (half - 1)  # the flux is -(up n[i+1] + down n[i])
    volume = tube_area(lat)[1:-1] * step
    lower, upper = -down[:-1], up[1:]
    diagonal = down[1:] - up[:-1] - air.beta[1:-1] * volume
    right = -air.production(STEADY)[1:-1] * volume
    ends = (air.production(STEADY) / air.beta)[[0, -1]]
    right[0] -= lower[0] * ends[0]
    right[-1] -= upper[-1] * ends[1]
    expected = np.concatenate([ends[:1], tridiagonal(lower, diagonal, upper, right), ends[1:]])
    layer = profile.height > 170
    assert layer.sum() > 200
    found = np.log(profile.n[layer])
    np.testing.assert_allclose(found, np.interp(np.radians(profile.ed_lat[layer]), lat, np.log(expected)), atol=0.006)


def tridiagonal(lower, diagonal, upper, right):
    diagonal, right = diagonal.copy(), right.copy()
    for i in range(1, len(right)):
        factor = lower[i] / diagonal[i - 1]
        diagonal[i] -= factor * upper[i - 1]
        right[i] -= factor * right[i - 1]
    solution = right / diagonal
    for i in range(len(right) - 2, -1, -1):
        solution[i] -= upper[i] / diagonal[i] * solution[i + 1]
    return solution


@pytest.mark.parametrize("name", ["f2line_kokubunji", "f2line_ahmedabad"])
def test_the_layers_of_the_decks_are_those_of_the_ionosphere(name):
    _, peaks = tables((LEGACY / f"{name}.lst").read_text().splitlines())
    noon, night = peaks[np.argmin(np.abs(peaks.local - 12))], peaks[np.argmin(np.abs(peaks.local - 4))]
    for half in "sn":
        nm, hm, critical = (peaks[f"{column}_{half}"] for column in ("nm", "hm", "fo"))
        assert 3e11 < noon[f"nm_{half}"] < 2e12
        assert 250 < noon[f"hm_{half}"] < 350
        assert noon[f"hm_{half}"] < night[f"hm_{half}"] < 400  # the layer rises when production stops
        assert night[f"nm_{half}"] < noon[f"nm_{half}"] / 2.5
        np.testing.assert_allclose(critical, 8.98e-6 * np.sqrt(nm), atol=0.005 + 5e-4 * critical.max())
        assert np.all(hm > 200)
    late = (peaks.local > 21) | (peaks.local < 4)
    assert late.sum() >= 6
    order = np.argsort(np.mod(peaks.local[late] - 12, 24))
    assert np.all(np.diff(peaks.nm_s[late][order]) < 0)
    # The second day repeats the first but for the course of the Sun.
    np.testing.assert_allclose(peaks.content[-1], peaks.content[0], rtol=0.02)


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"points": 1002}, 2, "*** Bad card  4"),
        ({"step": 7000.0}, 2, "*** Bad card  5"),
        ({"foot": 90.0}, 2, "*** Bad card  8"),
        ({"foot": 2000.0}, 4, "*** No line of force"),
        ({"loss": 0}, 2, "*** Bad card  4"),
    ],
)
def test_f2line_refuses_a_deck_that_it_cannot_compute(execute, change, code, message):
    ran = execute("f2line", Line(**change).cards())
    assert ran.returncode == code
    assert message in ran.stdout
