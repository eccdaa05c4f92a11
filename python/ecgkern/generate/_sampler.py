"""Records of a model by their numbers, each made from random numbers of its own."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from ecgkern import _page
from ecgkern.edge._codes import Codes, Kind, class_number, draw

Signals = NDArray[np.float32]

_PROBE = 2  # records drawn to see what a model draws
# What else PyTorch draws with; numbers that are not replaced would depend on the batch.
_OTHER_DRAWS = {
    *(
        "randn_like",
        "rand_like",
        "randint",
        "randint_like",
        "randperm",
        "normal",
        "bernoulli",
        "multinomial",
        "poisson",
    ),
    *("normal_", "uniform_", "bernoulli_", "exponential_", "random_", "log_normal_", "cauchy_", "geometric_"),
}


class GenerateError(ValueError):
    """What was asked for cannot be generated."""


class Sampler:
    """Records of a model by their numbers.

    Parameters
    ----------
    model : torch.nn.Module
        One of `ecgkern.torch.models`, or any module with ``sample(n, condition=, generator=)`` that draws its random
        numbers by ``torch.randn`` and ``torch.rand``, n of each.
    facts : mapping
        What was saved with it: "fs", "leads" and, if there are any, "classes".
    seed : int, default 0
        Of the random numbers.
    condition : str, optional
        The class to draw from.

    Attributes
    ----------
    fs : float
    leads : tuple of str
    length : int
        Samples of a record.
    kinds : tuple
        Kind and shape of the random numbers of one record, in the order in which the model draws them.

    Notes
    -----
    What the model draws is replaced by numbers that are drawn record by record. So a record does not depend on those
    beside it, and an exported model makes the same ones.
    """

    def __init__(self, model: Any, facts: Mapping[str, Any], *, seed: int = 0, condition: str | None = None) -> None:
        import torch

        for name in ("fs", "leads"):
            if name not in facts:
                raise GenerateError(f"the model does not say its {name}; save it with {name}=...")
        self.model = model.eval()
        self.facts = dict(facts)
        self.fs = float(facts["fs"])
        self.leads = tuple(facts["leads"])
        classes = tuple(facts.get("classes") or ())
        self.classes = classes if len(classes) > 1 else ()  # a model of one class takes no condition
        self.condition = condition
        self.seed = seed
        self._class = class_number(condition, self.classes)
        self._torch = torch
        self._device = next(model.parameters()).device
        seen: list[Kind] = []

        def note(kind: str, shape: tuple[int, ...]) -> None:
            seen.append((kind, shape[1:]))

        with replacing_draws(note):
            first = self.model.sample(_PROBE, condition=self.conditions(_PROBE))
        self.kinds = tuple(seen)
        self.length = int(first.shape[1])
        if first.shape[2] != len(self.leads):
            raise GenerateError(
                f"the model has {_page.plural(first.shape[2], 'lead')}, but its file names {', '.join(self.leads)}"
            )

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, seed: int = 0, condition: str | None = None, device: str | None = None
    ) -> "Sampler":
        """Read a model from a .safetensors file.

        Parameters
        ----------
        path : path
            The file.
        seed, condition
            As of the class.
        device : str, optional
            Where to put the model, by default on the first GPU if there is one.
        """
        model = load_model(path, device)
        return cls(model, model.facts, seed=seed, condition=condition)

    @property
    def rhythm_lead(self) -> int:
        """Place of the lead in which R peaks are looked for: II, or the first."""
        return self.leads.index("II") if "II" in self.leads else 0

    def __call__(self, records: Sequence[int]) -> Signals:
        """Return records by their numbers, (n, length, leads) in mV."""
        return self.decode(self.codes(records))

    def codes(self, records: Sequence[int]) -> Codes:
        """Return the random numbers of records, an array for each of `kinds`."""
        return draw(self.seed, records, self.kinds)

    def decode(self, codes: Codes) -> Signals:
        """Return the records that random numbers stand for."""
        given = iter([self._torch.from_numpy(code).to(self._device) for code in codes])
        n = len(codes[0])
        with replacing_draws(lambda *_: next(given)):
            drawn: Signals = self.model.sample(n, condition=self.conditions(n)).float().cpu().numpy()
        return drawn

    def latent(self, records: Sequence[int]) -> tuple[Any, dict[str, Any]]:
        """Return what the model gives its decoder for records: the latent code and named arguments, as tensors."""
        given: list[tuple[Any, dict[str, Any]]] = []

        def note(z: Any, **named: Any) -> Any:
            given.append((z, named))
            return z

        if not hasattr(self.model, "decode"):
            raise GenerateError(f"{type(self.model).__name__} has no decoder")
        with mock.patch.object(self.model, "decode", note):
            self.decode(self.codes(records))
        return given[0]

    def conditions(self, n: int) -> Any:
        """Return the class of n records as a tensor, or None for a model without classes."""
        if self._class is None:
            return None
        return self._torch.full((n,), self._class, dtype=self._torch.int64, device=self._device)


@contextmanager
def replacing_draws(number: Callable[[str, tuple[int, ...]], Any]) -> Iterator[None]:
    """Give a model's ``sample`` other random numbers than it draws.

    Parameters
    ----------
    number : callable
        Called with the kind, "normal" or "uniform", and the shape of what is to be drawn; returns a tensor, or None to
        draw as usual.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    kinds = {torch.randn: "normal", torch.rand: "uniform"}

    class Replacing(TorchFunctionMode):  # type: ignore[misc]
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function in kinds:
                shape = args[0] if len(args) == 1 and not isinstance(args[0], int) else args
                replaced = number(kinds[function], tuple(shape))
                if replaced is not None:
                    return replaced.to(kwargs.get("dtype") or replaced.dtype)
            elif getattr(function, "__name__", "") in _OTHER_DRAWS:
                raise GenerateError(
                    f"the model draws by {function.__name__}; let its sample use torch.randn and torch.rand alone"
                )
            return function(*args, **(kwargs or {}))

    with Replacing():
        yield


