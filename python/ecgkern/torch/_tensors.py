"""What the operators share: checks of tensors, precision, derivatives of gradients, and vmap one by one.

Each operator has a composite beside it, the same function in plain PyTorch. It is what runs on devices without a native
kernel, what the gradient of a native gradient is taken of, and what the tests compare with.
"""

# mypy: no-warn-return-any, allow-untyped-decorators

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from ecgkern import _dispatch


def floating(value: Any, name: str) -> Tensor:
    """Return a tensor of floating-point numbers."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if not value.is_floating_point():
        raise TypeError(f"{name} must hold floating-point numbers, got {value.dtype}")
    return value


def same_device(tensors: dict[str, Tensor]) -> None:
    """Refuse tensors on several devices."""
    (first, one), *others = tensors.items()
    for name, tensor in others:
        if tensor.device != one.device:
            raise ValueError(f"{name} must be on the device of {first}, {one.device}, got {tensor.device}")


def working(dtype: torch.dtype) -> torch.dtype:
    """The type to compute in: float32 for the half types."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def double(device: torch.device) -> torch.dtype:
    """float64, or the best there is: MPS has none."""
    return torch.float32 if device.type == "mps" else torch.float64


def native(device: torch.device) -> bool:
    """Whether the operators serve this call; otherwise the composites do.

    PyTorch does not let operators with registered gradients take part in torch.func.grad and its kin, and they would
    lose the tangents of forward-mode differentiation.
    """
    forward_mode = torch.autograd.forward_ad._current_level >= 0
    ready = device.type in ("cpu", "meta") or (device.type == "cuda" and _cuda_is_ready())
    return ready and not forward_mode and func_transforms() <= {"Vmap"}


@torch.compiler.assume_constant_result
def _cuda_is_ready() -> bool:
    return _dispatch.is_available("cuda")


def func_transforms() -> set[str]:
    """Names of the transforms of torch.func that are at work: "Vmap", "Grad", ..."""
    if not torch._C._are_functorch_transforms_active():
        return set()
    if torch.compiler.is_compiling():  # which cannot look further
        return {"Vmap", "Grad"}
    return {transform.key().name for transform in torch._C._functorch.get_interpreter_stack()}


def autocasts(device: torch.device) -> bool:
    """Whether autocast is on."""
    return torch.amp.is_autocast_available(device.type) and torch.is_autocast_enabled(device.type)


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Let composites compute in the type of their tensors, without autocast or TF32, as the native kernels do."""
    flags = torch.backends.cudnn.flags
    plain = device.type != "cuda" or torch.compiler.is_compiling()  # flags cannot be traced
    with (
        torch.autocast(device.type, enabled=False) if autocasts(device) else nullcontext(),
        nullcontext() if plain else flags(enabled=torch.backends.cudnn.enabled, allow_tf32=False),
    ):
        yield


def differentiate_gradient(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], grad_out: Tensor, grads: Sequence[Tensor | None]
) -> tuple[Tensor, ...]:
    """Pull back `grads` through the gradients of sum(grad_out * function(*inputs)); one for each input or None.

    Returns the gradients with respect to grad_out and to each of the inputs, themselves differentiable.
    """
    wanted = [i for i, grad in enumerate(grads) if grad is not None]

    def gradients(grad_out: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
        def of_wanted(*chosen: Tensor) -> Tensor:
            values = dict(enumerate(inputs)) | dict(zip(wanted, chosen, strict=True))
            return function(*values.values())

        _, pull_back = torch.func.vjp(of_wanted, *(inputs[i] for i in wanted))
        return pull_back(grad_out)

    _, pull_back = torch.func.vjp(gradients, grad_out, *inputs)
    return pull_back(tuple(grads[i] for i in wanted))


def one_by_one(operator: Callable[..., Any]) -> Callable[..., Any]:
    """Return the vmap rule that calls the operator for each member of the batch."""

    def rule(info: Any, in_dims: Sequence[Any], *args: Any) -> tuple[Any, Any]:
        def member(arg: Any, dim: Any, i: int) -> Any:
            if isinstance(arg, list | tuple) and dim is not None:
                return [member(each, d, i) for each, d in zip(arg, dim, strict=True)]
            return arg if dim is None else arg.select(dim, i)

        results = [
            operator(*(member(arg, dim, i) for arg, dim in zip(args, in_dims, strict=True)))
            for i in range(info.batch_size)
        ]
        if isinstance(results[0], Tensor):
            return torch.stack(results), 0
        stacked = [torch.stack(parts) for parts in zip(*results, strict=True)]
        kind = type(results[0])
        return kind(stacked), kind([0] * len(stacked))

    return rule
