"""Sets of Gaussian waves: `Waves`, and the presets SEED and PHYSIO."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ecgkern import _validate

# ECGSYN (McSharry et al. 2003) moves the waves of a beat with the RR interval: in time, delays of P and T go with
# RR**(3/4), those of Q and S and all widths with RR**(1/2). U follows T.
_QRS = ("Q", "R", "S")


@dataclass(frozen=True, eq=False)
class Waves:
    """The Gaussian waves of a beat: one set for all beats, or a set per beat.

    Parameters
    ----------
    name : sequence of str
        Names of the waves, for example ``("P", "Q", "R", "S", "T", "U")``.
    amplitude : array_like, shape (n_waves,) or (n_beats, n_waves)
        Peak heights in mV; may be negative.
    delay : array_like, same shape
        Times of the wave centres after the R peak in seconds; negative before it.
    width : array_like, same shape
        Standard deviations in seconds, above zero.

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or a width is not above zero.

    Examples
    --------
    A taller R wave, everything else as in the preset:

    >>> from dataclasses import replace
    >>> from ecgkern.waveform import PHYSIO
    >>> tall = replace(PHYSIO, amplitude=PHYSIO.amplitude * [1, 1, 1.5, 1, 1, 1])
    >>> float(tall.amplitude[2])
    1.5
    """

    name: tuple[str, ...]
    amplitude: NDArray[np.float64]
    delay: NDArray[np.float64]
    width: NDArray[np.float64]

    def __init__(self, name: Sequence[str], amplitude: ArrayLike, delay: ArrayLike, width: ArrayLike) -> None:
        values = {"amplitude": amplitude, "delay": delay, "width": width}
        if isinstance(name, str) or not all(isinstance(each, str) for each in name):
            raise TypeError(f"name must be a sequence of strings, one per wave, got {name!r}")
        arrays = {key: _validate.real_array(value, key, (1, 2)).copy() for key, value in values.items()}
        shape = arrays["amplitude"].shape
        if len({array.shape for array in arrays.values()}) != 1 or shape[-1] != len(name) or len(name) == 0:
            shapes = ", ".join(f"{key} {array.shape}" for key, array in arrays.items())
            raise ValueError(
                f"amplitude, delay and width must share the shape ({len(name)},) or (n_beats, {len(name)}), with one "
                f"column per name; got {shapes}"
            )
        bad = arrays["width"] <= 0
        if bad.any():
            index = tuple(int(i) for i in np.unravel_index(int(np.argmax(bad)), shape))
            raise ValueError(f"width must be above 0 s, got {arrays['width'][index]} at {list(index)}")
        object.__setattr__(self, "name", tuple(name))
        for key, array in arrays.items():
            array.setflags(write=False)
            object.__setattr__(self, key, array)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Waves):
            return NotImplemented
        return self.name == other.name and all(
            np.array_equal(getattr(self, key), getattr(other, key)) for key in ("amplitude", "delay", "width")
        )

    __hash__ = None  # type: ignore[assignment]  # like the arrays that it holds

    def __reduce__(self) -> tuple[Any, ...]:
        return Waves, (self.name, self.amplitude, self.delay, self.width)  # a copy is checked and read-only as well

    def at_heart_rate(self, bpm: ArrayLike) -> "Waves":
        """Return these waves, taken to hold at 60 beats per minute, at other heart rates.

        With RR = 60 / bpm the delays of Q, R and S and all widths are multiplied by RR**(1/2), the delays of the other
        waves by RR**(3/4), as in ECGSYN (McSharry et al. 2003). Amplitudes stay.

        Parameters
        ----------
        bpm : float or array_like of shape (n_beats,)
            Heart rate in beats per minute; an array gives a set of waves per beat.

        Returns
        -------
        Waves
            Arrays of shape (n_waves,) for a number, (n_beats, n_waves) for an array.

        Raises
        ------
        ValueError
            If a rate is not finite and above zero, or there is already a set per beat.

        Examples
        --------
        >>> from ecgkern.waveform import PHYSIO
        >>> fast = PHYSIO.at_heart_rate(100)
        >>> bool(fast.delay[4] < PHYSIO.delay[4])
        True
        >>> PHYSIO.at_heart_rate([60, 75, 90]).delay.shape
        (3, 6)
        """
        rate = _validate.real_array(bpm, "bpm", (0, 1))
        if self.delay.ndim == 2:
            raise ValueError("at_heart_rate starts from one set of waves at 60 bpm; these are per beat already")
        if (rate <= 0).any():
            raise ValueError(f"bpm must be above 0, got {rate.min()} at [{rate.argmin()}]")
        rr = 60.0 / rate[..., None]
        exponent = np.where(np.isin(self.name, _QRS), 0.5, 0.75)
        amplitude = np.broadcast_to(self.amplitude, (rr * self.amplitude).shape)
        return Waves(self.name, amplitude, self.delay * rr**exponent, self.width * rr**0.5)


_PQRSTU = ("P", "Q", "R", "S", "T", "U")

SEED = Waves(
    _PQRSTU,
    amplitude=[0.15, -0.10, 1.0, -0.20, 0.30, 0.03],
    delay=[-0.080, -0.010, 0.0, 0.010, 0.150, 0.250],
    width=[0.025, 0.010, 0.010, 0.010, 0.040, 0.025],
)
"""The wave offsets of the blog: P 80 ms before R, Q and S 10 ms before and after it, T 150 and U 250 ms after it.

The blog gives neither amplitudes nor widths; these are ours. With Q and S within one width of R the three overlap: R
stands 18 % lower than its own 1 mV, and no negative Q or S is visible."""

PHYSIO = Waves(
    _PQRSTU,
    amplitude=[0.15, -0.20, 1.0, -0.30, 0.30, 0.03],
    delay=[-0.160, -0.020, 0.0, 0.020, 0.280, 0.460],
    width=[0.025, 0.010, 0.010, 0.010, 0.040, 0.025],
)
"""Lead II of a healthy adult at 60 beats per minute.

Literature values: P 0.05 to 0.25 mV and 80 to 110 ms long (4 widths), Q less than a quarter of R, T at least a tenth of
R and about 160 ms long, U small and after T. Q, R and S overlap, so that the signal itself reaches -0.13, 0.93 and
-0.22 mV. Its intervals as NeuroKit2 delineates them (``ecg_delineate``, wavelets) are PR 156 to 168, QRS 100 to 118 and
QT 412 to 432 ms at 250 Hz and above: within 120-200, 80-120 and 350-450 ms. No wave is narrower than one sample at
100 Hz.
"""
