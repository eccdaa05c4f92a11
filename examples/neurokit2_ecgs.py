"""Writes ECGs of NeuroKit2's simulator, ECGSYN, as something to measure other synthetic ECGs by:

    python examples/neurokit2_ecgs.py --n 200 --out nk.npz --reference run/data/train.npz
    python examples/neurokit2_ecgs.py --n 2000 --out nk_beats.npz --reference run/data/train.npz --beats
    ecgkern evaluate run/data/test.npz nk.npz mine.npz

Each record has the heart rate of a record of the reference, drawn at random, from that one's R peaks, and without a
reference 70 beats/min; all else is the simulator's default, the noise too. Its ECGs run from -0.4 to 1.2 mV (before the
noise), which is taken as it is. Needs pip install "ecgkern[ecg]".
"""

import argparse
import json

import neurokit2
import numpy as np

from ecgkern.data import find_r_peaks

FS, SECONDS = 100, 10  # Hz, s
BEFORE, AFTER = 30, 50  # samples of a window around an R peak: 0.3 and 0.5 s

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--n", type=int, default=200, help="how many records, or windows (default: %(default)s)")
parser.add_argument("--out", default="nk.npz", help="a .npz file (default: %(default)s)")
parser.add_argument("--reference", metavar="FILE", help="a .npz file of ten-second records, as ecgkern train writes it")
parser.add_argument("--beats", action="store_true", help="windows around R peaks in place of ten-second records")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
if args.n < 1:
    parser.error(f"--n must be at least 1, got {args.n}")


def heart_rates(path):
    """Mean heart rate of each record, in beats per minute, and the name of its lead."""
    try:
        with np.load(path) as file:
            facts = json.loads(str(file["facts"]))
            rows = np.split(file["r_peaks"], file["row_offsets"][1:-1])
    except (OSError, KeyError, TypeError, ValueError) as error:
        parser.error(f"--reference {path} is no file of records as ecgkern train writes it ({error})")
    rates = [60 * facts["fs"] / np.diff(peaks).mean() for peaks in rows if len(peaks) > 2]
    if not rates:
        parser.error(f"--reference {path} has no record with three R peaks; name one of ten-second records")
    return rates, "II" if "II" in facts["leads"] else facts["leads"][0]


def record(heart_rate):
    """Ten seconds from anywhere in twenty, because the simulator starts each of its records at an R peak.

    Twenty also because ecg_simulate never returns for about one in a hundred records of ten seconds at 100 Hz: it
    interpolates 16 RR intervals to 1600 values, of which rounding makes the last one 0, and waits for ever if a beat
    begins there. From 16 to 32 s it has 32 intervals, and no such value.
    """
    signal = neurokit2.ecg_simulate(
        duration=2 * SECONDS,
        sampling_rate=FS,
        heart_rate=heart_rate,
        method="ecgsyn",
        random_state=int(rng.integers(2**31)),
    )
    start = rng.integers(len(signal) - SECONDS * FS + 1)
    return signal[start : start + SECONDS * FS]


def windows(signal):
    """What is around each R peak that NeuroKit2 finds."""
    (peaks,) = find_r_peaks(signal[None], FS, on_error="skip").rows()
    peaks = peaks.astype(int)
    return [signal[p - BEFORE : p + AFTER] for p in peaks if BEFORE <= p <= len(signal) - AFTER]


rng = np.random.default_rng(args.seed)
rates, lead = heart_rates(args.reference) if args.reference else ([70.0], "II")
made = []
while len(made) < args.n:
    signal = record(rng.choice(rates))
    made += windows(signal) if args.beats else [signal]
x = np.array(made[: args.n], dtype=np.float32)[:, :, None]
np.savez(args.out, x=x, fs=np.float64(FS), leads=np.array([lead]))
said = f"lead {lead}, heart rates {min(rates):.0f} to {max(rates):.0f} beats/min"
print(f"{args.out}: {len(x)} x {x.shape[1]} samples at {FS} Hz, {said}")
