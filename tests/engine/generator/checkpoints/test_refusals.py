"""Messages for unsupported networks, damaged files and other files."""

from __future__ import annotations

import pickle

import checkpoint_files as files
import numpy as np
import pytest
import torch

from sgi.engine.errors import UserError
from sgi.engine.generator.checkpoints import Unsupported, load, open_checkpoint, report


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
    states["synthesis.b8.skip"] = ("Conv2dLayer", files.module_state(weight, {}, weight_gain=1.0, bias=None))


def drop_to_rgb(states):
    for side in (4, 8):
        del states[f"synthesis.b{side}"][1]["_modules"]["torgb"]


def stylegan3(states):
    """SynthesisNetwork of training/networks_stylegan3.py: its attributes, and its first child."""
    states["synthesis"][1].update(num_layers=14, num_critical=2, margin_size=10, output_scale=0.25)
    states["synthesis"][1]["_modules"]["input"] = None
    states["synthesis.input"] = ("SynthesisInput", files.module_state({}, {}))


def non_square(states):
    states["synthesis.b4"][1]["_parameters"]["const"] = torch.nn.Parameter(torch.zeros(32, 4, 2), False)


REFUSED_NVIDIA = {
    "StyleGAN3": (stylegan3, "StyleGAN3"),
    "StyleGAN-XL": (rename_class("", "SuperresGenerator"), "StyleGAN-XL"),
    "another class": (rename_class("synthesis.b8", "MyBlock"), "is a MyBlock, which is not a class of StyleGAN2"),
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
    "a setting of a fork": (set_attribute("mapping", "normalize_z", False), "mapping has the setting normalize_z"),
    "another number of layers": (set_attribute("mapping", "num_layers", 1), "num_layers is 1, not 2"),
    "non-square": (non_square, "of non-square pictures of 8 x 16 px .its constant has 2 x 4"),
    "EG3D": (rename_class("", "TriPlaneGenerator"), "an EG3D network"),
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
    "integers": (integers, "contains Long numbers, floats expected"),
    "not finite": (not_finite, "mapping.fc0.bias is not finite"),
    "a module that is a dict": (
        lambda states: states["synthesis"][1]["_modules"].update(b8={}),
        "synthesis.b8 is not a persistent module",
    ),
    "sizes that contradict": (set_attribute("", "z_dim", 13), "G_ema.z_dim|.z_dim is 13, not 12"),
    "no block of 8 px": (
        lambda states: states["synthesis"][1]["_modules"].pop("b8"),
        "its blocks are not 4, 8, 16",
    ),
    "no mapping": (lambda states: states[""][1]["_modules"].pop("mapping"), "its mapping is not a MappingNetwork"),
    "a tensor that is unknown": (
        lambda states: states["mapping"][1]["_parameters"].update(extra=torch.zeros(1)),
        "an unknown tensor 'mapping.extra'",
    ),
}


@pytest.mark.parametrize("case", DAMAGED_NVIDIA)
def test_damaged_networks_raise_one_line_with_the_position(written, small, case):
    change, message = DAMAGED_NVIDIA[case]
    with pytest.raises(UserError, match=f"/network.pkl: .*({message})") as caught:
        load(written(files.nvidia(small, change)))
    assert "\n" not in str(caught.value)


DAMAGED_ROSINALITY = {
    "a to-rgb bias with an empty axis": ("to_rgb1.bias", (1, 3, 1, 0), r"b4.torgb.bias has the shape \[3, 1, 0\]"),
    "a to-rgb bias for every pixel": ("to_rgbs.0.bias", (1, 3, 8, 8), r"b8.torgb.bias has the shape \[3, 8, 8\]"),
    "a to-rgb bias for two images": ("to_rgbs.1.bias", (2, 3, 1, 1), r"b16.torgb.bias has the shape \[2, 3, 1, 1\]"),
    "a noise image with a channel axis": ("noises.noise_0", (1, 3, 4, 4), r"noise_const has the shape \[3, 4, 4\]"),
    "a noise strength for two": ("conv1.noise.weight", (2,), r"noise_strength has the shape \[2\]"),
    "an empty constant": ("input.input", (1, 0, 4, 4), "synthesis.b4.const"),
}


@pytest.mark.parametrize("case", DAMAGED_ROSINALITY)
def test_rosinality_tensors_of_another_shape_are_named_in_one_line(written, small, case):
    name, shape, message = DAMAGED_ROSINALITY[case]

    def change(content):
        content["g_ema"][name] = torch.zeros(shape)

    with pytest.raises(UserError, match=f"/network.pkl: .*{message}") as caught:
        load(written(files.rosinality(small, change=change)))
    assert str(caught.value).isprintable()


