"""Trains simple classifiers of heartbeats on synthetic beats, and tests them on real beats of other patients.

If the beats of a model can stand in for recordings, a classifier that has seen nothing else tells real beats apart as
well as one that has seen real beats ("train on synthetic, test on real": Esteban, Hyland and Rätsch 2017,
arXiv:1706.02633). Prints a table of both, and how near the synthetic beats are to those that the model learned from:

    ecgkern train lstm-vae --data FOLDER --out vae --config examples/train_lstm_vae_beats.toml
    python examples/train_on_synthetic.py vae

Each RUN is a folder of ecgkern train with two classes, all of the same beats; the second class is what is looked for.
Needs pip install "ecgkern[train,ecg]", which brings scikit-learn along with NeuroKit2.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn import metrics
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from torch import nn
from tqdm import tqdm

from ecgkern import get_num_threads
from ecgkern.torch import MultiScaleConv1d, models
from ecgkern.torch.data import Signals

KERNEL_SIZES = (3, 11, 25)  # samples: at 100 Hz a Q or S wave, a narrow QRS complex, a wide one
STEPS, BATCH = 600, 64  # for all alike: more beats to learn from shall not mean a longer training


def balanced(signals, n, seed):
    """Return n real beats of each class, some of them several times where there are fewer, and their labels."""
    rng = np.random.default_rng(seed)
    classes = [np.flatnonzero(signals.labels == label) for label in (0, 1)]
    rows = np.concatenate([rng.choice(rows, n, replace=n > len(rows)) for rows in classes])
    return signals.x[rows], signals.labels[rows]


def drawn(model, n, seed):
    """Return n beats of each class as a model makes them, and their labels."""
    labels = np.repeat([0, 1], n)
    generator = torch.Generator().manual_seed(seed)
    return model.sample(2 * n, condition=torch.from_numpy(labels), generator=generator).numpy(), labels


def training_sets(train, generators, n, seed):
    """Yield what the classifiers are trained on: a name, beats, labels."""
    real = balanced(train, n, seed)
    yield f"real, {n} of each class", *real
    yield f"real, all {len(train)} beats", train.x, train.labels
    for name, model in generators.items():
        synthetic = drawn(model, n, seed)
        yield f"synthetic, {name}", *synthetic
        yield f"real and synthetic, {name}", *map(np.concatenate, zip(real, synthetic, strict=True))


def scaled(train, test):
    """Return both without the median of each beat, which is of electrodes more than of the heart, in a common unit."""
    train, test = (x - np.median(x, axis=1, keepdims=True) for x in (train, test))
    return train / train.std(), test / train.std()


def linear(x, labels, test, seed):
    """Return the probabilities of the second class by logistic regression on the samples, which has no seed."""
    model = LogisticRegression(class_weight="balanced", max_iter=2000)
    return model.fit(x.reshape(len(x), -1), labels).predict_proba(test.reshape(len(test), -1))[:, 1]


def convolutions(x, labels, test, seed):
    """Return these by a network that knows a shape wherever it is: kernels of three sizes, means in ten places."""
    torch.manual_seed(seed)
    front = MultiScaleConv1d(x.shape[2], 16, KERNEL_SIZES, dilation=1, activation="relu", merge=16)
    network = nn.Sequential(front, nn.ReLU(), nn.AdaptiveAvgPool1d(10), nn.Flatten(), nn.Linear(160, 1), nn.Flatten(0))
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    x, test = (torch.from_numpy(beats).transpose(1, 2).contiguous() for beats in (x, test))
    labels = torch.from_numpy(labels)
    rarity = (1 / torch.bincount(labels))[labels]  # so that the classes come equally often
    for rows in torch.multinomial(rarity, STEPS * BATCH, replacement=True).split(BATCH):
        loss = nn.functional.binary_cross_entropy_with_logits(network(x[rows]), labels[rows].float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        return network(test).sigmoid().numpy()


def scores(test, probability):
    """Return the numbers of the table by their names."""
    found, name = probability > 0.5, test.classes[1]
    return {
        "AUROC": metrics.roc_auc_score(test.labels, probability),
        "balanced accuracy": metrics.balanced_accuracy_score(test.labels, found),
        f"sensitivity {name}": metrics.recall_score(test.labels, found),
        f"positive predictivity {name}": metrics.precision_score(test.labels, found, zero_division=0),
        f"F1 of {name}": metrics.f1_score(test.labels, found),
    }


def to_nearest(x, others, rank=0):
    """Return 5th percentile and median of the root mean square distances to the nearest of the others.

    Rank 1 takes the next to nearest: where x are the others, each beat is the nearest to itself.
    """
    neighbours = NearestNeighbors(n_neighbors=rank + 1).fit(others.reshape(len(others), -1))
    distances, _ = neighbours.kneighbors(x.reshape(len(x), -1))
    return np.quantile(distances[:, rank], (0.05, 0.5)) / np.sqrt(x[0].size)


def table(frame):
    """Return a table in Markdown."""
    rows = [list(frame.columns), ["---"] * len(frame.columns), *frame.to_numpy().tolist()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def read(runs):
    """Return the beats of training and test that all runs share, and the model of each."""
    parts = [[Signals.load(Path(run, "data", f"{name}.npz")) for name in ("train", "test")] for run in runs]
    for run, own in zip(runs, parts, strict=True):
        if len(own[0].classes) != 2:
            raise ValueError(f"{run} has the classes {', '.join(own[0].classes)}; train with two: --classes N,V")
        if [part.facts()["sha256"] for part in own] != [part.facts()["sha256"] for part in parts[0]]:
            raise ValueError(f"{run} has other beats than {runs[0]}; train both on the same, with the same --seed")
    return *parts[0], {run: models.load(Path(run, "model.safetensors")) for run in runs}


def main(arguments=None):
    """Train, test and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", metavar="RUN", nargs="+", help="folder of ecgkern train MODEL --classes N,V")
    parser.add_argument("--n", type=int, default=3000, help="beats of each class to train on, default 3000")
    parser.add_argument("--seeds", type=int, default=3, help="times, each with other beats and weights; default 3")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers of every seed here")
    args = parser.parse_args(arguments)
    if min(args.n, args.seeds) < 1:
        parser.error("--n and --seeds must be at least 1")
    try:
        train, test, generators = read(args.runs)
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    torch.set_num_threads(get_num_threads())

    found = []
    for seed in tqdm(range(args.seeds), "seeds", disable=None, leave=False):
        for name, x, labels in training_sets(train, generators, args.n, seed):
            x, tested = scaled(x, test.x)
            for classifier in (linear, convolutions):
                row = {"classifier": classifier.__name__, "trained on": name, "seed": seed}
                found.append(row | scores(test, classifier(x, labels, tested, seed)))
    nearest = {"training, to another one": to_nearest(train.x, train.x, rank=1), "test": to_nearest(test.x, train.x)}
    nearest |= {name: to_nearest(drawn(model, args.n, 0)[0], train.x) for name, model in generators.items()}

    patients = pd.Series(test.labels).groupby(test.patients).agg(["sum", "size"]).itertuples()
    shares = ", ".join(f"{patient}: {n} of {size}" for patient, n, size in patients)
    print(f"Tested on {len(test)} real beats of other patients; {test.classes[1]} by patient: {shares}\n")
    blocks = pd.DataFrame(found).sort_values("classifier", ascending=False, kind="stable").drop(columns="seed")
    seeds = blocks.groupby(["classifier", "trained on"], sort=False)
    mean, spread = (numbers.map("{:.3f}".format) for numbers in (seeds.mean(), seeds.std(ddof=0)))
    print(table((mean + " ± " + spread).reset_index()))
    print("Distance to the nearest training beat, root mean square in mV:\n")
    distances = pd.DataFrame(nearest, index=["5 %", "median"]).T
    print(table(distances.map("{:.3f}".format).rename_axis("beats").reset_index()), end="")
    if args.json:
        numbers = {"test": test.facts(), "scores": found, "nearest": distances.to_dict("index")}
        args.json.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
