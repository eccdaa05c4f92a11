"""Draws records of several files one below the other, such as real ones and those of each model:

    python examples/models_picture.py run/data/test.npz gan.npz nk.npz --names "real,GAN,NeuroKit2" --out records.png

Each file is a .npz with x (n, length, leads) in mV and its fs, as ecgkern generate and ecgkern train write them: ten
seconds or less make a row for each file of three records side by side, beats a panel of sixty on top of each other.
Needs pip install "ecgkern[plot]".
"""

import argparse
import json

import numpy as np
from matplotlib.figure import Figure

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("files", metavar="FILE", nargs="+", help="the first one is of recordings")
parser.add_argument("--names", required=True, help="what to call them, separated by commas")
parser.add_argument("--out", default="records.png", help="default: %(default)s")
parser.add_argument("--seed", type=int, default=0, help="of the choice of records")
args = parser.parse_args()
names = args.names.split(",")
if len(names) != len(args.files):
    parser.error(f"--names must have a name for each of the {len(args.files)} files, got {len(names)}")


def read(path):
    """Signals of the first lead, and their rate."""
    with np.load(path) as file:
        fs = float(file["fs"]) if "fs" in file else json.loads(str(file["facts"]))["fs"]
        return file["x"][:, :, 0], fs


sets, rng = [read(path) for path in args.files], np.random.default_rng(args.seed)
beats = sets[0][0].shape[1] < 2 * sets[0][1]
figure = Figure(figsize=(9, 2.4 if beats else 1.2 * len(sets)), layout="constrained")
axes = figure.subplots(*((1, len(sets)) if beats else (len(sets), 3)), sharex=True, sharey=True, squeeze=False)
for k, ((x, fs), name) in enumerate(zip(sets, names, strict=True)):
    t, color = np.arange(x.shape[1]) / fs, "#30506e" if k else "#404040"
    chosen = x[rng.permutation(len(x))[: 60 if beats else 3]]
    if beats:
        axes[0, k].plot(t, chosen.T, color=color, linewidth=0.5, alpha=0.5)
        axes[0, k].plot(t, x.mean(axis=0), color="#b3202c", linewidth=1.5)
    else:
        for axis, record in zip(axes[k], chosen, strict=False):
            axis.plot(t, record, color=color, linewidth=0.7)
    axes.flat[k if beats else 3 * k].set_title(name, fontsize=9, loc="left")
for axis in axes.flat:
    axis.grid(color="#e0d0d0", linewidth=0.5)
for axis in axes[-1]:
    axis.set_xlabel("s")
for axis in axes[:, 0]:
    axis.set_ylabel("mV")
figure.savefig(args.out, dpi=110)
