"""``ecgkern train``: train a generative model on a folder of recordings, and leave all that is needed to judge it.

Records are read (`ecgkern.torch.data`) and divided by patient, the model is trained with a checkpoint after every epoch
(`ecgkern.torch.training`), and the folder gets the model, its curve, and a card with data, metrics and limits.
"""

import argparse
import dataclasses
import importlib
import inspect
import json
import math
import os
import re
import sys
import time
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ecgkern import _page, get_num_threads
from ecgkern._progress import Advance, Progress

__all__ = ["add_arguments", "run", "train"]

_INSTALL = 'pip install "ecgkern[train,ecg,plot]"'
_LIBRARIES = ("torch", "safetensors.torch", "matplotlib.figure")
# With their shares of the progress bar: about how many percent of the time each takes.
_STEPS = {"reading": 10, "training": 80, "measuring": 10}
_SAMPLES = 1000  # drawn from the trained model to measure it

# What is trained on: settings beside those of ecgkern.torch.training.Options, with their defaults.
_DATA = {
    "data": None,
    "dataset": "ptb-xl",
    "windows": None,
    "waveform": "recorded",
    "classes": None,
    "leads": None,
    "fs": 100.0,
    "before": 0.3,
    "after": 0.5,
    "at_most": None,
}
# Of settings that a model needs otherwise than the others.
_DEFAULTS: dict[str, dict[str, Any]] = {
    # beta 1 spreads the phases over the whole prior, so that hardly a sample falls where no sine was.
    "sine-vae": {"epochs": 25, "learning_rate": 5e-3, "beta": 1.0, "beta_cycles": 0, "threads": 1, "at_most": 8192},
    # Past gradients say little of where an adversary stands now; the penalty comes in few steps, with large gradients.
    "gan": {"adam_betas": (0.0, 0.99), "average": 0.998, "clip": 0.0, "criterion": "last", "weighted": False},
    "vae-gan": {"adam_betas": (0.5, 0.99), "average": 0.998, "clip": 0.0, "criterion": "last"},
}
_CHOICES = {
    "dataset": ("ptb-xl", "mit-bih"),
    "windows": ("records", "beats"),
    "waveform": ("recorded", "seed", "physio"),
    "schedule": ("cosine", "plateau", "constant"),
    "criterion": ("auto", "loss", "mmd", "last"),
    "precision": ("float32", "bfloat16"),
}
_HELP = {
    "data": "folder of PTB-XL or MIT-BIH, or its parent (default: the environment variable ECGKERN_DATA); or a file of "
    "signals (.npz) that ecgkern.torch.data has saved; sine-vae needs none",
    "dataset": "which of the two (default: ptb-xl)",
    "windows": "records of 10 s, or windows around R peaks (default: records; mit-bih: beats, all there is)",
    "waveform": "the recorded signals, or waves of one of the presets placed at their R peaks (default: recorded)",
    "classes": "superclasses of PTB-XL or AAMI classes of MIT-BIH, such as NORM,MI or N,V; several are conditions "
    "(default: NORM; N,V)",
    "leads": "leads to keep, such as II,V1 (default: II; MLII)",
    "fs": "sampling rate in Hz (default: 100)",
    "before": "seconds of a window before the R peak (default: 0.3)",
    "after": "seconds of a window from the R peak on (default: 0.5)",
    "at_most": "so many records (mit-bih: beats; sine-vae: sines, default 8192) of each class, evenly spread",
    "epochs": "after each there is a validation and a checkpoint (default: 100; sine-vae: 25)",
    "passes": "over the training set in an epoch (default: 1)",
    "batch_size": "records of a step (default: 64)",
    "crop": "samples of a random stretch of each record that a step takes; 0: all (default: 0)",
    "learning_rate": "of Adam (default: 1e-3; sine-vae: 5e-3)",
    "adam_betas": "decay of Adam's two means (default: 0.9 0.999; gan: 0 0.99; vae-gan: 0.5 0.99)",
    "weight_decay": "of Adam (default: 0)",
    "clip": "largest norm of the gradient, 0 for any (default: 1; gan and vae-gan: 0)",
    "schedule": "of the learning rate (default: cosine)",
    "patience": "epochs without anything better after which training stops, 0 for never (default: 0; not with "
    "criterion last)",
    "average": "decay of the running mean of the weights that is validated and kept, 0 for none (default: 0; gan and "
    "vae-gan: 0.998)",
    "beta": "weight of the KL divergence, at most (default: 2e-3; sine-vae: 1)",
    "beta_cycles": "how often it rises from 0; 0: constant (default: 4; sine-vae: 0)",
    "beta_ratio": "part of a cycle in which it rises (default: 0.5)",
    "mmd": "weight of the MMD of latent numbers and prior (default: 0)",
    "critic_steps": "steps of the other phases for each of the last one (default: 1)",
    "weighted": "weigh errors around the waves more (default: yes)",
    "criterion": "what tells the epoch to keep (default: the loss; gan and vae-gan: last)",
    "precision": "of the forward pass (default: float32)",
    "seed": "of everything (default: 0)",
    "threads": "of PyTorch on the CPU (default: as many as of ecgkern; sine-vae: 1)",
    "device": "cpu, cuda, ... (default: a GPU where there is one)",
}


