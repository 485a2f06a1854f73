"""Every format: the network that was written is read, and its images match the naive float64 network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import checkpoint_files as files
import numpy as np
import pytest
import torch
from naive_stylegan import NaiveStyleGAN2
from safetensors.torch import save as safetensors_bytes
from tolerances import RMS_FP32

from sgi.engine.generator import Generator, GeneratorConfig, generator_sha256, random_generator, save_generator
from sgi.engine.generator.checkpoints import load, open_checkpoint

SMALL = GeneratorConfig(16, z_dim=12, w_dim=12, mapping_layers=2, channel_base=256, channel_max=16)
CONFIGS = {
    "small": SMALL,
    "narrowing": replace(SMALL, resolution=32, mapping_layers=8),
    "classes": replace(SMALL, z_dim=8, c_dim=3),
    "clamped": replace(SMALL, conv_clamp=0.6),
    "lr": replace(SMALL, mapping_lr_multiplier=0.1),
}


def basicsr_with_mean(generator: Generator) -> bytes:
    """BasicSR's file does not contain the mean of w; a user who adds it uses rosinality's name."""
    return files.basicsr(generator, lambda content: content.update(latent_avg=generator.mapping.w_avg))


WRITERS: dict[str, Callable[[Generator], bytes]] = {
    "nvidia": files.nvidia,
    "nvidia, protocol 4": lambda g: files.nvidia(g, protocol=4),
    "nvidia, stylegan3": lambda g: files.nvidia(g, flavour="stylegan3"),
    "nvidia, saved whole": lambda g: files.saved_nvidia(files.nvidia_object(files.nvidia_states(g))),
    "tensorflow": files.tensorflow,
    "tensorflow, protocol 5": lambda g: files.tensorflow(g, protocol=5),
    "rosinality": files.rosinality,
    "rosinality, old torch": lambda g: files.rosinality(g, zipped=False),
    "encoder": files.encoder,
    "basicsr": basicsr_with_mean,
    "flat": lambda g: files.saved(files.nvidia_state_dict(g)),
    "flat in a dict, old torch": lambda g: files.saved({"G_ema": files.nvidia_state_dict(g), "step": 1}, zipped=False),
    "flat safetensors": lambda g: safetensors_bytes(files.nvidia_state_dict(g)),
}
# Limits of formats: rosinality has no classes, and only NVIDIA's pickles store clamps and rates.
CASES = [
    (writer, config)
    for writer in WRITERS
    for config in CONFIGS
    if writer.startswith(("nvidia", "tensorflow")) or config in ("small", "narrowing")
] + [("flat", "classes")]


@pytest.mark.parametrize(("writer", "config"), CASES)
def test_the_network_is_read_with_the_same_hash(tmp_path, writer, config):
    generator = random_generator(CONFIGS[config], seed=5)
    path = tmp_path / "network"
    path.write_bytes(WRITERS[writer](generator))
    loaded = load(path)
    assert loaded.config == generator.config
    assert generator_sha256(loaded) == generator_sha256(generator)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@pytest.mark.parametrize("psi", [1.0, 0.7])
@pytest.mark.parametrize("writer", ["nvidia", "tensorflow", "rosinality"])
def test_images_match_the_naive_network(tmp_path, writer, psi):
    """The writers implement the formats from their descriptions; the naive network uses NVIDIA's names."""
    config = CONFIGS["small" if writer == "rosinality" else "classes"]
    generator = random_generator(config, seed=6)
    path = tmp_path / "network"
    path.write_bytes(WRITERS[writer](generator))
    tensors = {name: tensor.double().numpy() for name, tensor in generator.state_dict().items()}
    z = np.random.RandomState(7).randn(2, config.z_dim)
    label = np.eye(3)[[2, 0]] if config.c_dim else None
    expected = NaiveStyleGAN2(tensors, config.resolution).image(z, label, psi)
    class_label = None if label is None else torch.tensor(label).float()
    found = load(path)(torch.tensor(z).float(), class_label, psi=psi).double().numpy()
    assert np.sqrt(((found - expected) ** 2).mean() / (expected**2).mean()) < RMS_FP32


def test_a_generator_file_is_loaded_by_the_same_function(tmp_path, conditional_generator):
    path = tmp_path / "g.safetensors"
    sha256 = save_generator(path, conditional_generator)
    assert generator_sha256(load(path)) == sha256


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("zipped", [True, False])
def test_other_floats_are_read_as_float32(tmp_path, tiny_generator, dtype, zipped):
    state = {name: tensor.to(dtype) for name, tensor in tiny_generator.state_dict().items()}
    path = tmp_path / "network.pt"
    path.write_bytes(files.saved(state, zipped))
    with open_checkpoint(path) as checkpoint:
        assert {ref.dtype for ref in checkpoint.tensors.values()} == {str(dtype).removeprefix("torch.")}
    loaded = load(path).state_dict()
    for name, tensor in state.items():
        assert loaded[name].dtype == torch.float32
        assert torch.equal(loaded[name], tensor.float()), name


def test_strided_tensors_and_shared_storages(tmp_path, tiny_generator):
    """Half-precision blocks of NVIDIA's code store their weights channels-last; tensors can share a storage."""
    state = dict(tiny_generator.state_dict())
    weight = state["synthesis.b8.conv0.weight"]
    state["synthesis.b8.conv0.weight"] = weight.to(memory_format=torch.channels_last)
    both = torch.stack([state["synthesis.b8.conv0.bias"], state["synthesis.b8.conv1.bias"]])
    state["synthesis.b8.conv0.bias"], state["synthesis.b8.conv1.bias"] = both
    for zipped in (True, False):
        path = tmp_path / f"{zipped}.pt"
        path.write_bytes(files.saved(state, zipped))
        assert generator_sha256(load(path)) == generator_sha256(tiny_generator)


def test_big_endian_arrays_of_tensorflow(tmp_path, tiny_generator):
    def swap(state, variables):
        variables["synthesis"] = {name: value.astype(">f4") for name, value in variables["synthesis"].items()}
        variables["mapping"] = {name: np.asfortranarray(value) for name, value in variables["mapping"].items()}

    path = tmp_path / "network.pkl"
    path.write_bytes(files.tensorflow(tiny_generator, swap))
    loaded, expected = load(path).state_dict(), tiny_generator.state_dict()
    for name in expected:
        assert torch.allclose(loaded[name], expected[name], atol=1e-6), name
