"""What ecgkern.waveform is compared with: the same work as a user would do it today, and the limits of the machine."""

import numpy as np

from ecgkern.waveform import PHYSIO


def dense_numpy(r_peaks, fs, length, waves=PHYSIO):
    """(n_records, n_beats) peaks to (n_records, length): every wave at every sample, in float32, record by record."""
    t = np.arange(length, dtype=np.float32)
    delay, width = (np.float32(v * fs)[:, None] for v in (waves.delay, waves.width))
    amplitude = np.float32(waves.amplitude)[:, None]
    out = np.empty((len(r_peaks), length), np.float32)
    for n, peaks in enumerate(np.float32(r_peaks)):
        x = (t - peaks[:, None, None] - delay) / width
        out[n] = (amplitude * np.exp(np.float32(-0.5) * x * x)).sum(axis=(0, 1))
    return out


def dense_torch(r_peaks, amplitude, delay, width, fs, length):
    """The same in torch for tensors, differentiable; a wave at a time, so that the memory stays reasonable."""
    import torch

    t = torch.arange(length, dtype=r_peaks.dtype)
    total = torch.zeros(r_peaks.shape[0], length, dtype=r_peaks.dtype)
    for a, d, s in zip(amplitude, delay, width, strict=True):
        x = (t - r_peaks[..., None] - fs * d) / (fs * s)
        total = total + (a * torch.exp(-0.5 * x * x)).sum(dim=1)
    return total


def neurokit(fs, length, seed=0):
    """One simulated ECG by NeuroKit2's dynamical model."""
    import neurokit2 as nk

    return nk.ecg_simulate(length=length, sampling_rate=fs, heart_rate=72, random_state=seed)


def fill(out):
    """The floor: every byte of the result written once, by as many threads as the kernels use."""
    import torch

    torch.from_numpy(out).fill_(0.0)