class TrainError(ValueError):
    """What was asked for cannot be done."""


def models() -> dict[str, Any]:
    """Return the classes of models by the names that the command has for them."""
    from torch import nn

    from ecgkern.torch import models as module

    found = [getattr(module, name) for name in module.__all__]
    classes = [each for each in found if inspect.isclass(each) and issubclass(each, nn.Module)]
    return {re.sub(r"(?<=.)(VAE|GAN)$", r"-\1", each.__name__).lower(): each for each in classes}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``ecgkern train`` to its parser.

    Parameters
    ----------
    parser : argparse.ArgumentParser
        The (sub)parser of the command.
    """
    try:
        names = tuple(sorted(models()))
    except ImportError:
        names = None  # what is missing is said when it runs
    parser.add_argument("model", metavar="MODEL", choices=names, help=", ".join(names or ("needs PyTorch",)))
    parser.add_argument("--out", metavar="RUN", required=True, help="folder to write to")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in RUN, if there is one")
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="TOML file with these options as keys (batch_size = 32), and arguments of the model in a table [model]",
    )
    parser.add_argument(
        "--set",
        dest="model_settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="an argument of the model, such as latent=16, as in [model]; may be repeated",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress bar and no epochs")
    kinds: dict[str, Any] = {"fs": float, "before": float, "after": float, "at_most": int}
    kinds |= dict.fromkeys(
        ("epochs", "passes", "batch_size", "crop", "patience", "beta_cycles", "critic_steps", "seed", "threads"), int
    )
    kinds |= dict.fromkeys(("learning_rate", "weight_decay", "clip", "average", "beta", "beta_ratio", "mmd"), float)
    for name, text in _HELP.items():
        flag = f"--{name.replace('_', '-')}"
        more: dict[str, Any] = {"default": argparse.SUPPRESS, "help": text}
        if name == "weighted":
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, **more)
        elif name == "adam_betas":
            parser.add_argument(flag, nargs=2, type=float, metavar="B", **more)
        elif name in _CHOICES:
            parser.add_argument(flag, choices=_CHOICES[name], **more)
        else:
            parser.add_argument(flag, type=kinds.get(name, str), metavar=name.rpartition("_")[2].upper(), **more)


def run(args: argparse.Namespace) -> int:
    """Run ``ecgkern train`` with parsed options.

    Parameters
    ----------
    args : argparse.Namespace
        Options as `add_arguments` defines them.

    Returns
    -------
    int
        Exit status: 0; 2 if an option, the data, a checkpoint or the output folder does not work, or training fails
        (one line on stderr says why); 130 after Ctrl-C, 143 after SIGTERM.
    """
    try:
        given = {name: value for name, value in vars(args).items() if name in _HELP}
        table = _parsed(args.model_settings)
        train(
            args.model,
            args.out,
            resume=args.resume,
            config=args.config,
            model_settings=table,
            quiet=args.quiet,
            **given,
        )
    except KeyboardInterrupt as error:
        print(f"ecgkern train: {error or 'interrupted'}", file=sys.stderr)
        return 128 + getattr(error, "signum", 2)
    except (ImportError, OSError) as error:
        print(f"ecgkern train: {error}", file=sys.stderr)
        return 2
    except ValueError as error:
        if not _expected(error):
            raise
        print(f"ecgkern train: {error}", file=sys.stderr)
        return 2
    return 0


def _expected(error: ValueError) -> bool:
    """Tell the errors that are worded for the reader from those that are faults of the program."""
    from ecgkern.data import RecordError
    from ecgkern.torch.data import SignalsError
    from ecgkern.torch.training import TrainingError

    return isinstance(error, TrainError | RecordError | SignalsError | TrainingError)


def train(
    model: str,
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    config: str | os.PathLike[str] | None = None,
    model_settings: Mapping[str, Any] | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Path:
    """Train a model, measure it and write everything to a folder.

    Parameters
    ----------
    model : str
        "sine-vae", "lstm-vae", ...: a model of `ecgkern.torch.models`.
    out : path
        Folder for ``model.safetensors``, ``MODEL_CARD.md``, ``metrics.json``, ``curve.png``, ``curve.jsonl``,
        ``config.json``, ``data/`` (the signals of the three parts) and ``checkpoints/``.
    resume : bool, default False
        Go on from the last checkpoint in `out`, with the settings found there.
    config : path, optional
        TOML file of settings, with the arguments of the model in a table ``[model]``.
    model_settings : mapping, optional
        Arguments of the model.
    quiet : bool, default False
        Show no progress bar and no epochs.
    **settings
        The options of the command, with underscores: ``data=...``, ``epochs=...``. They count more than those of the
        file, which count more than those found in `out`.

    Returns
    -------
    Path
        The model card.

    Raises
    ------
    ValueError
        If a setting, the data or a checkpoint does not fit, or training fails; checkpoints stay.
    OSError
        If the data are not found or the folder cannot be written.
    ImportError
        If a library is missing.

    Examples
    --------
    >>> from ecgkern.train import train
    >>> train("sine-vae", "run").name  # doctest: +SKIP
    'MODEL_CARD.md'
    """
    start = time.perf_counter()
    _import_libraries()
    import torch

    from ecgkern.torch import models as module
    from ecgkern.torch import training

    if not os.fspath(out):
        raise FileNotFoundError("the output folder is an empty path; name one with --out")
    folder = Path(out).expanduser()
    classes = models()
    if model not in classes:
        raise TrainError(f"model must be one of {', '.join(sorted(classes))}, got {model!r}")
    found = _saved(folder) if resume else {}
    chosen, table = _resolve(model, found, config, settings, model_settings or {})
    names = {field.name for field in dataclasses.fields(training.Options)}
    options = {name: value for name, value in chosen.items() if name in names}
    try:
        options = dataclasses.asdict(training.Options(**options))
    except (ValueError, TypeError) as error:
        raise TrainError(str(error)) from None
    if not resume and any((folder / "checkpoints").glob("epoch-*.pt")):
        raise TrainError(f"{folder} already holds a training: go on with --resume, or name another folder with --out")
    if "RANK" not in os.environ:  # torchrun has divided the cores already
        torch.set_num_threads(get_num_threads())
    first = os.environ.get("RANK", "0") == "0"

    with Progress(_STEPS, quiet or not first, f"training needs tqdm: {_INSTALL}") as progress:
        with progress.step("reading") as advance:
            _page.make_writable(folder)  # so that a wrong folder ends the run now, not after the work
            same = {name: found.get("data", {}).get(name) for name in _DATA} == {name: chosen[name] for name in _DATA}
            split = _parts(folder, model, chosen, reuse=resume and same, write=first, advance=advance)
        network = _build(classes[model], split.train, table, options["seed"])
        data = {name: chosen[name] for name in _DATA}
        if first and not quiet:
            progress.say(f"{model}: {sum(p.numel() for p in network.parameters())} parameters; {split.train!r}")

        def report(line: dict[str, Any]) -> None:
            if not quiet:
                progress.say(_line(line, options["epochs"]))

        with progress.step("training") as advance:
            result = training.fit(
                network,
                split.train,
                split.validation,
                out=folder,
                resume=resume,
                progress=advance,
                report=report,
                facts={"command": model, "settings": {"data": data, "options": options, "model": table}},
                **options,
            )
        card = folder / "MODEL_CARD.md"
        if not first:
            return card
        with progress.step("measuring"):
            metrics, samples = _measure(network, split)
            facts = {
                "fs": split.train.fs,
                "leads": list(split.train.leads),
                "classes": list(split.train.classes),
                "source": split.train.source,
                "metrics": _page.without_nan(metrics),
            }
            module.save(network, folder / "model.safetensors", **facts)
            _page.write_whole(folder / "curve.png", _picture(model, result, samples, split.train.fs))
            numbers = json.dumps(_page.without_nan(metrics), indent=1) + "\n"
            _page.write_whole(folder / "metrics.json", numbers.encode())
            text = _card(model, network, split, options, data, table, result, metrics)
            _page.write_whole(card, text.encode())
    for name, value in metrics.items():
        print(f"{name:<40}{value:>12.4g}")
    print(f"Model: {(folder / 'model.safetensors').resolve()}, card: {card.resolve()}", end=" ")
    print(f"({time.perf_counter() - start:.0f} s)")
    return card


def _import_libraries() -> None:
    for name in _LIBRARIES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ImportError(f"training needs {error.name or name}: {_INSTALL}") from error


# --- settings ---------------------------------------------------------------------------------------------------------


def _parsed(pairs: list[str]) -> dict[str, Any]:
    """Read KEY=VALUE as TOML has it; a value that is none is text."""
    table: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (equals and key.isidentifier()):
            raise TrainError(f"--set must be KEY=VALUE, such as latent=16, got {pair!r}")
        try:
            table[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            table[key] = value
    return table


def _saved(folder: Path) -> dict[str, dict[str, Any]]:
    """The settings that an earlier run has left in its folder."""
    path = folder / "config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))["settings"]
        return {name: dict(settings[name]) for name in ("data", "options", "model")}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError):
        raise TrainError(f"{path} is damaged or of another program; remove it and give all options again") from None


def _resolve(
    model: str,
    found: Mapping[str, Mapping[str, Any]],
    config: str | os.PathLike[str] | None,
    given: Mapping[str, Any],
    given_table: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings, and the arguments of the model."""
    file: dict[str, Any] = {}
    if config is not None:
        try:
            file = tomllib.loads(Path(config).expanduser().read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise TrainError(f"{config} is no TOML file: {error}") from None
    table = file.pop("model", {})
    if not isinstance(table, dict):
        raise TrainError(f"{config}: model must be a table, [model], of its arguments")
    for where, settings in ((config, file), ("train", given)):
        for name in settings:
            if name not in _HELP:
                raise TrainError(f"{where}: there is no setting {name!r}; there are {', '.join(_HELP)}, and [model]")
    before = {**found.get("data", {}), **found.get("options", {})}
    chosen = {**_DATA, **_DEFAULTS.get(model, {}), **before, **file, **given}
    for name, value in chosen.items():
        if name in _CHOICES and value is not None and value not in _CHOICES[name]:
            raise TrainError(f"{name} must be one of {', '.join(_CHOICES[name])}, got {value!r}")
    for name in ("classes", "leads"):
        if isinstance(chosen[name], str):
            chosen[name] = chosen[name].replace(",", " ").split()
    for name in ("fs", "before", "after"):
        if isinstance(chosen[name], bool) or not isinstance(chosen[name], int | float):
            raise TrainError(f"{name} must be a number, got {chosen[name]!r}")
        chosen[name] = float(chosen[name])
    if chosen["at_most"] is not None and (not isinstance(chosen["at_most"], int) or chosen["at_most"] < 1):
        raise TrainError(f"at_most must be a whole number from 1, got {chosen['at_most']!r}")
    if chosen["data"] is not None:
        chosen["data"] = os.fspath(chosen["data"])
    if chosen["windows"] is None:
        chosen["windows"] = "beats" if chosen["dataset"] == "mit-bih" else "records"
    return chosen, {**found.get("model", {}), **table, **given_table}


# --- data and model ---------------------------------------------------------------------------------------------------


def _parts(folder: Path, model: str, chosen: Mapping[str, Any], *, reuse: bool, write: bool, advance: Advance) -> Any:
    """Training, validation and test, of the folder of the run where they are there already."""
    from ecgkern.torch.data import Signals, SignalsError, Split

    files = [folder / "data" / f"{name}.npz" for name in Split._fields]
    if reuse and all(file.is_file() for file in files):
        return Split(*map(Signals.load, files))
    try:
        signals = _signals(model, chosen, advance)
        split = signals.split(seed=chosen.get("seed", 0))
    except SignalsError:
        raise
    except (ValueError, TypeError) as error:
        raise TrainError(str(error)) from None
    if write:
        files[0].parent.mkdir(exist_ok=True)
        for file, part in zip(files, split, strict=True):
            part.save(file)
    return split


def _signals(model: str, chosen: Mapping[str, Any], advance: Advance) -> Any:
    from ecgkern.torch.data import Signals
    from ecgkern.waveform import PHYSIO, SEED

    if model == "sine-vae":
        return Signals.sines(chosen["at_most"], fs=chosen["fs"], rng=chosen.get("seed", 0))
    kept = {name: chosen[name] for name in ("classes", "leads") if chosen[name] is not None}
    if chosen["data"] is not None and chosen["data"].endswith(".npz"):
        signals = Signals.load(chosen["data"])
        for name, wanted in kept.items():
            if tuple(wanted) != getattr(signals, name):
                there = ", ".join(getattr(signals, name))
                raise TrainError(f"{name}: {chosen['data']} has {there}, not {', '.join(wanted)}")
        if signals.fs != chosen["fs"]:
            raise TrainError(
                f"fs: {chosen['data']} has {signals.fs:g} Hz, not {chosen['fs']:g}; give --fs {signals.fs:g}"
            )
        signals = signals if chosen["at_most"] is None else signals.at_most(chosen["at_most"])
    elif chosen["dataset"] == "mit-bih":
        if chosen["windows"] != "beats":
            raise TrainError("windows must be beats for mit-bih, whose records are half an hour long")
        around = {name: chosen[name] for name in ("fs", "before", "after", "at_most")}
        signals = Signals.from_mitbih(chosen["data"], **around, **kept, progress=advance)
    else:
        if chosen["fs"] not in (100, 500):
            raise TrainError(f"fs must be 100 or 500 Hz for ptb-xl, got {chosen['fs']:g}")
        fs = int(chosen["fs"])
        signals = Signals.from_ptbxl(chosen["data"], fs=fs, at_most=chosen["at_most"], **kept, progress=advance)
    if chosen["waveform"] != "recorded":
        signals = signals.structured({"seed": SEED, "physio": PHYSIO}[chosen["waveform"]])
    if chosen["windows"] == "beats" and chosen["dataset"] != "mit-bih":
        signals = signals.beats(chosen["before"], chosen["after"])
    return signals


def _build(kind: Any, signals: Any, table: Mapping[str, Any], seed: int) -> Any:
    """Make the model for these signals."""
    import torch

    several = len(signals.classes) > 1
    known = {"length": signals.length, "n_leads": len(signals.leads), "n_classes": len(signals.classes) * several}
    known = {name: value for name, value in known.items() if name in inspect.signature(kind).parameters}
    torch.manual_seed(seed)
    try:
        return kind(**{**known, **table})
    except (TypeError, ValueError) as error:
        raise TrainError(f"{kind.__name__}, for signals of {signals.length} samples: {error}") from None


# --- results ----------------------------------------------------------------------------------------------------------


def _line(line: Mapping[str, Any], epochs: int) -> str:
    """An epoch in words: the loss of the first phase, and the score."""
    loss = next(value for name, value in line["train"].items() if name.endswith("loss"))
    return (
        f"epoch {line['epoch']:>4}/{epochs}   training {loss:<10.5g} score {line['score']:<10.5g} "
        f"learning rate {line['learning_rate']:<8.2g} {line['seconds']:.1f} s"
    )


def _measure(network: Any, split: Any) -> tuple[dict[str, float], Any]:
    """Return numbers of the test set and of samples, and the samples (n, length, n_leads)."""
    import numpy as np
    import torch

    from ecgkern.stats import median_bandwidth, mmd2
    from ecgkern.torch.training import reconstruction

    device = next(network.parameters()).device
    rows = np.arange(_SAMPLES) % len(split.test)
    condition = split.test.batch(rows, weighted=False, device=device).get("condition")
    generator = torch.Generator(device).manual_seed(0)
    samples = network.sample(_SAMPLES, condition=condition, generator=generator).float().cpu().numpy()
    metrics: dict[str, float] = {}
    if hasattr(network, "encode"):
        metrics = {f"test_{name}": value for name, value in reconstruction(network, split.test).items()}
    test = split.test.x[rows[: len(split.test)]].reshape(min(_SAMPLES, len(split.test)), -1)
    real = split.train.x[_page.spread(range(len(split.train)), _SAMPLES)]
    bandwidth = [float(median_bandwidth(test)) * scale for scale in (0.5, 1, 2)]
    for name, other in (("samples", samples), ("training", real)):
        value = mmd2(other.reshape(len(other), -1), test, kernel="rational_quadratic", bandwidth=bandwidth)
        metrics[f"mmd2_{name}_against_test"] = float(value)
    if split.train.leads == ("sine",):
        metrics |= _spectrum(samples[..., 0], split.test.x[..., 0])
    return metrics, samples


def _spectrum(samples: Any, sines: Any) -> dict[str, float]:
    """Frequency and amplitude of samples that should be sines of amplitude 1, from their discrete spectrum."""
    import numpy as np

    amplitude, true = (np.abs(np.fft.rfft(x, axis=1)) * 2 / x.shape[1] for x in (samples, sines))
    size = amplitude.max(axis=1)
    return {
        "share_with_exact_frequency": float(np.mean(amplitude.argmax(axis=1) == true.mean(axis=0).argmax())),
        "amplitude_median": float(np.median(size)),
        "amplitude_5_percent": float(np.quantile(size, 0.05)),
        "amplitude_95_percent": float(np.quantile(size, 0.95)),
        "share_with_amplitude_within_0.1": float(np.mean(np.abs(size - 1) <= 0.1)),
    }


def _picture(model: str, result: Any, samples: Any, fs: float) -> bytes:
    """Draw the losses of the epochs, and five samples."""
    import numpy as np
    from matplotlib.figure import Figure

    from ecgkern._style import MARK, RECORDED, SYNTHETIC, WIDTH, draw_all

    def draw() -> Any:
        figure = Figure(figsize=(WIDTH, 6.4), layout="constrained")
        above, below = figure.subplots(2, height_ratios=(3, 4))
        epochs = [line["epoch"] for line in result.curve]
        for part, color, width in (("train", RECORDED, 2.5), ("validation", SYNTHETIC, 1.3)):
            for i, name in enumerate(n for n in result.curve[0][part] if n.endswith("loss") or n == "mmd2"):
                values = [line[part][name] for line in result.curve]
                style = ("-", "--", ":")[i % 3]
                above.plot(epochs, values, style, color=color, linewidth=width, label=f"{part}: {name}")
        shown = [value for line in above.get_lines() for value in line.get_ydata()]
        above.set_yscale("log" if min(shown) > 0 else "linear")
        above.axvline(result.best_epoch, color=MARK, linewidth=0.8)
        above.set_title(f"{model}: losses; the line marks epoch {result.best_epoch}, the one kept")
        above.set_xlabel("epoch")
        above.legend(ncols=2)
        t = np.arange(samples.shape[1]) / fs
        step = 1.1 * float(np.ptp(samples[:5, :, 0], axis=1).max())
        for i, sample in enumerate(samples[:5, :, 0]):
            below.plot(t, sample - i * step, color=SYNTHETIC, linewidth=1)
        below.set_title("Five samples, one below the other")
        below.set_xlabel("s")
        below.set_ylabel("mV")
        return figure

    return draw_all({"curve": draw})["curve"]


def _card(
    model: str,
    network: Any,
    split: Any,
    options: Mapping[str, Any],
    data: Mapping[str, Any],
    table: Mapping[str, Any],
    result: Any,
    metrics: Mapping[str, float],
) -> str:
    """Write the model card: what it is, what it was trained on, how good it is and what it is not for."""
    everything = split.train.facts() | {"left_out": dict(split.train.left_out)}
    left_out = ", ".join(f"{n} {reason}" for reason, n in everything["left_out"].items()) or "none"
    rows = "\n".join(
        f"| {name} | {len(part)} | {len(set(part.patients.tolist()))} | "
        + ", ".join(f"{each} {n}" for each, n in part.facts()["classes"].items())
        + f" | `{part.facts()['sha256'][:16]}` |"
        for name, part in zip(split._fields, split, strict=True)
    )
    numbers = "\n".join(
        f"| {name} | {'not measured' if math.isnan(value) else f'{value:.4g}'} |" for name, value in metrics.items()
    )
    which = "the last one" if options["criterion"] == "last" else "the one with the lowest score"
    real = split.train.leads != ("sine",)
    used = {**(data if real else {}), **options}
    used = {name: value for name, value in used.items() if value is not None and name != "data"}  # a place on a machine
    settings = "\n".join(f"| {name} | {value} |" for name, value in used.items())
    versions = ", ".join(f"{name} {v}" for name, v in _page.versions(("ecgkern", "torch", "numpy")).items())
    return f"""# {model}

**Not for clinical use.** Signals drawn from this model are synthetic: they are of no patient, and nothing may be
diagnosed, monitored or treated by them.

## Model

`{type(network).__name__}` of ecgkern.torch.models, {sum(p.numel() for p in network.parameters())} parameters, \
arguments `{json.dumps(network.config)}`{f" (set: `{json.dumps(dict(table))}`)" if table else ""}. It writes \
{split.train.length} samples at {split.train.fs:g} Hz of {", ".join(split.train.leads)}. Load it by
`ecgkern.torch.models.load("model.safetensors")`.

## Data

{split.train.source}. Licence: {split.train.licence or "none needed; the signals are computed"}.
Left out: {left_out}.

| part | rows | patients | classes | SHA-256 |
|---|---|---|---|---|
{rows}

No patient is in two parts. Recommended parts of the data set are used as far as there are any, the rest is drawn by
seed.

## Training

Epoch {result.best_epoch} of {len(result.curve)}, {which}, is kept; every epoch is in
`curve.jsonl` and `curve.png`. {versions}.

| setting | value |
|---|---|
{settings}

## Metrics

Of the test set and of {_SAMPLES} samples. MMD² is unbiased, with a rational quadratic kernel at half, once and twice
the median distance of the test set; that of training against test signals is what real signals reach.

| metric | value |
|---|---|
{numbers}

`ecgkern evaluate` compares samples with records in more ways.

## Limits

{_LIMITS if real else "It knows sines of one frequency and amplitude, and is meant to show how the training works."}
"""


_LIMITS = """\
- It has seen one source of recordings, at one sampling rate, with the classes and leads above, and no others.
- Rare forms within a class are rarer still, or absent, in what it writes, and there is no rhythm beyond its length.
- Its samples may resemble records it was trained on; that they do not give away a patient has not been shown.
- Intervals and amplitudes of samples should be measured, not assumed, before they are used to test anything."""