def load_model(path: str | os.PathLike[str], device: str | None = None) -> Any:
    """Read a model from a .safetensors file, onto a device."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"there is no model {_page.readable(file)}")
    try:
        import torch
    except ImportError as error:
        raise ImportError('models need PyTorch: pip install "ecgkern[torch]"') from error
    from ecgkern.torch import models

    model = models.load(file)
    try:
        return model.to(torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")))
    except (RuntimeError, AssertionError) as error:  # torch's ways to say that there is no such device
        reason = str(error).partition("\n")[0]
        raise GenerateError(f"--device {device} cannot be used: {reason}") from None


def interpolate(sampler: Sampler, a: int, b: int, steps: int = 7) -> Signals:
    """Decode what lies between two records.

    Parameters
    ----------
    sampler : Sampler
        Of a model that has ``decode``.
    a, b : int
        Numbers of the records.
    steps : int, default 7
        How many records, both included.

    Returns
    -------
    ndarray of float32, shape (steps, length, leads)
        In mV. The noise is that of record `a` in all of them.

    Notes
    -----
    The way is an arc, sin((1-t) w) / sin(w) a + sin(t w) / sin(w) b with w the angle between the codes: normal codes of
    many dimensions lie near a sphere, inside which a decoder has never been (Shoemake 1985; White 2016).
    """
    import torch

    if min(a, b) < 0 or a == b:
        raise GenerateError(f"--interpolate must have the numbers of two different records, got {a} and {b}")
    z, named = sampler.latent([a, b])
    one, other = z.double().flatten(1)
    angle = torch.arccos((one @ other / (one.norm() * other.norm())).clamp(-1, 1)).clamp(
        1e-3, torch.pi - 1e-3
    )  # not through zero
    t = torch.linspace(0, 1, steps, dtype=torch.float64, device=z.device)[:, None]
    between = (((1 - t) * angle).sin() * one + (t * angle).sin() * other) / angle.sin()
    codes = between.to(z.dtype).unflatten(1, z.shape[1:])
    constant = {
        name: value if value is None else value[:1].expand(steps, *value.shape[1:]) for name, value in named.items()
    }
    with torch.no_grad():
        decoded: Signals = sampler.model.decode(codes, **constant).float().cpu().numpy()
    return decoded
