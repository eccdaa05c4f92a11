"""Batches of ECGs as sums of P, Q, R, S, T, U Gaussian waves (smoothed Dirac deltas) placed at R peaks.

One record with R peaks at samples :math:`r_b` and leads with gains :math:`G_{cw}` is

.. math:: y_c(t) = \\sum_b \\sum_w G_{cw} A_{bw} \\exp\\left(-\\frac{(t - r_b - d_{bw})^2}{2 s_{bw}^2}\\right)

with amplitudes A in mV, delays d from the R peak and widths s (standard deviations). `gaussian_waves` computes it for
whole batches of records, `gaussian_waves_grad` its exact gradients. The model, with its wave offsets, is the analytic
ECG of the *Technology Blog* of K. S. R. Narayana Murthy; Gaussian waves in the manner of McSharry et al., IEEE Trans.
Biomed. Eng. 50 (2003) 289.
"""

from ecgkern.waveform._gaussian import Gradients, dirac_delta, gaussian_waves, gaussian_waves_grad
from ecgkern.waveform._waves import PHYSIO, SEED, Waves

__all__ = ["PHYSIO", "SEED", "Gradients", "Waves", "dirac_delta", "gaussian_waves", "gaussian_waves_grad"]
