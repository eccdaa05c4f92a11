"""One training loop for all generative models: `fit`, with checkpoints that survive any kill.

A model says what there is to minimise: ``phases()`` gives the parameters of each phase (one for an autoencoder, a
discriminator and a generator for a GAN) and ``losses(phase, batch, beta=...)`` the loss of a batch. The order of the
records and all random numbers of an epoch follow from the seed, the number of the epoch and that of the process alone,
so that what a checkpoint holds at the end of an epoch is enough to go on with the same bits.
"""

import contextlib
import dataclasses
import io
import json
import math
import os
import signal
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch import distributed as dist
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel

from ecgkern import _page, _validate
from ecgkern.data import RecordWarning, find_r_peaks
from ecgkern.stats import median_bandwidth
from ecgkern.torch._mmd import mmd2
from ecgkern.torch.data import R_LEAD, Signals
from ecgkern.torch.losses import cyclical_beta

Advance = Callable[[int, int], None]

FORMAT = "ecgkern training 2"
_KEPT = 2  # checkpoints: the newest, and the one before it should the disk spoil that
_FREE_TO_CHANGE = ("epochs", "patience", "threads", "device")  # at resume
_SCORED = 512  # records at most of the MMD that tells how good a generator is
_PLATEAU = {"factor": 0.5, "patience": 5}
_VERSIONS = ("ecgkern", "torch", "numpy", "safetensors")
_TRAINING, _VALIDATION = 0, 1  # streams of random numbers


class TrainingError(ValueError):
    """Training cannot begin or go on; the message says why, and what is left."""


