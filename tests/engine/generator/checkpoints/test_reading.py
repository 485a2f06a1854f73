"""What is read from a file, what is assumed and reported, and what is left out."""

from __future__ import annotations

import json

import checkpoint_files as files
import numpy as np
import pytest
import torch
from tolerances import CLOSED_FORM

from sgi.engine.generator.checkpoints import load, report
from sgi.engine.generator.checkpoints.checkpoint import W_AVG_SAMPLES, sample_w_avg


def test_report_of_an_nvidia_pickle(written, conditional_generator):
    path = written(files.nvidia(conditional_generator, fp16_from=32, rest={"D": files.Persistent("Odd", {})}))
    facts = report(path)
    json.dumps(facts)
    expected = {
        "format": "NVIDIA PyTorch pickle",
        "resolution": 32,
        "channels": {"4": 16, "8": 16, "16": 16, "32": 8},
        "z_dim": 8,
        "w_dim": 12,
        "classes": 3,
        "mapping_layers": 2,
        "mapping_lr_multiplier": 0.01,
        "conv_clamp": 1.0,
        "stored_as": ["float32"],
        "fp16_blocks": [32],
        "assumed": [],
        "not_imported": ["training_set_kwargs", "G", "D", "augment_pipe"],
        "private_paths": ["training_set_kwargs.path"],
        "inert_names": [],
        "refused": None,
    }
    assert {name: facts[name] for name in expected} == expected
    assert facts["parameters"] == sum(p.numel() for p in conditional_generator.parameters())
    assert files.PRIVATE_PATH not in json.dumps(facts)


def test_report_of_a_rosinality_file_lists_assumptions(written, small):
    facts = report(written(files.rosinality_training(small)))
    assert facts["packing"] == "torch zip"
    assert facts["not_imported"] == ["g", "d", "g_optim", "d_optim", "args", "ada_aug_p"]
    assert facts["private_paths"] == ["args.path"]
    assert facts["assumed"] == [
        "the format does not store the learning-rate multiplier of the mapping network: assumed to be 0.01",
        "the file lacks the mean of w: computed over 10000 z of seed 0",
    ]


def test_report_of_a_flat_file_lists_assumptions(written, small):
    facts = report(written(files.saved(small.state_dict())))
    assert any("conv_clamp: assumed to be none" in line for line in facts["assumed"])


def test_only_g_ema_is_read(written, small):
    """The other networks can contain anything, including damage."""

    class Odd:
        def __reduce__(self):
            return torch.hub.load, ("somebody/repository", "model")

    broken = files.Persistent("Discriminator", {"_parameters": {"x": Odd()}}, version=1)
    path = written(files.nvidia(small, rest={"D": broken, "G": Odd(), "augment_pipe": None}))
    load(path)
    assert "torch.hub.load" not in report(path)["inert_names"], "names of torch are expected"


def test_names_of_other_packages_are_reported_and_not_imported(written, small):
    transformer = type("VisionTransformer", (), {})
    with files.modules(timm__models={"VisionTransformer": transformer}):
        data = files.nvidia(small, rest={"D": transformer()})
    path = written(data)
    load(path)
    assert report(path)["inert_names"] == ["timm.models.VisionTransformer"]


@pytest.mark.parametrize("writer", ["nvidia", "rosinality"])
def test_a_missing_mean_of_w_is_sampled_and_reported(written, small, writer):
    if writer == "nvidia":
        data = files.nvidia(small, lambda states: states["mapping"][1]["_buffers"].clear())
    else:
        data = files.rosinality(small, change=lambda content: content.pop("latent_avg"))
    path = written(data)
    assert report(path)["assumed"][-1] == "the file lacks the mean of w: computed over 10000 z of seed 0"
    w_avg = load(path).mapping.w_avg
    assert torch.equal(w_avg, load(path).mapping.w_avg)
    z = torch.tensor(np.random.RandomState(0).randn(W_AVG_SAMPLES, 12)).float()
    torch.testing.assert_close(w_avg, small.mapping(z).double().mean(0).float(), rtol=1e-5, atol=CLOSED_FORM)


def test_the_sampled_mean_includes_all_classes(conditional_generator):
    z = torch.tensor(np.random.RandomState(0).randn(W_AVG_SAMPLES, 8)).float()
    label = torch.eye(3)[torch.arange(W_AVG_SAMPLES) % 3]
    expected = conditional_generator.mapping(z, label).double().mean(0).float()
    torch.testing.assert_close(sample_w_avg(conditional_generator), expected, rtol=1e-5, atol=CLOSED_FORM)


def test_the_mean_of_an_encoder_with_different_rows_is_sampled(written, small):
    path = written(files.encoder(small, lambda content: content["latent_avg"][3].add_(1)))
    assert "the file lacks the mean of w" in report(path)["assumed"][-1]
    assert report(path)["not_imported"] == ["opts", "the encoder"]


def test_missing_noise_of_old_rosinality_files_is_seeded_and_reported(written, small):
    def strip(content):
        for name in [name for name in content["g_ema"] if name.startswith("noises.") or "kernel" in name]:
            del content["g_ema"][name]

    path = written(files.rosinality(small, change=strip))
    assert "the file lacks the stored noise: drawn from seed 0" in report(path)["assumed"]
    first, second = load(path), load(path)
    name = "synthesis.b16.conv1.noise_const"
    noise = first.get_buffer(name)
    assert torch.equal(noise, second.get_buffer(name))
    assert 0.8 < float(noise.std()) < 1.2


def test_a_network_without_noise_has_none(written, small):
    loaded = load(written(files.nvidia(small, noise=False)))
    z = torch.randn(1, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded(z, noise_mode="const"), loaded(z, noise_mode="none"))
    assert not loaded.get_buffer("synthesis.b8.conv1.noise_const").any()


def test_the_default_rate_of_tensorflow_is_reported(written, small):
    path = written(files.tensorflow(small))
    assert report(path)["assumed"] == ["the file does not store mapping_lrmul: assumed to be its default, 0.01"]
    assert load(path).config == small.config
