"""Registration of operators: dispatch between launcher and reference, defaults, shapes and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sgi.kernels.gpu import register
from sgi.kernels.gpu.register import Gradient, register_op


@pytest.fixture
def op(monkeypatch):
    """An operator y = factor x + bias whose launcher and reference differ by 1; returns it and its switch."""
    switch = {"kernel": False}
    monkeypatch.setattr(register, "use_kernel", lambda x: switch["kernel"])

    def reference(x: Tensor, factor: float = 2.0, bias: Tensor | None = None) -> Tensor:
        return x * factor if bias is None else x * factor + bias

    def save(ctx, inputs, output):
        ctx.factor = inputs[1]

    def backward(ctx, dy):
        return dy * ctx.factor, None, None

    with torch.library._scoped_library("sgi", "FRAGMENT"):

        @register_op(reference=reference, fake=lambda x, *_: torch.empty_like(x), gradient=Gradient(save, backward))
        def example_of_tests(x: Tensor, factor: float = 2.0, bias: Tensor | None = None) -> Tensor:
            """The operator's documentation."""
            return reference(x, factor, bias) + 1

        yield example_of_tests, switch


def test_launcher_or_reference_runs_with_defaults_filled_in(op):
    operator, switch = op
    x = torch.arange(3.0)
    assert torch.equal(operator(x), 2 * x)
    assert torch.equal(operator(x, bias=torch.ones(3)), 2 * x + 1)
    switch["kernel"] = True
    assert torch.equal(operator(x, 3.0), 3 * x + 1)
    assert torch.equal(torch.ops.sgi.example_of_tests(x), 2 * x + 1)
    assert operator.__doc__ == "The operator's documentation."


def test_operator_has_schema_shapes_and_gradient(op):
    operator, _ = op
    x = torch.arange(3.0, requires_grad=True)
    checks = ("test_schema", "test_faketensor", "test_autograd_registration")
    torch.library.opcheck(operator, (x,), test_utils=checks)
    assert torch.equal(torch.autograd.grad(operator(x, 5.0).sum(), x)[0], torch.full((3,), 5.0))