class Stopped(KeyboardInterrupt):
    """Training was asked to stop by a signal.

    Attributes
    ----------
    signum : int
        The signal.
    """

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to train; every field is an option of ``ecgkern train`` and a key of its configuration file.

    Attributes
    ----------
    epochs : int
        After each there is a validation and a checkpoint.
    passes : int
        Over the training set in an epoch; more than one where it is so small that validation would take long beside.
    batch_size : int
        Records of a step, over all processes; what is left at the end of an epoch is not used in that epoch.
    crop : int
        Samples of the random stretch that a step takes of each record, 0 for all of it; for models that take signals of
        any length. Where records are few, they become many.
    learning_rate : float
        Of Adam, in every phase.
    adam_betas : tuple of float
        Decay of Adam's two means.
    weight_decay : float
        Of Adam.
    clip : float
        Largest norm of the gradient of a phase; 0 for any.
    schedule : {"cosine", "plateau", "constant"}
        Learning rate: to 0 as a cosine, halved whenever 5 epochs bring nothing better, or constant.
    patience : int
        Epochs without anything better after which training stops; 0 for never. Not with the criterion "last".
    average : float
        Decay of the running mean of the weights, for each step of the last phase, such as 0.998; 0 for none. The mean
        is then what is validated and kept: what a GAN generates changes from step to step, that of the mean does not.
        After n steps the decay is at most (1 + n) / (10 + n), so that the weights of the beginning are soon forgotten.
    beta : float
        Weight of the KL divergence at most, as the model takes it.
    beta_cycles : int
        How often it rises from 0, see :func:`ecgkern.torch.cyclical_beta`; 0 for a constant weight.
    beta_ratio : float
        Part of a cycle in which it rises.
    mmd : float
        Weight of the squared maximum mean discrepancy between the latent numbers drawn for a batch (the aggregated
        posterior) and as many drawn from N(0, 1); 0 for none. For models that have ``encode`` and that prior.
    critic_steps : int
        Steps of the other phases for each step of the last one.
    weighted : bool
        Whether the batches have weights around the waves.
    criterion : {"auto", "loss", "mmd", "last"}
        What is better: the first phase's loss of the validation set, or the squared maximum mean discrepancy between
        samples and the validation set. "auto" is the latter for models with a discriminator. "last" keeps the last
        epoch whatever its score, which says little where the validation set is small.
    precision : {"float32", "bfloat16"}
        Of the forward pass (autocast).
    seed : int
        Of everything.
    threads : int
        Of PyTorch on the CPU; 0 for those that it has. Small models are faster with one.
    device : str
        "auto" is a GPU where there is one.
    """

    epochs: int = 100
    passes: int = 1
    batch_size: int = 64
    crop: int = 0
    learning_rate: float = 1e-3
    adam_betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float = 1.0
    schedule: str = "cosine"
    patience: int = 0
    average: float = 0.0
    beta: float = 2e-3
    beta_cycles: int = 4
    beta_ratio: float = 0.5
    mmd: float = 0.0
    critic_steps: int = 1
    weighted: bool = True
    criterion: str = "auto"
    precision: str = "float32"
    seed: int = 0
    threads: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        for name in ("epochs", "passes", "batch_size", "critic_steps"):
            put(name, _validate.positive_integer(getattr(self, name), name))
        for name in ("crop", "patience", "beta_cycles", "seed", "threads"):
            put(name, _validate.positive_integer(getattr(self, name) + 1, f"{name} + 1") - 1)
        for name in ("learning_rate", "beta_ratio"):
            put(name, _validate.positive(getattr(self, name), name))
        for name in ("weight_decay", "clip", "average", "beta", "mmd"):
            put(name, _validate.real_number(getattr(self, name), name))
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        put("adam_betas", tuple(_validate.real_number(beta, "adam_betas") for beta in self.adam_betas))
        if len(self.adam_betas) != 2 or not all(0 <= beta < 1 for beta in self.adam_betas):
            raise ValueError(f"adam_betas must be two numbers from 0 to below 1, got {self.adam_betas}")
        if self.average >= 1:
            raise ValueError(f"average must be less than 1, got {self.average}")
        if self.beta_ratio > 1:
            raise ValueError(f"beta_ratio must be at most 1, got {self.beta_ratio}")
        _validate.choice(self.schedule, "schedule", ("cosine", "plateau", "constant"))
        _validate.choice(self.criterion, "criterion", ("auto", "loss", "mmd", "last"))
        _validate.choice(self.precision, "precision", ("float32", "bfloat16"))
        if self.criterion == "last" and self.patience:
            raise ValueError("patience must be 0 with the criterion 'last', which compares no epochs; 'mmd' does")
        if not isinstance(self.weighted, bool):
            raise TypeError(f"weighted must be true or false, got {self.weighted!r}")


class Result(NamedTuple):
    """What became of a training.

    Attributes
    ----------
    curve : list of dict
        For each epoch its number, the losses of training and validation, and the score.
    best_epoch : int
        That of the lowest score, or the last one, of which the model now has the weights.
    """

    curve: list[dict[str, Any]]
    best_epoch: int


def fit(
    model: nn.Module,
    train: Signals,
    validation: Signals,
    *,
    out: str | os.PathLike[str],
    resume: bool = False,
    progress: Advance = lambda *_: None,
    report: Callable[[dict[str, Any]], None] = lambda _: None,
    facts: Mapping[str, Any] | None = None,
    **options: Any,
) -> Result:
    """Train a model, with a checkpoint after every epoch.

    Parameters
    ----------
    model : nn.Module
        With ``config``, ``phases()``, ``losses(phase, batch, beta=...)`` and, for a score by MMD, ``sample(n)``. In the
        end it has the weights of the epoch that `criterion` says, and is in evaluation mode.
    train, validation : Signals
        Data of disjoint patients.
    out : path
        Folder for ``checkpoints/``, ``curve.jsonl`` (a line for each epoch) and ``config.json`` (options, data with
        their hashes, versions of libraries).
    resume : bool, default False
        Go on from the newest checkpoint in `out`, if there is one. Options (save epochs, patience, threads and
        device), model and data must be those of the checkpoint.
    progress : callable, optional
        Called with (steps done, steps in all).
    report : callable, optional
        Called with the line of ``curve.jsonl`` after each epoch.
    facts : mapping, optional
        More to write into ``config.json``.
    **options
        The fields of `Options`.

    Returns
    -------
    Result

    Raises
    ------
    TrainingError
        If `out` already has a checkpoint and `resume` is False; if a checkpoint is damaged or of another training; if a
        loss or a gradient is not finite; if a checkpoint cannot be written. Checkpoints written before stay.
    Stopped
        At the next step after SIGINT or SIGTERM.

    Notes
    -----
    On the CPU of one machine with one number of threads the curve of a training that was killed and resumed is bit for
    bit that of one that was not. Extending the number of epochs changes the schedules from there on.

    Several processes (``torchrun --nproc-per-node N``) share every batch and average their gradients: for a model
    without random numbers and without terms that look at several records, the curve is that of one process to rounding.
    Random numbers differ between processes.

    Examples
    --------
    >>> import tempfile
    >>> from ecgkern.torch.data import Signals
    >>> from ecgkern.torch.models import SineVAE
    >>> from ecgkern.torch.training import fit
    >>> train, validation, _ = Signals.sines(400, rng=0).split()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = fit(SineVAE(), train, validation, out=folder, epochs=2)
    >>> [line["epoch"] for line in result.curve]
    [1, 2]
    """
    chosen = Options(**options)
    with contextlib.ExitStack() as stack:
        workers = stack.enter_context(_workers(chosen.device))
        device = workers.device
        stack.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
        stop = stack.enter_context(_stop_flag())
        if chosen.threads:
            stack.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(chosen.threads)
        loop = _Loop(model.to(device), train, validation, Path(out), chosen, workers, stop)
        return loop.run(resume, progress, report, facts or {})


def reconstruction(model: nn.Module, signals: Signals) -> dict[str, float]:
    """Measure how well an autoencoder keeps signals, above all their R waves.

    Parameters
    ----------
    model : nn.Module
        With ``encode`` and ``decode``; z is the mean.
    signals : Signals
        What it has not been trained on.

    Returns
    -------
    dict of str to float
        "rmse_mv": root mean squared error. "correlation": median over the rows of Pearson's coefficient. With R peaks
        also "r_amplitude_ratio", the median over them of reconstructed to original height above the median of the
        lead, and "r_peaks_found", the share within 20 ms of an R peak of the reconstruction: for rows of 2 s or more
        of one that NeuroKit2 finds, in shorter ones of the extreme value within 100 ms, where the original has one
        there too.
    """
    x = signals.x.astype(np.float64)
    y = _reconstructed(model, signals)
    flat_x, flat_y = (v.reshape(len(v), -1) - v.reshape(len(v), -1).mean(axis=1, keepdims=True) for v in (x, y))
    norms = np.linalg.norm(flat_x, axis=1) * np.linalg.norm(flat_y, axis=1)
    correlation = (flat_x * flat_y).sum(axis=1) / np.where(norms > 0, norms, np.inf)
    found = {"rmse_mv": float(np.sqrt(np.square(x - y).mean())), "correlation": float(np.median(correlation))}
    if not len(signals.r_peaks.values):
        return found
    lead = signals.leads.index(R_LEAD) if R_LEAD in signals.leads else 0
    x, y = (v[:, :, lead] - np.median(v[:, :, lead], axis=1, keepdims=True) for v in (x, y))
    row = np.repeat(np.arange(len(signals)), np.diff(signals.r_peaks.row_offsets))
    place = np.clip(np.rint(signals.r_peaks.values).astype(int), 0, signals.length - 1)
    top = x[row, place]
    tall = np.abs(top) > 0.1  # mV; ratios of less are those of noise
    found["r_amplitude_ratio"] = float(np.median(y[row, place][tall] / top[tall])) if tall.any() else math.nan
    found["r_peaks_found"] = _peaks_kept(x, y, row, place, signals)
    return found


def _reconstructed(model: nn.Module, signals: Signals) -> NDArray[np.float64]:
    device = next(model.parameters()).device
    model.eval()
    parts = []
    with torch.no_grad(), torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)  # of the noise that some decoders get
        for start in range(0, len(signals), 256):
            rows = range(start, min(start + 256, len(signals)))
            mean, _ = model.encode(signals.batch(rows, weighted=False, device=device)["x"])
            parts.append(model.decode(mean).double().cpu().numpy())
    return np.concatenate(parts)


def _peaks_kept(
    x: NDArray[np.float64], y: NDArray[np.float64], row: NDArray[np.int64], place: NDArray[np.int64], signals: Signals
) -> float:
    near = 0.020 * signals.fs
    if signals.length >= 2 * signals.fs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecordWarning)  # a record without peaks counts as such
            rows = find_r_peaks(y, signals.fs, on_error="skip").rows()
        hits = [len(rows[i]) and np.abs(rows[i] - sample).min() <= near for i, sample in zip(row, place, strict=True)]
        return float(np.mean(hits))
    reach = round(0.1 * signals.fs)
    samples = place[:, None] + np.arange(-reach, reach + 1)
    inside = (samples[:, 0] >= 0) & (samples[:, -1] < signals.length)
    sign = np.sign(x[row, place])[inside, None]
    truth, kept = ((sign * v[row[inside, None], samples[inside]]).argmax(axis=1) - reach for v in (x, y))
    seen = np.abs(truth) <= near
    return float((np.abs(kept[seen]) <= near).mean()) if seen.any() else math.nan


class _Loop:
    """A training: what `fit` was given, the optimisers and the curve."""

    def __init__(
        self,
        model: nn.Module,
        train: Signals,
        validation: Signals,
        out: Path,
        options: Options,
        workers: "_Workers",
        stop: list[int],
    ) -> None:
        self.model, self.train, self.validation, self.options = model, train, validation, options
        self.workers, self.stop, self.files = workers, stop, _Files(out)
        for name in ("length", "fs", "leads", "classes"):
            ours, theirs = getattr(train, name), getattr(validation, name)
            if ours != theirs:
                raise TrainingError(f"training and validation differ in {name}: {ours} and {theirs}")
        shared = set(train.patients.tolist()) & set(validation.patients.tolist())
        if shared:
            raise TrainingError(
                f"training and validation share {_page.plural(len(shared), 'patient')}, such as {min(shared)}; "
                "divide by Signals.split"
            )
        if options.crop > train.length:
            raise TrainingError(f"crop must be at most the {train.length} samples of the signals, got {options.crop}")
        self.batch_size = min(options.batch_size, options.passes * len(train))
        if min(self.batch_size, len(validation)) < workers.count:
            raise TrainingError(
                f"batch_size and the number of records must be at least the number of processes, {workers.count}; got "
                f"{options.batch_size}, {len(train)} and {len(validation)}"
            )
        self.steps = options.passes * len(train) // self.batch_size
        if options.critic_steps > options.epochs * self.steps:
            raise TrainingError(
                f"critic_steps must be at most the {options.epochs * self.steps} steps that there are in all, or the "
                f"last phase has none; got {options.critic_steps}"
            )
        self.phases: dict[str, list[nn.Parameter]] = model.phases()
        self.criterion = options.criterion
        self.adversarial = "discriminator" in self.phases  # then the losses say little, and some need gradients
        if self.criterion in ("auto", "last"):
            self.criterion = "mmd" if self.adversarial else "loss"
        if self.adversarial and self.criterion == "loss":
            raise TrainingError(
                "criterion must be 'auto', 'mmd' or 'last' for a model with a discriminator, got 'loss'"
            )
        self.optimisers = {
            name: torch.optim.Adam(
                parameters, options.learning_rate, betas=options.adam_betas, weight_decay=options.weight_decay
            )
            for name, parameters in self.phases.items()
        }
        self.plateaus = (
            {name: ReduceLROnPlateau(optimiser, **_PLATEAU) for name, optimiser in self.optimisers.items()}
            if options.schedule == "plateau"
            else {}
        )
        self.averaged = AveragedModel(model, multi_avg_fn=_running_mean(options.average)) if options.average else None
        self.judged = model if self.averaged is None else self.averaged.module
        self.curve: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}

    # --- the loop -------------------------------------------------------------------------------------------------

    def run(
        self, resume: bool, progress: Advance, report: Callable[[dict[str, Any]], None], facts: Mapping[str, Any]
    ) -> Result:
        identity = self.identity()
        if self.workers.first:
            self.files.prepare()
        newest = self.files.newest()
        if newest is not None and not resume:
            raise TrainingError(
                f"{self.files.out} already holds a training ({newest.name}): go on with --resume (resume=True), or "
                "name another folder with --out"
            )
        if newest is not None:
            self.restore(newest, identity)
        else:
            self.workers.same_everywhere([*self.model.parameters(), *self.model.buffers()])
        if self.workers.first:
            told = {**facts, **identity, "options": dataclasses.asdict(self.options)}
            told |= {"versions": _page.versions(_VERSIONS), "device": str(self.workers.device)}
            self.files.write_json("config.json", told | {"processes": self.workers.count})
        total = self.options.epochs * self.steps
        while len(self.curve) < self.options.epochs and not self.out_of_patience():
            epoch = len(self.curve) + 1
            line = self.epoch(epoch, lambda done: progress(done, total))
            self.curve.append(line)
            if self.best_epoch == epoch:
                self.best = {name: value.detach().cpu().clone() for name, value in self.judged.state_dict().items()}
            for plateau in self.plateaus.values():
                plateau.step(line["score"])
            if self.workers.first:
                self.files.write_checkpoint(epoch, self.state(identity), self.curve)
                report(line)
        self.model.load_state_dict(self.best)
        self.model.requires_grad_(True).eval()
        return Result(self.curve, self.best_epoch)

    @property
    def best_epoch(self) -> int:
        if self.options.criterion == "last":
            return len(self.curve)
        return int(np.argmin([line["score"] for line in self.curve])) + 1

    def out_of_patience(self) -> bool:
        return bool(self.options.patience and self.curve and len(self.curve) - self.best_epoch >= self.options.patience)

    def epoch(self, epoch: int, progress: Callable[[int], None]) -> dict[str, Any]:
        start = time.perf_counter()
        self.model.train()
        self.seed(_TRAINING, epoch)
        rng = np.random.default_rng([self.options.seed, _TRAINING, epoch])  # the same in every process
        order = np.concatenate([rng.permutation(len(self.train)) for _ in range(self.options.passes)])
        starts = rng.integers(0, self.train.length - self.options.crop, len(order), endpoint=True)
        sums: dict[str, float] = {}
        counts: dict[str, int] = {}
        beta = rate = 0.0
        for step in range(self.steps):
            done = (epoch - 1) * self.steps + step
            beta, rate = self.beta(done), self.learning_rate(done)
            these = slice(step * self.batch_size, (step + 1) * self.batch_size)
            batch, share = self.batch(self.train, order[these], starts[these] if self.options.crop else None)
            *others, last = self.phases
            turn = [*others, last] if (done + 1) % self.options.critic_steps == 0 else others or [last]
            for phase in turn:
                for name, value in self.step(phase, batch, share, beta, f"epoch {epoch}, step {step + 1}").items():
                    key = self.key(phase, name)
                    sums[key], counts[key] = sums.get(key, 0.0) + value, counts.get(key, 0) + 1
            if self.averaged is not None and last in turn:
                self.averaged.update_parameters(self.model)
            progress(done + 1)
        validated, score = self.validate(epoch)
        return {
            "epoch": epoch,
            "steps": epoch * self.steps,
            "learning_rate": rate,
            "beta": beta,
            "train": {name: sums[name] / counts[name] for name in sums},
            "validation": validated,
            "score": score,
            "seconds": round(time.perf_counter() - start, 3),
        }

    def step(self, phase: str, batch: dict[str, Tensor], share: float, beta: float, where: str) -> dict[str, float]:
        """Take a step of one phase; `share` is the part of the batch that this process has."""
        for name, parameters in self.phases.items():
            if name != phase:
                for parameter in parameters:
                    parameter.requires_grad_(False)
        for parameter in self.phases[phase]:  # after the others, with which it may share some
            parameter.requires_grad_(True)
        self.model.zero_grad(set_to_none=True)
        terms = self.losses(self.model, phase, batch, beta)
        (terms["loss"] * share).backward()
        values = torch.stack([term.detach().float() for term in terms.values()]) * share
        self.workers.add([values, *(p.grad for p in self.phases[phase] if p.grad is not None)])
        found = dict(zip(terms, values.tolist(), strict=True))
        norm = float(nn.utils.clip_grad_norm_(self.phases[phase], self.options.clip or math.inf))
        for what, value in (*found.items(), ("norm of the gradient", norm)):
            if not math.isfinite(value):
                raise TrainingError(
                    f"{what} of {phase} became {value} at {where} of {self.steps}. {self.files.good()} A smaller "
                    "learning_rate or clip may help, in a new folder"
                )
        if signum := self.workers.largest(self.stop[0]):
            raise Stopped(
                f"stopped by {signal.Signals(signum).name} at {where} of {self.steps}. {self.files.good()} Go on with "
                "--resume (resume=True)",
                signum,
            )
        self.optimisers[phase].step()
        return found

    def losses(self, model: nn.Module, phase: str, batch: dict[str, Tensor], beta: float) -> dict[str, Tensor]:
        bfloat16 = self.options.precision == "bfloat16"
        with torch.autocast(self.workers.device.type, torch.bfloat16, enabled=bfloat16):
            try:
                terms: dict[str, Tensor] = dict(model.losses(phase, batch, beta=beta))
            except ValueError as error:
                shape = tuple(batch["x"].shape)
                raise TrainingError(f"{type(model).__name__}, given signals of shape {shape}: {error}") from error
            if self.options.mmd and phase == next(iter(self.phases)):
                terms["mmd2"] = self.latent_mmd2(model, batch)
                terms["loss"] = terms["loss"] + self.options.mmd * terms["mmd2"]
        return terms

    def latent_mmd2(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        if not hasattr(model, "encode"):
            raise TrainingError(f"mmd must be 0 for {type(model).__name__}, which has no encoder")
        if getattr(model, "prior", None) is not None:
            raise TrainingError("mmd must be 0 for a model that learns its prior: it compares with N(0, 1)")
        mean, log_var = (value.float().flatten(1) for value in model.encode(batch["x"]))
        z = mean + torch.randn_like(mean) * (0.5 * log_var).exp()
        # Two draws from the prior in d dimensions are about sqrt(2 d) apart.
        distance = math.sqrt(2 * mean.shape[1])
        scales = [distance / 2, distance, 2 * distance]
        return mmd2(z, torch.randn_like(z), kernel="rational_quadratic", bandwidth=scales, estimator="biased")

    def validate(self, epoch: int) -> tuple[dict[str, float], float]:
        """Return losses of the validation set, and the score by which epochs are compared: smaller is better."""
        self.workers.same_everywhere(list(self.judged.buffers()))
        self.judged.eval()
        self.seed(_VALIDATION, 0)  # the same noise in every epoch
        found: dict[str, float] = {}
        with torch.no_grad():
            for phase in [] if self.adversarial else self.phases:
                for start in range(0, len(self.validation), self.batch_size):
                    rows = np.arange(start, min(start + self.batch_size, len(self.validation)))
                    batch, share = self.batch(self.validation, rows)
                    if not share:  # fewer records than processes are left
                        continue
                    weight = share * len(rows) / len(self.validation)
                    for name, value in self.losses(self.judged, phase, batch, self.options.beta).items():
                        key = self.key(phase, name)
                        found[key] = found.get(key, 0.0) + weight * float(value)
            sums = torch.tensor([*found.values()], dtype=torch.float64)
            self.workers.add([sums])
            found = dict(zip(found, sums.tolist(), strict=True))
            if self.criterion == "mmd":
                found["mmd2"] = self.sample_mmd2()
        score = found["mmd2" if self.criterion == "mmd" else self.key(next(iter(self.phases)), "loss")]
        if not math.isfinite(score):
            raise TrainingError(f"the validation set gave {found} in epoch {epoch}. {self.files.good()}")
        return found, score

    def sample_mmd2(self) -> float:
        rows = np.array(_page.spread(range(len(self.validation)), _SCORED))
        real = torch.from_numpy(self.validation.x[rows])
        generator = torch.Generator(self.workers.device).manual_seed(self.options.seed)
        condition = self.validation.batch(rows, weighted=False, device=self.workers.device).get("condition")
        drawn = self.judged.sample(len(rows), condition=condition, generator=generator).float().cpu()
        sigma = median_bandwidth(real.flatten(1).numpy())
        scales = [sigma / 2, sigma, 2 * sigma]
        value = mmd2(drawn.flatten(1), real.flatten(1), kernel="rational_quadratic", bandwidth=scales)
        return self.workers.of_first(float(value))

    # --- parts of it ----------------------------------------------------------------------------------------------

    def key(self, phase: str, name: str) -> str:
        """Return what a loss is called in the curve."""
        return name if len(self.phases) == 1 else f"{phase} {name}"

    def batch(
        self, signals: Signals, rows: NDArray[np.int64], starts: NDArray[np.int64] | None = None
    ) -> tuple[dict[str, Tensor], float]:
        """Return this process's rows of a batch, from these samples on if they are cropped, and their share of it."""
        mine = slice(self.workers.rank, None, self.workers.count)
        batch = signals.batch(rows[mine], weighted=self.options.weighted, device=self.workers.device)
        if starts is not None:
            places = torch.from_numpy(starts[mine, None] + np.arange(self.options.crop)).to(self.workers.device)
            batch["x"] = batch["x"].gather(1, places[:, :, None].expand(-1, -1, batch["x"].shape[2]))
            if "weight" in batch:
                batch["weight"] = batch["weight"].gather(1, places)
        return batch, len(rows[mine]) / len(rows)

    def seed(self, stream: int, epoch: int) -> None:
        sequence = np.random.SeedSequence([self.options.seed, stream, epoch, self.workers.rank])
        torch.manual_seed(int(sequence.generate_state(1)[0]))

    def beta(self, done: int) -> float:
        options = self.options
        if not options.beta_cycles:
            return options.beta
        total = options.epochs * self.steps
        return cyclical_beta(
            done + 1, n_steps=total, n_cycles=options.beta_cycles, ratio=options.beta_ratio, beta_max=options.beta
        )

    def learning_rate(self, done: int) -> float:
        """Return that of a step, having set it unless it follows from the score."""
        groups = [group for optimiser in self.optimisers.values() for group in optimiser.param_groups]
        if self.options.schedule == "cosine":
            turn = math.pi * done / (self.options.epochs * self.steps)
            for group in groups:
                group["lr"] = 0.5 * self.options.learning_rate * (1 + math.cos(turn))
        return float(groups[0]["lr"])

    # --- checkpoints ----------------------------------------------------------------------------------------------

    def identity(self) -> dict[str, Any]:
        """Return what must be the same for a training to go on."""
        options = dataclasses.asdict(self.options)
        data = {"train": self.train.facts(), "validation": self.validation.facts()}
        number = sum(parameter.numel() for parameter in self.model.parameters())
        model = {"class": type(self.model).__name__, "config": self.model.config, "parameters": number}
        kept = {name: value for name, value in options.items() if name not in _FREE_TO_CHANGE}
        identity: dict[str, Any] = json.loads(json.dumps({"model": model, "data": data, "training": kept}))
        return identity

    def state(self, identity: dict[str, Any]) -> dict[str, Any]:
        """Return all of the training as tensors, numbers and text, which torch.load(weights_only=True) takes."""
        return {
            "format": FORMAT,
            "identity": json.dumps(identity),
            "curve": json.dumps(self.curve),
            "model": self.model.state_dict(),
            "average": {} if self.averaged is None else self.averaged.state_dict(),
            "best": self.best,
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "plateaus": {name: plateau.state_dict() for name, plateau in self.plateaus.items()},
        }

    def restore(self, path: Path, identity: dict[str, Any]) -> None:
        state = self.files.read_checkpoint(path)
        difference = _difference(json.loads(state["identity"]), identity)
        if difference:
            raise TrainingError(
                f"{path} is of another training: {difference}. Resume with what it was begun with, or begin anew in "
                "another folder"
            )
        self.curve = json.loads(state["curve"])
        self.best = state["best"]
        self.model.load_state_dict(state["model"])
        if self.averaged is not None:
            self.averaged.load_state_dict(state["average"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        for name, plateau in self.plateaus.items():
            plateau.load_state_dict(state["plateaus"][name])
        if self.workers.first:
            self.files.write_curve(self.curve)


class _Files:
    """What is in the folder of a training."""

    def __init__(self, out: Path) -> None:
        self.out, self.folder = out, out / "checkpoints"

    def prepare(self) -> None:
        _page.make_writable(self.folder)
        for left_by_a_kill in self.folder.glob(".*.part"):
            left_by_a_kill.unlink(missing_ok=True)

    def checkpoints(self) -> list[Path]:
        return sorted(self.folder.glob("epoch-*.pt"))

    def newest(self) -> Path | None:
        return next(reversed(self.checkpoints()), None)

    def good(self) -> str:
        newest = self.newest()
        return "There is no checkpoint yet." if newest is None else f"The last good checkpoint is {newest}."

    def write_checkpoint(self, epoch: int, state: dict[str, Any], curve: list[dict[str, Any]]) -> None:
        buffer = io.BytesIO()  # torch.save itself turns a full disk into an error that does not say so
        torch.save(state, buffer)
        path = self.folder / f"epoch-{epoch:05d}.pt"
        try:
            with _page.replacing(path) as part, part.open("wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            _sync_folder(self.folder)
            for old in self.checkpoints()[:-_KEPT]:
                old.unlink(missing_ok=True)
            self.write_curve(curve)
        except OSError as error:
            raise TrainingError(
                f"epoch {epoch} could not be written to {self.out}: {error.strerror or error}. {self.good()} Make "
                "room, then go on with --resume (resume=True)"
            ) from error

    def write_curve(self, curve: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(line) + "\n" for line in curve)
        _page.write_whole(self.out / "curve.jsonl", lines.encode())

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        _page.write_whole(self.out / name, (json.dumps(value, indent=1) + "\n").encode())

    def read_checkpoint(self, path: Path) -> dict[str, Any]:
        content = io.BytesIO(path.read_bytes())
        try:
            with zipfile.ZipFile(content) as archive:
                if spoiled := archive.testzip():  # torch.load does not look
                    raise ValueError(f"{spoiled} in it does not match its checksum")
            content.seek(0)
            state = torch.load(content, map_location="cpu", weights_only=True)
        except Exception as error:  # damage and pickles meet torch.load in many ways
            earlier = [other for other in self.checkpoints() if other != path]
            instead = f" to go on from {earlier[-1].name}" if earlier else " to begin anew"
            raise TrainingError(
                f"{path} is damaged or no checkpoint ({str(error).partition(chr(10))[0]:.200}); remove it{instead}"
            ) from error
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise TrainingError(f"{path} is no checkpoint of this version of ecgkern (format {FORMAT!r})")
        return state


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power failure as well."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _difference(saved: Any, given: Any, where: str = "") -> str:
    """Say where two trees of plain values differ first, or nothing."""
    if isinstance(saved, dict) and isinstance(given, dict):
        for key in [*saved, *(key for key in given if key not in saved)]:
            if found := _difference(saved.get(key), given.get(key), f"{where} {key}".strip()):
                return found
        return ""
    return "" if saved == given else f"{where} was {saved!r}, now {given!r}"


def _running_mean(decay: float) -> Callable[[Any, Any, Any], None]:
    """Return what AveragedModel updates the means by."""

    def update(means: Any, values: Any, n: Any) -> None:
        kept = min(decay, (1 + int(n)) / (10 + int(n)))
        with torch.no_grad():
            for mean, value in zip(means, values, strict=True):
                mean.lerp_(value, 1 - kept)

    return update


# --- signals and processes --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _stop_flag() -> Iterator[list[int]]:
    """Give a list of one number, which becomes that of the signal that asks to stop."""
    flag = [0]
    before: dict[int, Any] = {}

    def ask(signum: int, _: Any) -> None:
        flag[0] = signum
        signal.signal(signum, before[signum])  # the second one ends the process as ever

    if threading.current_thread() is threading.main_thread():  # others may not install handlers
        for signum in (signal.SIGINT, signal.SIGTERM):
            before[signum] = signal.signal(signum, ask)
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Workers:
    """The processes that train together: one, or those that torchrun started."""

    def __init__(self, rank: int, count: int, device: torch.device) -> None:
        self.rank, self.count, self.device = rank, count, device
        self.first = rank == 0

    def add(self, tensors: list[Tensor]) -> None:
        """Replace tensors by their sums over the processes."""
        if self.count > 1:
            for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
                alike = [tensor for tensor in tensors if tensor.dtype == dtype]
                flat = torch.cat([tensor.flatten() for tensor in alike]).to(self.device)
                dist.all_reduce(flat)
                for tensor, part in zip(alike, flat.split([tensor.numel() for tensor in alike]), strict=True):
                    tensor.copy_(part.view_as(tensor))

    def largest(self, value: int) -> int:
        """Return the largest of a number that each process has."""
        if self.count == 1:
            return value
        tensor = torch.tensor(value, device=self.device)
        dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return int(tensor)

    def same_everywhere(self, tensors: list[Tensor]) -> None:
        """Replace tensors by those of the first process."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), 0)

    def of_first(self, value: float) -> float:
        """Return the first process's number."""
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        self.same_everywhere([tensor])
        return float(tensor)


@contextlib.contextmanager
def _workers(name: str) -> Iterator[_Workers]:
    """Join the processes that torchrun has started; it tells them of each other by environment variables."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    device = _device(name, int(os.environ.get("LOCAL_RANK", "0")))
    begun = count > 1 and not dist.is_initialized()
    if begun:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield _Workers(dist.get_rank() if count > 1 else 0, count, device)
    finally:
        if begun:
            dist.destroy_process_group()


def _device(name: str, local_rank: int) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device("cuda", local_rank) if name == "cuda" else torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise TrainingError(f"device must be one that PyTorch has here, got {name!r} ({reason})") from None
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device
