"""Lead names, and the limb leads that follow from leads I and II.

Einthoven's law and Goldberger's definitions make four of the twelve leads redundant::

    III = II - I      aVR = -(I + II) / 2      aVL = I - II / 2      aVF = II - I / 2

so eight leads carry all of a 12-lead ECG.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEADS_12 = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
"""The twelve standard leads in the order of PTB-XL and most WFDB records."""

LEADS_8 = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
"""The eight independent leads, in the order of `LEADS_12`."""

# The coefficients of I and II in each derived lead.
_DERIVED = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}

_CANONICAL = {lead.casefold(): lead for lead in LEADS_12}


def canonical_lead(name: str) -> str:
    """Spell a standard lead as in `LEADS_12`, whatever its case; keep any other name.

    Examples
    --------
    >>> canonical_lead("AVR"), canonical_lead("v1"), canonical_lead("MLII")
    ('aVR', 'V1', 'MLII')
    """
    return _CANONICAL.get(name.strip().casefold(), name.strip())


def to_12_leads(signal: ArrayLike, leads: Sequence[str] = LEADS_8, axis: int = -1) -> NDArray[np.floating[Any]]:
    """Complete an ECG with the limb leads that follow from leads I and II.

    Parameters
    ----------
    signal : array_like
        ECG of any shape and unit, with the leads along `axis`.
    leads : sequence of str
        Names of the leads along `axis`, in any order and case. I and II must be among them.
    axis : int
        The lead axis.

    Returns
    -------
    ndarray
        A new array of the same shape but for `axis`, which holds I, II, III, aVR, aVL, aVF and
        then those of V1 to V6 that were given: twelve leads for the default `leads`. A lead that
        was given is copied, not derived. A floating dtype is kept; integers become float64.

    Raises
    ------
    ValueError
        If `leads` does not match the axis, lacks I or II, repeats a lead or holds a name that is
        not one of the twelve standard leads.

    Notes
    -----
    III = II - I, aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2. A recorder rounds each lead on
    its own, so recorded limb leads differ from these by up to two quantisation steps (2 uV in
    PTB-XL).

    Examples
    --------
    >>> to_12_leads([[1.0, 3.0]], leads=("I", "II"))
    array([[ 1. ,  3. ,  2. , -2. , -0.5,  2.5]])
    """
    given = np.asarray(signal)
    if not np.issubdtype(given.dtype, np.floating):
        given = given.astype(np.float64)
    position = _positions(leads)
    if not -given.ndim <= axis < given.ndim:
        raise ValueError(f"axis {axis} is out of range for a signal of shape {given.shape}")
    if given.shape[axis] != len(position):
        raise ValueError(
            f"signal has {given.shape[axis]} leads along axis {axis} (shape {given.shape}), "
            f"but {len(position)} names were given: {', '.join(position)}"
        )

    complete = [lead for lead in LEADS_12 if lead in position or lead in _DERIVED]
    shape = list(given.shape)
    shape[axis] = len(complete)
    out = np.empty(shape, dtype=given.dtype)
    source, target = np.moveaxis(given, axis, 0), np.moveaxis(out, axis, 0)
    lead_1, lead_2 = source[position["I"]], source[position["II"]]
    for row, lead in enumerate(complete):
        if lead in position:
            target[row] = source[position[lead]]
        else:
            gain_1, gain_2 = _DERIVED[lead]
            target[row] = gain_1 * lead_1 + gain_2 * lead_2
    return out


def _positions(leads: Sequence[str]) -> dict[str, int]:
    """Map each lead to its place, having checked that the names suit `to_12_leads`."""
    position = {canonical_lead(lead): place for place, lead in enumerate(leads)}
    unknown = [lead for lead in position if lead not in LEADS_12]
    if unknown:
        raise ValueError(f"unknown lead {unknown[0]!r}: expected names from {', '.join(LEADS_12)}")
    if len(position) != len(leads):
        raise ValueError(f"leads must not repeat, got {', '.join(leads)}")
    if not {"I", "II"} <= position.keys():
        raise ValueError(f"leads I and II are needed, got {', '.join(leads)}")
    return position
