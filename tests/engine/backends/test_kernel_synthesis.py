"""A generator on the kernels against the torch modules: pictures, and gradients to w+ and to offsets of every space."""

from __future__ import annotations

import gc
import weakref

import interpreter  # noqa: F401
import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

import torch
from kernel_cases import RMS, rms_ratio
from torch import Tensor

from sgi.engine.backends.triton import kernel_synthesis
from sgi.engine.backends.triton.kernel_synthesis import with_kernels
from sgi.engine.generator import Generator, GeneratorConfig, generator_sha256, random_generator
from sgi.engine.generator.offset_styles import shifted_styles
from sgi.trainer.offsets.spaces import SPACES

SMALL = {"z_dim": 8, "w_dim": 12, "mapping_layers": 2, "channel_base": 256, "channel_max": 16}
RGB = GeneratorConfig(16, **SMALL, c_dim=3, conv_clamp=1.0)
GREY = GeneratorConfig(16, **SMALL, img_channels=1)
# Generator, noise mode, pictures, and whether the interpreter runs the kernels, which takes it seconds a picture.
CASES = [
    (RGB, "const", 2, False),
    (RGB, "none", 2, False),
    (GREY, "const", 2, False),
    (GREY, "none", 2, False),
    (RGB, "const", 2, True),
    (GREY, "none", 1, True),
]


def latents(generator: Generator, count: int = 2) -> Tensor:
    """Truncated w+, of classes where the generator has some."""
    config = generator.config
    z = torch.randn(count, config.z_dim, generator=torch.Generator().manual_seed(0))
    label = torch.eye(config.c_dim)[:count] if config.c_dim else None
    return generator.map(z, label, psi=0.7, cutoff=4)


def offset_of(generator: Generator, *spaces: str) -> dict[str, Tensor]:
    """Random tensors of an offset in all of the given spaces at once."""
    draw = torch.Generator().manual_seed(1)
    tensors: dict[str, Tensor] = {}
    for space in spaces:
        zeros = SPACES[space].zeros(generator.config)
        tensors |= {key: torch.randn(zero.shape, generator=draw) / 2 for key, zero in zeros.items()}
    return tensors


def with_gradients(generator: Generator, ws: Tensor, tensors: dict[str, Tensor], noise_mode: str) -> list[Tensor]:
    """The picture G(w + d), and the gradients of a random projection of it to w+ and to every tensor."""
    leaves = [tensor.clone().requires_grad_() for tensor in (ws, *tensors.values())]
    styles = shifted_styles(generator.synthesis, leaves[0], dict(zip(tensors, leaves[1:], strict=True)))
    picture = generator.synthesis.render(styles, noise_mode)
    probe = torch.randn(picture.shape, generator=torch.Generator().manual_seed(2))
    return [picture.detach(), *torch.autograd.grad(picture, leaves, probe)]


@pytest.mark.parametrize(("config", "noise_mode", "count", "kernels"), CASES)
def test_pictures_and_gradients_match_the_torch_modules(config, noise_mode, count, kernels, monkeypatch):
    if not kernels:
        monkeypatch.setenv("TRITON_INTERPRET", "0")
    generator = random_generator(config, seed=1)
    ws, tensors = latents(generator, count), offset_of(generator, "w+", "style", "lora")
    expected = with_gradients(generator, ws, tensors, noise_mode)
    ours = with_kernels(generator)
    found = with_gradients(ours, ws, tensors, noise_mode)
    with torch.no_grad():  # by the kernels for inference
        styles = shifted_styles(ours.synthesis, ws, tensors)
        found.append(ours.synthesis.render(styles, noise_mode))
    for one, other in zip(found, [*expected, expected[0]], strict=True):
        # Float32 on both sides, so twice one side's error.
        assert rms_ratio(one, other) < 2 * RMS[torch.float32]


