"""Trains a small autoencoder of ECGs twice, with ecgkern's convolution and with PyTorch's own, and compares the two.

Both start from the same weights and see the same batches of lead II of PTB-XL, so that their losses should be one
curve; what differs is the time of a step. Prints both, and draws them in train_encoder.png:

    python examples/train_encoder.py --data FOLDER

Without --data the environment variable ECGKERN_DATA names the folder. Needs pip install "ecgkern[torch,ecg,plot]",
without plot it draws nothing. PyTorch's own convolutions gain most from a malloc that keeps its memory between steps:

    MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 python examples/train_encoder.py
"""

import argparse
import copy
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from ecgkern import get_num_threads
from ecgkern._progress import Progress
from ecgkern.data import PTBXL
from ecgkern.torch import MultiScaleConv1d

LENGTH, LATENT = 1000, 32


class Autoencoder(nn.Module):
    """Ten seconds in 32 numbers: kernels of five sizes, merged to 8 channels, means over 40 ms, one layer each way."""

    def __init__(self):
        super().__init__()
        self.features = MultiScaleConv1d(1, activation="relu", merge=8)
        self.encoder = nn.Sequential(nn.ReLU(), nn.AvgPool1d(4), nn.Flatten(), nn.Linear(8 * LENGTH // 4, LATENT))
        self.decoder = nn.Linear(LATENT, LENGTH)

    def forward(self, x):
        """Return the records as their 32 numbers tell them."""
        return self.decoder(self.encoder(self.features(x)))[:, None]


class Composite(nn.Module):
    """The same features by PyTorch's own operations."""

    def __init__(self, layer):
        super().__init__()
        self.conv_kernels, self.conv_merge = layer.conv_kernels, layer.conv_merge

    def forward(self, x):
        """Return the merged channels."""
        return self.conv_merge(torch.cat([convolve(x) for convolve in self.conv_kernels], dim=1).relu())


def batches(records, size, steps):
    """Return the rows of each step's batch: all records in a random order, then again in another."""
    rng = np.random.default_rng(0)
    order = np.concatenate([rng.permutation(records) for _ in range(-(-steps * size // records))])
    return order[: steps * size].reshape(steps, size)


def train(model, records, rows, advance):
    """Return the losses of the steps, and the seconds each took."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    losses, seconds = [], []
    for done, batch in enumerate(records[chosen] for chosen in rows):
        start = time.perf_counter()
        loss = nn.functional.mse_loss(model(batch), batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seconds.append(time.perf_counter() - start)
        losses.append(loss.item())
        advance(done + 1, len(rows))
    return np.array(losses), seconds


def draw(losses, step_times):
    """Return a figure of both curves, and of their difference."""
    from matplotlib.figure import Figure

    from ecgkern._style import MARK, RECORDED, SYNTHETIC, WIDTH

    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    steps = np.arange(1, len(losses["PyTorch"]) + 1)
    for (name, values), color, width in zip(losses.items(), (RECORDED, SYNTHETIC), (4, 1.2), strict=True):
        alpha = 0.35 if width > 2 else 1
        above.plot(
            steps, values, color=color, linewidth=width, alpha=alpha, label=f"{name}, {step_times[name]:.0f} ms a step"
        )
    above.set_title("Two trainings of one autoencoder")
    above.set_ylabel("mean squared error")
    above.legend()
    below.semilogy(steps, np.maximum(np.abs(losses["ecgkern"] - losses["PyTorch"]), 1e-9), color=MARK, linewidth=1)
    below.set_ylabel("difference")
    below.set_xlabel("step")
    return figure


def main():
    """Train twice, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", metavar="FOLDER", help="folder of PTB-XL, or its parent")
    parser.add_argument("--steps", type=int, default=200, help="how many, default 200")
    parser.add_argument("--batch-size", type=int, default=64, help="records of a step, default 64")
    parser.add_argument("--records", type=int, default=2000, help="at most so many, the first ones; default 2000")
    parser.add_argument("--picture", type=Path, default=Path("train_encoder.png"), help="default train_encoder.png")
    args = parser.parse_args()
    if min(args.steps, args.batch_size, args.records) < 1:
        parser.error("--steps, --batch-size and --records must be at least 1")
    try:
        collection = PTBXL(args.data, leads="II")
    except FileNotFoundError as error:
        sys.exit(str(error))

    torch.set_num_threads(get_num_threads())
    torch.manual_seed(0)
    ours = Autoencoder()
    theirs = copy.deepcopy(ours)
    theirs.features = Composite(theirs.features)
    models = {"PyTorch": theirs, "ecgkern": ours}

    losses, seconds = {}, {}
    shares = {"reading": 10, "PyTorch": 60, "ecgkern": 30}
    with Progress(shares, quiet=False, remedy='this example needs tqdm: pip install "ecgkern[ecg]"') as progress:
        with progress.step("reading") as advance:
            chosen = collection.select(ecg_ids=collection.metadata.index[: args.records])
            signals = chosen.signals(progress=advance)
            signals -= np.median(signals, axis=1, keepdims=True)
            signals /= signals.std(axis=1, keepdims=True) + 1e-3  # mV: a lead that fell off stays flat
            records = torch.from_numpy(signals).transpose(1, 2).contiguous()
        rows = batches(len(records), args.batch_size, args.steps)
        for name, model in models.items():
            with progress.step(name) as advance:
                losses[name], seconds[name] = train(model, records, rows, advance)

    print(f"{len(records)} records of lead II, batches of {args.batch_size}, {get_num_threads()} threads\n")
    print(f"{'step':>14}{'PyTorch':>12}{'ecgkern':>12}")
    for step in np.unique(np.linspace(0, args.steps - 1, 9).astype(int)):
        print(f"{step + 1:>14}{losses['PyTorch'][step]:>12.6f}{losses['ecgkern'][step]:>12.6f}")
    step_times = {name: 1e3 * median(values) for name, values in seconds.items()}
    print(f"{'ms a step':>14}{step_times['PyTorch']:>12.1f}{step_times['ecgkern']:>12.1f}")
    difference = np.abs(losses["ecgkern"] - losses["PyTorch"]).max()
    print(f"\nLargest difference of the losses: {difference:.1e}")

    try:
        from ecgkern._style import draw_all
    except ModuleNotFoundError:
        return
    pictures = draw_all({"losses": lambda: draw(losses, step_times)})
    args.picture.write_bytes(pictures["losses"])
    print(f"Both curves: {args.picture}")


if __name__ == "__main__":
    main()
