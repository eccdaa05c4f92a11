"""The dipole and quadrupole coefficients of the geomagnetic field, 1900 to 2030.

Schmidt semi-normalised Gauss coefficients in nT, piecewise linear in decimal years between the epochs of a model. The
table is degree 1 and 2 of the International Geomagnetic Reference Field of IAGA Division V-MOD: generation 14 (doi
10.5281/zenodo.14012302, CC BY 4.0) and, where it differs, generation 13 (Alken et al., Earth, Planets and Space 73
(2021) 49). The last row is the prediction by the secular variation of the row before.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ecgkern import _dispatch, _validate

Floats = NDArray[np.float64]

_SMALLEST, _LARGEST = 1e-30, 1e30  # nT; squares and products stay within float64
# What holds beyond the years of a model: 0 the line through the last two rows, 1 the last row, 2 NaN.
RULES = {"raise": 0, "nan": 2, "clip": 1, "extrapolate": 0}
NAMES = ("g10", "g11", "h11", "g20", "g21", "h21", "g22", "h22")

# year, g10, g11, h11, g20, g21, h21, g22, h22
# fmt: off
_DEFINITIVE = (
    (1900, -31543, -2298, 5922, -677, 2905, -1061, 924, 1121),
    (1905, -31464, -2298, 5909, -728, 2928, -1086, 1041, 1065),
    (1910, -31354, -2297, 5898, -769, 2948, -1128, 1176, 1000),
    (1915, -31212, -2306, 5875, -802, 2956, -1191, 1309, 917),
    (1920, -31060, -2317, 5845, -839, 2959, -1259, 1407, 823),
    (1925, -30926, -2318, 5817, -893, 2969, -1334, 1471, 728),
    (1930, -30805, -2316, 5808, -951, 2980, -1424, 1517, 644),
    (1935, -30715, -2306, 5812, -1018, 2984, -1520, 1550, 586),
    (1940, -30654, -2292, 5821, -1106, 2981, -1614, 1566, 528),
    (1945, -30594, -2285, 5810, -1244, 2990, -1702, 1578, 477),
    (1950, -30554, -2250, 5815, -1341, 2998, -1810, 1576, 381),
    (1955, -30500, -2215, 5820, -1440, 3003, -1898, 1581, 291),
    (1960, -30421, -2169, 5791, -1555, 3002, -1967, 1590, 206),
    (1965, -30334, -2119, 5776, -1662, 2997, -2016, 1594, 114),
    (1970, -30220, -2068, 5737, -1781, 3000, -2047, 1611, 25),
    (1975, -30100, -2013, 5675, -1902, 3010, -2067, 1632, -68),
    (1980, -29992, -1956, 5604, -1997, 3027, -2129, 1663, -200),
    (1985, -29873, -1905, 5500, -2072, 3044, -2197, 1687, -306),
    (1990, -29775, -1848, 5406, -2131, 3059, -2279, 1686, -373),
    (1995, -29692, -1784, 5306, -2200, 3070, -2366, 1681, -413),
    (2000, -29619.4, -1728.2, 5186.1, -2267.7, 3068.4, -2481.6, 1670.9, -458),
    (2005, -29554.63, -1669.05, 5077.99, -2337.24, 3047.69, -2594.5, 1657.76, -515.43),
    (2010, -29496.57, -1586.42, 4944.26, -2396.06, 3026.34, -2708.54, 1668.17, -575.73),
    (2015, -29441.46, -1501.77, 4795.99, -2445.88, 3012.2, -2845.41, 1676.35, -642.17),
)
_IGRF14 = (
    *_DEFINITIVE,
    (2020, -29403.41, -1451.37, 4653.35, -2499.78, 2981.96, -2991.72, 1676.85, -734.62),
    (2025, -29350, -1410.3, 4545.5, -2556.2, 2950.9, -3133.6, 1648.7, -814.2),
    (2030, -29287, -1360.3, 4438, -2612.2, 2924.4, -3270.1, 1607.2, -869.7),
)
_IGRF13 = (
    *_DEFINITIVE,
    (2020, -29404.8, -1450.9, 4652.5, -2499.6, 2982, -2991.6, 1677, -734.6),
    (2025, -29376.3, -1413.9, 4523, -2554.6, 2947, -3142.6, 1666.5, -846.6),
)
# The provisional field of 1990, fifth generation, as used by Ramana, Murthy and Khan, Indian Journal of Radio and Space
# Physics 27 (1998) 35-42. The definitive field of 1990 came later.
_IGRF1990_RAMANA = ((1990, -29775, -1851, 5411, -2136, 3058, -2278, 1693, -380),)
# fmt: on


@dataclass(frozen=True, eq=False)
class Table:
    """Coefficients (n, 8) at evenly spaced years (n,); one row holds at any epoch."""

    name: str
    years: Floats
    coefficients: Floats

    @property
    def fixed(self) -> bool:
        """Whether the coefficients are the same at every epoch."""
        return self.years.size == 1

    @property
    def step(self) -> float:
        """Years from one row to the next."""
        return 1.0 if self.fixed else float(self.years[1] - self.years[0])

    def at(self, years: Floats, out_of_range: str = "extrapolate") -> Floats:
        """Return the coefficients (..., 8) at decimal years."""
        if self.fixed:
            return np.broadcast_to(self.coefficients[0], (*years.shape, 8))
        return interpolate(self.coefficients, float(self.years[0]), self.step, RULES[out_of_range], years)


def interpolate(rows: Floats, first: float, step: float, rule: int, years: Floats) -> Floats:
    """Return coefficients (..., 8): linear between rows that are `step` years apart, and beyond them by the rule."""
    last = len(rows) - 1
    position = (years - first) / step
    if rule == RULES["clip"]:
        position = np.clip(position, 0, last)
    elif rule == RULES["nan"]:
        position = np.where((position >= 0) & (position <= last), position, np.nan)
    row = np.fmin(np.fmax(np.floor(position), 0), last - 1).astype(np.intp)  # any row where the year is NaN
    weight = (position - row)[..., None]
    result: Floats = (1 - weight) * rows[row] + weight * rows[row + 1]
    return result


def _table(name: str, rows: tuple[tuple[float, ...], ...]) -> Table:
    values = np.array(rows, np.float64)
    years, coefficients = values[:, 0].copy(), values[:, 1:].copy()
    years.flags.writeable = coefficients.flags.writeable = False
    return Table(name, years, coefficients)


TABLES = {
    table.name: table
    for table in (
        _table("igrf14", _IGRF14),
        _table("igrf13", _IGRF13),
        _table("igrf1990-ramana", _IGRF1990_RAMANA),
    )
}


def table(model: Any) -> Table:
    """Return the table of a model: its name, or eight coefficients of the caller."""
    if isinstance(model, str):
        if model not in TABLES:
            names = ", ".join(map(repr, TABLES))
            raise ValueError(f"model must be one of {names} or eight coefficients {', '.join(NAMES)}; got {model!r}")
        return TABLES[model]
    values = _validate.real_array(_dispatch.to_numpy(model, "model"), "model", (1,))
    if values.size != 8:
        raise ValueError(f"model must hold the eight coefficients {', '.join(NAMES)} in nT, got {values.size}")
    dipole, largest = np.abs(values[:3]).max(), np.abs(values).max()
    if not _SMALLEST <= dipole <= largest <= _LARGEST:
        raise ValueError(
            f"model must have a dipole, g10, g11 and h11, of {_SMALLEST:g} nT or more, and no coefficient beyond "
            f"{_LARGEST:g} nT; got {values.tolist()}"
        )
    return Table("custom", np.zeros(1), values[None])
