"""What is read from a file, what is assumed and said, what is left behind, and what is refused by name."""

from __future__ import annotations

import json
import pickle

import checkpoint_files as files
import numpy as np
import pytest
import torch
from tolerances import CLOSED_FORM

from sgi.engine.errors import UserError
from sgi.engine.generator import GeneratorConfig, random_generator
from sgi.engine.generator.checkpoints import Unsupported, load, open_checkpoint, report
from sgi.engine.generator.checkpoints.checkpoint import W_AVG_SAMPLES, sample_w_avg

SMALL = GeneratorConfig(16, z_dim=12, w_dim=12, mapping_layers=2, channel_base=256, channel_max=16)


@pytest.fixture(scope="module")
def small():
    return random_generator(SMALL, seed=8)


@pytest.fixture
def written(tmp_path):
    def write(data: bytes):
        path = tmp_path / "network.pkl"
        path.write_bytes(data)
        return path

    return write


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
        "dropped": ["training_set_kwargs", "D"],
        "private_paths": ["training_set_kwargs.path"],
        "inert_names": [],
        "refused": None,
    }
    assert {name: facts[name] for name in expected} == expected
    assert facts["parameters"] == sum(p.numel() for p in conditional_generator.parameters())
    assert files.PRIVATE_PATH not in json.dumps(facts)


def test_report_of_a_rosinality_file_says_what_it_assumes(written, small):
    facts = report(written(files.rosinality(small)))
    assert facts["packing"] == "torch zip"
    assert facts["dropped"] == ["g", "g_optim", "args"]
    assert facts["private_paths"] == ["args.path"]
    assert facts["assumed"] == [
        "the format does not hold the learning-rate multiplier of the mapping network: taken as 0.01"
    ]


def test_report_of_a_flat_file_says_what_it_assumes(written, small):
    facts = report(written(files.saved(small.state_dict())))
    assert any("conv_clamp: taken as none" in line for line in facts["assumed"])


def test_only_g_ema_is_read(written, small):
    """The other networks may hold anything, damage included."""

    class Odd:
        def __reduce__(self):
            return torch.hub.load, ("somebody/repository", "model")

    broken = files.Persistent("Discriminator", {"_parameters": {"x": Odd()}}, version=1)
    path = written(files.nvidia(small, rest={"D": broken, "G": Odd(), "augment_pipe": None}))
    load(path)
    assert "torch.hub.load" not in report(path)["inert_names"], "torch's names are ordinary"


def test_names_of_other_packages_stay_inert_and_are_reported(written, small):
    transformer = type("VisionTransformer", (), {})
    with files.modules(timm__models={"VisionTransformer": transformer}):
        data = files.nvidia(small, rest={"D": transformer()})
    path = written(data)
    load(path)
    assert report(path)["inert_names"] == ["timm.models.VisionTransformer"]


@pytest.mark.parametrize("writer", ["nvidia", "rosinality"])
def test_a_missing_mean_of_w_is_sampled_and_said(written, small, writer):
    if writer == "nvidia":
        data = files.nvidia(small, lambda states: states["mapping"][1]["_buffers"].clear())
    else:
        data = files.rosinality(small, change=lambda content: content.pop("latent_avg"))
    path = written(data)
    assert report(path)["assumed"][-1] == "the mean of w is not in the file: taken over 10000 z of seed 0"
    w_avg = load(path).mapping.w_avg
    assert torch.equal(w_avg, load(path).mapping.w_avg)
    z = torch.tensor(np.random.RandomState(0).randn(W_AVG_SAMPLES, 12)).float()
    torch.testing.assert_close(w_avg, small.mapping(z).double().mean(0).float(), rtol=1e-5, atol=CLOSED_FORM)


def test_the_sampled_mean_goes_through_all_classes(conditional_generator):
    z = torch.tensor(np.random.RandomState(0).randn(W_AVG_SAMPLES, 8)).float()
    label = torch.eye(3)[torch.arange(W_AVG_SAMPLES) % 3]
    expected = conditional_generator.mapping(z, label).double().mean(0).float()
    torch.testing.assert_close(sample_w_avg(conditional_generator), expected, rtol=1e-5, atol=CLOSED_FORM)


def test_an_encoder_with_a_mean_for_each_row_is_given_a_sampled_one(written, small):
    path = written(files.encoder(small, lambda content: content["latent_avg"][3].add_(1)))
    assert "the mean of w is not in the file" in report(path)["assumed"][-1]
    assert report(path)["dropped"] == ["opts", "the encoder"]


def test_noise_that_old_rosinality_files_lack_is_seeded_and_said(written, small):
    def strip(content):
        for name in [name for name in content["g_ema"] if name.startswith("noises.") or "kernel" in name]:
            del content["g_ema"][name]

    path = written(files.rosinality(small, change=strip))
    assert "the stored noise is not in the file: drawn from seed 0" in report(path)["assumed"]
    first, second = load(path), load(path)
    noise = first.synthesis.b16.conv1.noise_const
    assert torch.equal(noise, second.synthesis.b16.conv1.noise_const)
    assert 0.8 < float(noise.std()) < 1.2


