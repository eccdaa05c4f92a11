"""Models of ECGs on the kernels: variational autoencoders, adversarial networks, both together, and their files.

Signals are float32 in mV, shape (n, length, leads). Every model has ``config``, with which ``type(model)(**config)``
makes another of its kind, ``sample(n)``, and for training ``phases()`` and ``losses(phase, batch, beta=...)``. Files
are safetensors, which hold numbers and text and cannot run code.
"""

import json
from os import PathLike
from pathlib import Path
from typing import Any

from torch import nn

from ecgkern._page import replacing
from ecgkern.torch.models._gan import GAN, VAEGAN
from ecgkern.torch.models._lstm_vae import LSTMVAE
from ecgkern.torch.models._sine import Output, SineVAE

__all__ = ["GAN", "LSTMVAE", "VAEGAN", "Output", "SineVAE", "load", "save"]

_CLASSES = {model.__name__: model for model in (GAN, LSTMVAE, SineVAE, VAEGAN)}
_KEY = "ecgkern"  # of the metadata that a file of ours has
_PICKLES = (b"PK\x03\x04", b"\x80")  # torch.save, and its form before PyTorch 1.6


def save(model: nn.Module, path: str | PathLike[str], **facts: Any) -> None:
    """Write a model to a safetensors file, whole or not at all.

    Parameters
    ----------
    model : GAN, LSTMVAE, SineVAE or VAEGAN
        The model.
    path : path
        The file, usually .safetensors.
    **facts
        What is worth knowing beside the weights, such as ``fs=100``, ``leads=["II"]``, ``classes=["N", "V"]``: anything
        that JSON can hold. `load` gives it back in ``model.facts``.

    Raises
    ------
    TypeError
        If the model is none of this module, or a fact cannot be written as JSON.
    OSError
        If the file cannot be written; one that was there stays as it is.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from ecgkern.torch.models import LSTMVAE, load, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "model.safetensors"
    ...     save(LSTMVAE(length=100), path, fs=100, leads=["II"])
    ...     load(path).facts["leads"]
    ['II']
    """
    safetensors = _safetensors()
    name = type(model).__name__
    if _CLASSES.get(name) is not type(model):
        raise TypeError(f"model must be one of {', '.join(_CLASSES)}, got {type(model).__name__}")
    try:
        description = json.dumps({"class": name, "config": model.config, "facts": facts}, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TypeError(f"facts must be of what JSON can hold: {error}") from None
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in model.state_dict().items()}
    content = safetensors.torch.save(tensors, metadata={_KEY: description})
    with replacing(Path(path)) as part:
        part.write_bytes(content)


def load(path: str | PathLike[str]) -> Any:
    """Read a model that `save` has written.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    GAN, LSTMVAE, SineVAE or VAEGAN
        On the CPU, in evaluation mode, with the attribute ``facts``, a dict of what `save` was given.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is damaged, a pickle, or holds anything else than one of these models.
    """
    safetensors = _safetensors()
    path = Path(path)
    content = path.read_bytes()
    if content.startswith(_PICKLES) and content[8:9] != b"{":  # safetensors: the size of a header, then JSON
        raise ValueError(
            f"{path} is a pickle, as torch.save writes it, which is not loaded as it could run code. Write models with "
            "ecgkern.torch.models.save; LSTMVAE.from_seed reads a state_dict of the seed's model without running code"
        )
    try:
        tensors = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is damaged or no safetensors file: {error}") from None
    size = int.from_bytes(content[:8], "little")  # the header is JSON, preceded by its size
    description = json.loads(content[8 : 8 + size]).get("__metadata__", {}).get(_KEY)
    if description is None:
        raise ValueError(f"{path} is a safetensors file, but not of a model that ecgkern.torch.models.save has written")
    try:
        known = json.loads(description)
        name, config, facts = known["class"], known["config"], known["facts"]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is damaged: its description of the model cannot be read") from error
    if name not in _CLASSES:
        raise ValueError(f"{path} holds a {name}; this ecgkern knows {', '.join(_CLASSES)}")
    try:
        model = _CLASSES[name](**config)
        dtypes = {tensor.dtype for tensor in tensors.values()}
        model.to(*dtypes).load_state_dict(tensors)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} does not fit this ecgkern's {name}: {error}") from error
    model.facts = facts
    return model.eval()


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError:
        raise ImportError('model files need safetensors: pip install "ecgkern[train]"') from None
    return safetensors