REFUSED_TENSORFLOW = {
    "StyleGAN1": (lambda state, v: state.update(build_func_name="G_style", version=3), "a StyleGAN1 network"),
    "version 2": (lambda state, v: state.update(version=2), "a TensorFlow pickle of version 2"),
    "resnet": (
        lambda state, v: state["static_kwargs"].update(architecture="resnet"),
        "architecture is resnet; only skip is read",
    ),
    "orig": (lambda state, v: v["synthesis"].update({"ToRGB_lod0/weight": np.zeros(1)}), "of the orig architecture"),
    "skips": (
        lambda state, v: v["synthesis"].update({"8x8/Skip/weight": np.zeros((1, 1, 16, 16), np.float32)}),
        "of the resnet architecture",
    ),
    "another filter": (
        lambda state, v: state["static_kwargs"].update(resample_kernel=[1, 1]),
        r"resample_kernel is \[1, 1\]; only \[1, 3, 3, 1\] is read",
    ),
    "relu": (
        lambda state, v: state["static_kwargs"].update(nonlinearity="relu"),
        "nonlinearity is relu; only lrelu is read",
    ),
    "latents that are not normalised": (
        lambda state, v: state["static_kwargs"].update(normalize_latents=False),
        "normalize_latents is False; only True is read",
    ),
    "a setting of a fork": (
        lambda state, v: state["static_kwargs"].update(use_attention=True),
        "its setting use_attention is not one of NVIDIA's",
    ),
    "another mapping network": (
        lambda state, v: state["static_kwargs"].update(mapping_func="G_mapping_new"),
        "mapping_func is G_mapping_new",
    ),
    "another function": (lambda state, v: state.update(build_func_name="G_new"), "of the function G_new"),
    "progressive growing": (
        lambda state, v: state["static_kwargs"].update(synthesis_func="G_synthesis_stylegan_revised"),
        "synthesis_func is G_synthesis_stylegan_revised",
    ),
    "non-square settings": (
        lambda state, v: state["static_kwargs"].update(resolution_h=16, resolution_w=32),
        "of non-square pictures, 16 x 32",
    ),
    "a non-square constant": (
        lambda state, v: v["synthesis"].update({"4x4/Const/const": np.zeros((1, 16, 8, 4), np.float32)}),
        "of non-square pictures of 16 x 32 px",
    ),
    "non-square blocks": (
        lambda state, v: v.update(synthesis={"4x2/Const/const": np.zeros((1, 16, 4, 2), np.float32)}),
        "of non-square pictures .a block of 2 x 4 px",
    ),
    # label_fmaps of networks_stylegan2.py and networks.py: the size of the embedding, by default that of z.
    "a narrow label embedding": (
        lambda state, v: v["mapping"].update(
            {"LabelEmbed/weight": np.zeros((5, 3), np.float32), "LabelEmbed/bias": np.zeros(3, np.float32)}
        ),
        "its label embedding has 3 numbers, w has 12 .label_fmaps",
    ),
    "labels of the first stylegan2": (
        lambda state, v: v["mapping"].update({"LabelConcat/weight": np.zeros((3, 12), np.float32)}),
        "which concatenates labels differently",
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


OTHER_CODE = {
    "StyleGAN3, flat": ({"synthesis.input.freqs": torch.zeros(1)}, "a StyleGAN3 or StyleGAN-XL network"),
    "mmgeneration": ({"state_dict": {"generator_ema.constant_input.const": torch.zeros(1)}}, "of mmgeneration"),
    "genforce": ({"generator_smooth": {"mapping.dense0.weight": torch.zeros(1)}}, "of genforce"),
    "StyleGAN1 in torch": ({"generator": {"generator.progression.0.x": torch.zeros(1)}}, "a StyleGAN1 network"),
    # The names of each project's own state dict.
    "lucidrains": ({"GAN": {"GE.blocks.0.to_style1.weight": torch.zeros(1)}, "version": "1.9"}, "of lucidrains"),
    "adriansahlman": (
        {
            "name": "Generator",
            "kwargs": {},
            "state_dict": {},
            "G_mapping": {"state_dict": {}},
            "G_synthesis": {"state_dict": {"conv_blocks.0.conv_block.0.layer.weight": torch.zeros(1)}},
        },
        "adriansahlman.*whose architecture is not the same .*shifted by one pixel.*import the original .pkl",
    ),
    "GFPGAN": ({"params_ema": {"stylegan_decoder.constant_input.weight": torch.zeros(1)}}, "a face restorer"),
    "GFPGAN's bilinear network": (
        {"params_ema": {"constant_input.weight": torch.zeros(1), "style_conv1.bias": torch.zeros(1)}},
        "StyleGAN2GeneratorClean of GFPGAN, which upsamples bilinearly",
    ),
    "EG3D": ({"G_ema": {"backbone.synthesis.b4.const": torch.zeros(1)}}, "an EG3D network"),
    "diffusers": ({"down_blocks.0.resnets.0.conv1.weight": torch.zeros(1)}, "a diffusion model"),
    "Stable Diffusion": ({"state_dict": {"model.diffusion_model.out.2.bias": torch.zeros(1)}}, "a diffusion model"),
    "VQGAN": ({"state_dict": {"quantize.embedding.weight": torch.zeros(1)}}, "a VQGAN"),
    "a discriminator": ({"d": {"final_linear.0.weight": torch.zeros(1)}}, "a discriminator"),
    "a classifier": ({"model": {"module.layer1.0.conv1.weight": torch.zeros(1)}}, "a picture classifier"),
}


@pytest.mark.parametrize("case", OTHER_CODE)
def test_networks_of_other_code_bases_are_refused_by_name(written, case):
    content, message = OTHER_CODE[case]
    with pytest.raises(Unsupported, match=f"/network.pkl: refused, .*{message}"):
        load(written(files.saved(content)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x00\x01\xff" * 33, "neither a pickle, a torch file nor safetensors"),
        (pickle.dumps({"weights": [1, 2], "step": 3}), "not a StyleGAN2 checkpoint: a dict of weights, step"),
        (pickle.dumps([1, 2]), "not a StyleGAN2 checkpoint: a list; use a StyleGAN2 checkpoint"),
        (files.saved({"fingerprint": "a", "step": 3}), "checkpoint: the state of an interrupted command of sgi-engine"),
        (files.saved({"x": torch.zeros(3)}), "not a StyleGAN2 checkpoint: a dict of x"),
        (pickle.dumps({"G_ema": None}), "not a StyleGAN2 checkpoint: a dict of G_ema"),
    ],
)
def test_the_message_for_another_file_lists_its_content(written, data, message):
    with pytest.raises(UserError, match=message):
        load(written(data))


# What Python 2.7 writes for str: SHORT_BINSTRING, BINSTRING beyond 255 bytes, and STRING with protocol 0. Opcodes and
# arguments are those of pickletools.
PYTHON_2 = {
    "SHORT_BINSTRING": b"\x80\x02}q\x00U\x01aq\x01K\x01s.",
    "BINSTRING": b"\x80\x02T\x00\x01\x00\x00" + b"a" * 256 + b"q\x00.",
    "STRING": b"\x80\x02S'a'\np0\n.",
}


@pytest.mark.parametrize("case", PYTHON_2)
def test_strings_of_python_2_are_refused_by_name(written, case):
    assert pickle.loads(PYTHON_2[case])
    with pytest.raises(UserError, match="strings of Python 2, .*: write it with Python 3"):
        load(written(PYTHON_2[case]))


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        load(tmp_path / "network.pkl")
    with pytest.raises(UserError, match="cannot be read"):
        open_checkpoint(tmp_path).__enter__()


def test_a_wrong_checksum_in_a_zip_is_refused(written, small):
    data = bytearray(files.saved(small.state_dict()))
    value = small.synthesis.b8.conv1.weight.numpy().tobytes()
    data[data.index(value) + 100] ^= 1
    with pytest.raises(UserError, match="the checksum of a tensor is wrong"):
        load(written(bytes(data)))


def test_a_network_of_8_px_is_refused(written, small):
    state = {name: tensor for name, tensor in small.state_dict().items() if ".b16." not in name}
    with pytest.raises(UserError, match="/network.pkl: `resolution=8`: "):
        load(written(files.saved(state)))


def test_irregular_channels_are_refused(written, small):
    state = dict(small.state_dict())
    for name in ("weight", "bias"):
        state[f"synthesis.b16.conv1.{name}"] = state[f"synthesis.b16.conv1.{name}"].repeat_interleave(2, 0)
    state["synthesis.b8.conv1.weight"] = state["synthesis.b8.conv1.weight"][:7]
    with pytest.raises(Unsupported, match=r"channels \[16, 7, 32\] do not follow"):
        load(written(files.saved(state)))