def test_a_network_without_noise_has_none(written, small):
    loaded = load(written(files.nvidia(small, noise=False)))
    z = torch.randn(1, 12, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded(z, noise_mode="const"), loaded(z, noise_mode="none"))
    assert not loaded.synthesis.b8.conv1.noise_const.any()


def set_attribute(path, name, value):
    def change(states):
        states[path][1][name] = value

    return change


def rename_class(path, name):
    def change(states):
        states[path] = (name, states[path][1])

    return change


def add_skip(states):
    states["synthesis.b8"][1]["_modules"]["skip"] = None
    weight = {"weight": torch.zeros(16, 16, 1, 1)}
    states["synthesis.b8.skip"] = ("Conv2dLayer", files.module_state(weight, {}, weight_gain=1.0))


def drop_to_rgb(states):
    for side in (4, 8):
        del states[f"synthesis.b{side}"][1]["_modules"]["torgb"]


def stylegan3(states):
    states["synthesis"][1]["_modules"]["input"] = None
    states["synthesis.input"] = ("SynthesisInput", files.module_state({}, {}))


REFUSED_NVIDIA = {
    "StyleGAN3": (stylegan3, "StyleGAN3"),
    "StyleGAN-XL": (rename_class("", "SuperresGenerator"), "StyleGAN-XL"),
    "another class": (rename_class("synthesis.b8", "MyBlock"), "is a MyBlock, which is no class of StyleGAN2"),
    "resnet": (set_attribute("synthesis.b8", "architecture", "resnet"), "of the resnet architecture"),
    "resnet by its tensors": (add_skip, "of the resnet architecture"),
    "orig": (drop_to_rgb, "of the orig architecture"),
    "another filter": (
        lambda states: states["synthesis.b8.conv0"][1]["_buffers"]["resample_filter"].fill_(1 / 16),
        r"not the filter \[1, 3, 3, 1\]",
    ),
    "relu": (set_attribute("synthesis.b8.conv1", "activation", "relu"), "activation is relu, not lrelu"),
    "another gain": (set_attribute("synthesis.b8.conv1", "act_gain", 1.0), "act_gain is 1.0"),
    "another padding": (set_attribute("synthesis.b8.conv1", "padding", 0), "padding is 0, not 1"),
    "no doubling": (set_attribute("synthesis.b8.conv0", "up", 4), "up is 4, not 2"),
    "clamps that differ": (set_attribute("synthesis.b8.conv1", "conv_clamp", 5), "differ in conv_clamp"),
    "noise in some layers": (set_attribute("synthesis.b8.conv1", "use_noise", False), "some of its layers use noise"),
    "rate of one layer": (set_attribute("mapping.fc1", "bias_gain", 1.0), "bias_gain is 1.0, not 0.01"),
    "weight gain": (set_attribute("mapping.fc1", "weight_gain", 1.0), "weight_gain is 1.0"),
}


@pytest.mark.parametrize("case", REFUSED_NVIDIA)
def test_other_networks_are_refused_by_name_and_inspected(written, small, case):
    change, message = REFUSED_NVIDIA[case]
    path = written(files.nvidia(small, change))
    with pytest.raises(Unsupported, match=f"/network.pkl: refused, .*{message}") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert report(path)["refused"] == str(caught.value)


def missing_attribute(states):
    del states["synthesis.b8.conv1"][1]["conv_clamp"]


def odd_width(states):
    bias = torch.nn.Parameter(torch.zeros(5), False)
    states["synthesis.b8.conv1"][1]["_parameters"]["bias"] = bias


def version_5(states):
    states["synthesis"][1]["_modules"]["b8"] = files.Persistent("SynthesisBlock", {}, version=5)


def integers(states):
    bias = torch.nn.Parameter(torch.zeros(16, dtype=torch.int64), False)
    states["synthesis.b8.conv1"][1]["_parameters"]["bias"] = bias


def not_finite(states):
    states["mapping.fc0"][1]["_parameters"]["bias"] = torch.nn.Parameter(torch.full((12,), torch.nan), False)


DAMAGED_NVIDIA = {
    "an attribute is missing": (missing_attribute, "b8.conv1 has no conv_clamp"),
    "a tensor has another size": (odd_width, r"b8.conv1.bias has the shape \[5\], \[16\] expected"),
    "another version of persistence": (version_5, "another persistence version than 6"),
    "integers": (integers, "holds Long numbers, floats expected"),
    "not finite": (not_finite, "mapping.fc0.bias is not finite"),
    "a module that is a dict": (
        lambda states: states["synthesis"][1]["_modules"].update(b8={}),
        "synthesis.b8 is no persistent module",
    ),
    "sizes that contradict": (set_attribute("", "z_dim", 13), "G_ema.z_dim|.z_dim is 13, not 12"),
    "no block of 8 px": (
        lambda states: states["synthesis"][1]["_modules"].pop("b8"),
        "its blocks are not 4, 8, 16",
    ),
    "no mapping": (lambda states: states[""][1]["_modules"].pop("mapping"), "its mapping is no MappingNetwork"),
    "a tensor that is unknown": (
        lambda states: states["mapping"][1]["_parameters"].update(extra=torch.zeros(1)),
        "an unknown tensor 'mapping.extra'",
    ),
}