@pytest.mark.parametrize("space", SPACES)
def test_gradients_in_every_space_match_the_torch_modules(space, monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    generator = random_generator(RGB, seed=1)
    ws, tensors = latents(generator), offset_of(generator, space)
    found = with_gradients(with_kernels(generator), ws, tensors, "const")
    for one, other in zip(found, with_gradients(generator, ws, tensors, "const"), strict=True):
        assert rms_ratio(one, other) < 2 * RMS[torch.float32]


def test_bf16_gradients_are_as_close_to_float32_as_those_of_torch(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    generator = random_generator(GREY, seed=1)
    ws = latents(generator)

    def gradient(network: Generator, dtype: torch.dtype) -> Tensor:
        leaf = ws.clone().requires_grad_()
        return torch.autograd.grad(network.synthesize(leaf, "none", dtype).square().sum(), leaf)[0]

    exact = gradient(generator, torch.float32)
    ours, theirs = (rms_ratio(gradient(g, torch.bfloat16), exact) for g in (with_kernels(generator), generator))
    assert ours < max(theirs, RMS[torch.bfloat16])


def test_tensors_and_hash_are_those_of_the_generator():
    generator = random_generator(RGB, seed=1)
    ours = with_kernels(generator)
    assert generator_sha256(ours) == generator_sha256(generator)
    first, second = (network.synthesis.get_parameter("b4.const") for network in (ours, generator))
    assert first.data_ptr() == second.data_ptr()
    assert not any(parameter.requires_grad for parameter in ours.parameters())


def test_random_noise_and_float64_use_the_torch_modules(monkeypatch):
    monkeypatch.setattr(kernel_synthesis, "FittingSynthesis", None)
    monkeypatch.setattr(kernel_synthesis, "FusedSynthesis", None)
    generator = random_generator(GREY, seed=1)
    ours = with_kernels(generator)
    ws = latents(generator)
    torch.manual_seed(0)
    picture = ours.synthesize(ws, "random")
    torch.manual_seed(0)
    assert rms_ratio(picture, generator.synthesize(ws, "random")) < RMS[torch.float32]
    wide = ours.synthesize(ws, "const", torch.float64)
    assert rms_ratio(wide, generator.synthesize(ws, "const", torch.float64)) < RMS[torch.float32]


def test_each_batch_size_with_gradients_is_captured_once(monkeypatch):
    """On a GPU; here the captured function runs as it is, and counts."""
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    captured = []

    def capture(function, examples):
        captured.append(examples[0].shape[0])
        assert examples[0].requires_grad
        # A graph is a function of one tensor, whose gradient is that of the styles.
        assert torch.autograd.grad(function(*examples).sum(), examples)[0].shape == examples[0].shape
        return function

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", capture)
    monkeypatch.setattr(kernel_synthesis, "_captures", lambda flat: True)
    generator = random_generator(GREY, seed=1)
    ours = with_kernels(generator).synthesis
    ws = torch.cat([latents(generator)] * 2).requires_grad_()
    for batch in (2, 1, 2, 1):
        ours(ws[:batch], "none")
    with torch.no_grad():
        ours(ws, "none")
    assert captured == [2, 1]
    for batch in (3, 4, 1, 2):  # three sizes are kept
        ours(ws[:batch], "none")
    assert captured == [2, 1, 3, 4, 2]


def test_packed_weights_are_freed_with_the_network(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    generator = random_generator(GREY, seed=1)
    ours = with_kernels(generator)
    ws = latents(generator).requires_grad_()
    ours.synthesize(ws, "none").sum().backward()
    with torch.no_grad():
        ours.synthesize(ws, "none")
    tables = [vars(ours.synthesis)[name] for name in ("_fused", "_fitting")]
    kept = [weakref.ref(packed) for table in tables for packed in table.values()]
    assert len(kept) == 2
    gc.disable()
    try:
        del ours, tables
        assert [reference() for reference in kept] == [None, None]
    finally:
        gc.enable()
