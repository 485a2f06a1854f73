"""Registration of a kernel as a torch operator: its launcher, reference, result shapes and gradient.

The operator is `torch.ops.sgi.NAME`, so `torch.export` and `torch.compile` treat it as one node.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.library import CustomOpDef

from sgi.kernels.gpu.dispatch import use_kernel

Operation = Callable[..., Any]


@dataclass(frozen=True)
class Gradient:
    """The gradient of an operator, as `CustomOpDef.register_autograd` takes it.

    save(ctx, inputs, output) keeps in `ctx` what backward needs; inputs: all operands, defaults filled in.
    backward(ctx, *gradients of the outputs) returns one gradient or None for each operand.
    """

    save: Callable[[Any, tuple[Any, ...], Any], None]
    backward: Operation


def register_op(
    *, reference: Operation, fake: Operation, gradient: Gradient | None = None
) -> Callable[[Operation], CustomOpDef]:
    """Decorate a launcher: register it as the operator `sgi::NAME_OF_THE_FUNCTION`.

    The launcher's signature is the operator's schema, and its docstring the operator's documentation. One operand must
    be named `x`; its device and dtype determine whether the kernel or the reference runs (`use_kernel`).
    reference: the same function in plain torch, with the same parameters. fake: returns empty tensors of the shapes
    and types of the results; it is called with the operands by position. gradient: None for inference only.
    """

    def decorate(launcher: Operation) -> CustomOpDef:
        parameters = inspect.signature(launcher).parameters
        position = list(parameters).index("x")
        defaults = [parameter.default for parameter in parameters.values()]

        def dispatch(*operands: Any) -> Any:
            # The dispatcher leaves out trailing operands that equal their defaults.
            operands += tuple(defaults[len(operands) :])
            return (launcher if use_kernel(operands[position]) else reference)(*operands)

        schema = torch.library.infer_schema(launcher, mutates_args=())
        op = torch.library.custom_op(f"sgi::{launcher.__name__}", dispatch, mutates_args=(), schema=schema)
        op.register_fake(fake)
        if gradient is not None:
            op.register_autograd(gradient.backward, setup_context=gradient.save)
        op.__doc__ = launcher.__doc__
        return op

    return decorate
