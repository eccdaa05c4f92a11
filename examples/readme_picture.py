"""Draws docs/images/two_records.png, the picture in the README: python examples/readme_picture.py [FILE]"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ecgkern.waveform import PHYSIO, gaussian_waves

fs = 500.0
rng = np.random.default_rng(1)
rates = (60, 95)  # beats per minute
r_peaks = [np.cumsum(rng.normal(60 / bpm, 0.02, 12)) * fs for bpm in rates]
waves = PHYSIO.at_heart_rate(np.repeat(rates, 12))
ecg = gaussian_waves(r_peaks, fs=fs, length=2500, waves=waves)

figure = Figure(figsize=(9, 3.6), layout="constrained")
axes = figure.subplots(2, sharex=True, sharey=True)
for ax, signal, peaks, bpm in zip(axes, ecg, r_peaks, rates, strict=True):
    ax.plot(np.arange(2500) / fs, signal, color="#b3202c", linewidth=1.2)
    inside = peaks[peaks < 2500]
    ax.plot(inside / fs, signal[inside.astype(int)] + 0.12, "v", color="#30506e", markersize=5)
    ax.set_ylabel("mV")
    ax.set_title(f"{bpm} beats per minute, R peaks marked", fontsize=9, loc="left")
    ax.grid(color="#e0d0d0", linewidth=0.5)
    ax.set_ylim(-0.4, 1.25)
axes[1].set_xlabel("time, s")
axes[1].set_xlim(0, 5)
target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "images" / "two_records.png"
figure.savefig(target, dpi=110)