@pytest.mark.parametrize("case", DAMAGED_NVIDIA)
def test_damaged_networks_are_one_line_that_says_where(written, small, case):
    change, message = DAMAGED_NVIDIA[case]
    with pytest.raises(UserError, match=f"/network.pkl: .*({message})") as caught:
        load(written(files.nvidia(small, change)))
    assert "\n" not in str(caught.value)


REFUSED_TENSORFLOW = {
    "StyleGAN1": (lambda state, v: state.update(build_func_name="G_style", version=3), "a StyleGAN1 network"),
    "version 2": (lambda state, v: state.update(version=2), "a TensorFlow pickle of version 2"),
    "resnet": (lambda state, v: state["static_kwargs"].update(architecture="resnet"), "of the resnet architecture"),
    "orig": (lambda state, v: v["synthesis"].update({"ToRGB_lod0/weight": np.zeros(1)}), "of the orig architecture"),
    "skips": (
        lambda state, v: v["synthesis"].update({"8x8/Skip/weight": np.zeros((1, 1, 16, 16), np.float32)}),
        "of the resnet architecture",
    ),
    "another filter": (
        lambda state, v: state["static_kwargs"].update(resample_kernel=[1, 1]),
        r"resample_kernel is not \[1, 3, 3, 1\]",
    ),
    "relu": (lambda state, v: state["static_kwargs"].update(nonlinearity="relu"), "nonlinearity is not lrelu"),
    "labels of the first stylegan2": (
        lambda state, v: v["mapping"].update({"LabelConcat/weight": np.zeros((3, 12), np.float32)}),
        "joins labels in a way of its own",
    ),
    "StyleGAN1 by its variables": (
        lambda state, v: v[""].update({"G_synthesis/4x4/Const/const": np.zeros(1)}),
        "a StyleGAN1 network",
    ),
}


@pytest.mark.parametrize("case", REFUSED_TENSORFLOW)
def test_other_tensorflow_networks_are_refused_by_name(written, small, case):
    change, message = REFUSED_TENSORFLOW[case]
    with pytest.raises(Unsupported, match=f"/network.pkl: refused, .*{message}"):
        load(written(files.tensorflow(small, change)))


def test_the_default_rate_of_tensorflow_is_said(written, small):
    path = written(files.tensorflow(small, lambda state, v: state["static_kwargs"].pop("mapping_lrmul")))
    assert report(path)["assumed"] == ["the file leaves mapping_lrmul at its default, 0.01"]
    assert load(path).config == small.config


FOREIGN = {
    "StyleGAN3, flat": ({"synthesis.input.freqs": torch.zeros(1)}, "a StyleGAN3 or StyleGAN-XL network"),
    "mmgeneration": ({"state_dict": {"generator_ema.constant_input.const": torch.zeros(1)}}, "of mmgeneration"),
    "genforce": ({"generator_smooth": {"mapping.dense0.weight": torch.zeros(1)}}, "of genforce"),
    "StyleGAN1 in torch": ({"generator": {"generator.progression.0.x": torch.zeros(1)}}, "a StyleGAN1 network"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_networks_of_other_code_bases_are_refused_by_name(written, case):
    content, message = FOREIGN[case]
    with pytest.raises(Unsupported, match=f"/network.pkl: refused, .*{message}"):
        load(written(files.saved(content)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "neither a pickle, a torch file nor safetensors"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "neither a pickle, a torch file nor safetensors"),
        (pickle.dumps({"weights": [1, 2], "step": 3}), "not a StyleGAN2 checkpoint: a dict of weights, step"),
        (pickle.dumps([1, 2]), "not a StyleGAN2 checkpoint: a list"),
        (files.saved({"x": torch.zeros(3)}), "not a StyleGAN2 checkpoint: a dict of x"),
        (pickle.dumps({"G_ema": None}), "not a StyleGAN2 checkpoint: a dict of G_ema"),
    ],
)
def test_files_of_another_kind_say_what_they_hold(written, data, message):
    with pytest.raises(UserError, match=message):
        load(written(data))


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "network.pkl")
    with pytest.raises(UserError, match="cannot be read"):
        open_checkpoint(tmp_path).__enter__()


def test_a_wrong_checksum_in_a_zip_is_told(written, small):
    data = bytearray(files.saved(small.state_dict()))
    value = small.synthesis.b8.conv1.weight.numpy().tobytes()
    data[data.index(value) + 100] ^= 1
    with pytest.raises(UserError, match="the checksum of a tensor is wrong"):
        load(written(bytes(data)))


def test_channels_that_follow_no_rule_are_refused(written, small):
    state = dict(small.state_dict())
    for name in ("weight", "bias"):
        state[f"synthesis.b16.conv1.{name}"] = state[f"synthesis.b16.conv1.{name}"].repeat_interleave(2, 0)
    state["synthesis.b8.conv1.weight"] = state["synthesis.b8.conv1.weight"][:7]
    with pytest.raises(Unsupported, match=r"channels \[16, 7, 32\] do not follow"):
        load(written(files.saved(state)))
