"""The generator compared with the naive float64 network: whole images, and each detail of the format."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from naive_stylegan import NaiveStyleGAN2, filtered, same_conv, transposed_conv, unit_second_moment, upsample
from tolerances import CLOSED_FORM, RMS_FP32

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator, GeneratorConfig, random_generator
from sgi.engine.generator.layers import FullyConnected, ModulatedConv, ToRGB, upsample2


def naive(generator: Generator) -> NaiveStyleGAN2:
    tensors = {name: tensor.double().numpy() for name, tensor in generator.state_dict().items()}
    config = generator.config
    return NaiveStyleGAN2(tensors, config.resolution, config.conv_clamp, config.mapping_lr_multiplier)


def relative_rms(found, expected) -> float:
    found, expected = (np.asarray(x, np.float64) for x in (found, expected))
    assert found.shape == expected.shape
    return float(np.sqrt(((found - expected) ** 2).mean() / (expected**2).mean()))


def latents(count: int, size: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randn(count, size)


CONFIGS = {
    "narrowing": GeneratorConfig(32, z_dim=8, w_dim=12, mapping_layers=2, channel_base=128, channel_max=16),
    "eight layers": GeneratorConfig(16, z_dim=8, w_dim=8, channel_base=64, channel_max=8),
    "clamped": GeneratorConfig(16, z_dim=8, w_dim=12, mapping_layers=2, channel_base=64, channel_max=8, conv_clamp=0.6),
    "classes": GeneratorConfig(16, z_dim=8, w_dim=12, c_dim=3, mapping_layers=2, channel_base=64, channel_max=8),
    "one channel out": GeneratorConfig(16, z_dim=4, w_dim=6, channel_base=64, channel_max=8, img_channels=1),
    "lr 1": GeneratorConfig(16, z_dim=8, w_dim=8, mapping_layers=2, mapping_lr_multiplier=1.0, channel_base=64),
}


@pytest.mark.parametrize("psi", [1.0, 0.7])
@pytest.mark.parametrize("name", CONFIGS)
def test_images_match_the_naive_network(name, psi):
    generator = random_generator(CONFIGS[name], seed=3)
    z = latents(2, generator.config.z_dim)
    label = np.eye(3)[[0, 2]] if generator.config.c_dim else None
    image = generator(torch.tensor(z).float(), None if label is None else torch.tensor(label).float(), psi=psi)
    assert image.dtype == torch.float32
    assert relative_rms(image, naive(generator).image(z, label, psi)) < RMS_FP32


def test_truncation_cutoff_does_not_change_later_rows(tiny_generator):
    z = latents(2, tiny_generator.config.z_dim)
    for cutoff in (0, 3, tiny_generator.config.num_ws):
        ws = tiny_generator.map(torch.tensor(z).float(), psi=0.5, cutoff=cutoff)
        reference = naive(tiny_generator)
        assert relative_rms(ws, reference.truncate(reference.w(z), 0.5, cutoff)) < RMS_FP32


def test_more_truncated_rows_than_rows_are_refused(tiny_generator):
    rows = tiny_generator.config.num_ws
    z = torch.zeros(1, tiny_generator.config.z_dim)
    for cutoff in (-1, rows + 1):
        with pytest.raises(UserError, match=rf"`cutoff={cutoff}`: the generator has {rows} rows of w\+; choose 0 to"):
            tiny_generator.map(z, psi=0.5, cutoff=cutoff)


def test_psi_zero_is_the_mean_of_w(tiny_generator):
    ws = tiny_generator.map(torch.tensor(latents(1, tiny_generator.config.z_dim)).float(), psi=0.0)
    assert torch.equal(ws[0], tiny_generator.mapping.w_avg.expand(tiny_generator.config.num_ws, -1))


def test_an_offset_is_added_after_truncation(tiny_generator):
    config = tiny_generator.config
    z = latents(2, config.z_dim)
    offset = latents(config.num_ws, config.w_dim, seed=1)
    image = tiny_generator(torch.tensor(z).float(), psi=0.5, offset=torch.tensor(offset).float())
    assert relative_rms(image, naive(tiny_generator).image(z, psi=0.5, offset=offset)) < RMS_FP32
    one_row = tiny_generator(torch.tensor(z).float(), psi=0.5, offset=torch.tensor(offset[:1]).float())
    everywhere = np.repeat(offset[:1], config.num_ws, axis=0)
    assert relative_rms(one_row, naive(tiny_generator).image(z, psi=0.5, offset=everywhere)) < RMS_FP32


def test_noise_modes(tiny_generator):
    z = latents(1, tiny_generator.config.z_dim)
    images = {mode: tiny_generator(torch.tensor(z).float(), noise_mode=mode) for mode in ("none", "const", "random")}
    assert relative_rms(images["none"], naive(tiny_generator).image(z, noise=False)) < RMS_FP32
    assert relative_rms(images["const"], naive(tiny_generator).image(z, noise=True)) < RMS_FP32
    assert relative_rms(images["random"], images["const"]) > 0.01
    with pytest.raises(ValueError, match="`noise_mode=of`"):
        tiny_generator(torch.tensor(z).float(), noise_mode="of")


def test_a_seed_gives_the_same_image_in_any_batch(tiny_generator):
    z = torch.tensor(latents(5, tiny_generator.config.z_dim)).float()
    together = tiny_generator(z, psi=0.7)
    alone = torch.cat([tiny_generator(z[i : i + 1], psi=0.7) for i in range(5)])
    assert relative_rms(alone, together) < RMS_FP32


def test_to_rgb_of_a_block_shares_its_row_with_the_next_conv0(tiny_generator):
    rows = {layer.name: layer.row for layer in tiny_generator.synthesis.styled_layers()}
    assert rows["synthesis.b4.conv1"] == 0
    assert rows["synthesis.b4.torgb"] == rows["synthesis.b8.conv0"] == 1
    assert rows["synthesis.b8.torgb"] == rows["synthesis.b16.conv0"] == 3
    assert rows["synthesis.b16.torgb"] == tiny_generator.config.num_ws - 1 == 5
    assert GeneratorConfig(1024).num_ws == 18
    assert GeneratorConfig(256).num_ws == 14


class TestModulatedConv:
    """One 3x3 layer compared with its formula, without bias and noise except in their tests."""

    def layer(self, *, up: bool, clamp: float | None = None, inputs: int = 3) -> ModulatedConv:
        torch.manual_seed(0)
        layer = ModulatedConv(inputs, 2, 4, 10 if up else 5, up=up, clamp=clamp)
        return layer.requires_grad_(False)

    def expected(self, layer: ModulatedConv, x: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Before noise, bias and activation."""
        weight = layer.weight.double().numpy() * s[None, :, None, None]
        weight = weight / np.sqrt((weight**2).sum(axis=(1, 2, 3), keepdims=True) + 1e-8)
        return filtered(transposed_conv(x, weight), 4.0, 1, 1) if layer.up else same_conv(x, weight)

    @pytest.mark.parametrize("up", [False, True])
    def test_weights_correlate_and_the_up_convolution_is_not_flipped(self, up):
        layer = self.layer(up=up)
        x, s = np.random.RandomState(0).randn(3, 5, 5), np.random.RandomState(1).randn(3)
        y = layer(torch.tensor(x).float()[None], torch.tensor(s).float()[None], "none")[0]
        plain = self.expected(layer, x, s)
        assert relative_rms(y, np.where(plain > 0, plain, 0.2 * plain) * np.sqrt(2)) < RMS_FP32
        assert y.shape[1:] == ((10, 10) if up else (5, 5))

    def test_the_filter_of_the_up_convolution_has_gain_4(self):
        """The gain compensates the inserted zeros: with a centre tap of 1 a constant input keeps its value."""
        layer = self.layer(up=True, inputs=1)
        layer.weight.zero_()
        layer.weight[:, :, 1, 1] = 1.0
        y = layer(torch.ones(1, 1, 5, 5), torch.ones(1, 1), "none")[0, 0, 2:-2, 2:-2]
        assert torch.allclose(y, torch.full_like(y, 2**0.5), rtol=CLOSED_FORM)

    @pytest.mark.parametrize("up", [False, True])
    def test_noise_is_added_after_the_filter_and_before_the_bias(self, up):
        layer = self.layer(up=up)
        layer.noise_strength.fill_(0.7)
        layer.bias.copy_(torch.tensor([0.3, -0.4]))
        x, s = np.random.RandomState(0).randn(3, 5, 5), np.random.RandomState(1).randn(3)
        y = layer(torch.tensor(x).float()[None], torch.tensor(s).float()[None], "const")[0]
        total = self.expected(layer, x, s) + 0.7 * layer.noise_const.double().numpy()
        total = total + layer.bias.double().numpy()[:, None, None]
        assert relative_rms(y, np.where(total > 0, total, 0.2 * total) * np.sqrt(2)) < RMS_FP32

    def test_the_clamp_is_applied_after_the_gain(self):
        layer = self.layer(up=False, clamp=0.5)
        x, s = np.random.RandomState(0).randn(3, 5, 5) * 5, np.ones(3)
        y = layer(torch.tensor(x).float()[None], torch.tensor(s).float()[None], "none")[0]
        assert float(y.max()) == pytest.approx(0.5, rel=CLOSED_FORM)
        free = self.expected(layer, x, s)
        free = np.where(free > 0, free, 0.2 * free) * np.sqrt(2)
        assert relative_rms(y, np.clip(free, -0.5, 0.5)) < RMS_FP32

    def test_demodulation_adds_1e_8(self):
        layer = self.layer(up=False)
        x, s = np.random.RandomState(0).randn(3, 5, 5), np.full(3, 1e-5)
        y = layer(torch.tensor(x).float()[None], torch.tensor(s).float()[None], "none")[0]
        plain = self.expected(layer, x, s)
        assert relative_rms(y, np.where(plain > 0, plain, 0.2 * plain) * np.sqrt(2)) < RMS_FP32

    def test_demodulation_cancels_the_scale_of_the_weight(self):
        layer = self.layer(up=False)
        x, s = torch.randn(1, 3, 5, 5), torch.randn(1, 3)
        before = layer(x, s, "none")
        layer.weight.mul_(100.0)
        assert relative_rms(layer(x, s, "none"), before) < RMS_FP32


class TestToRGB:
    def test_is_not_demodulated_and_scales_its_style(self):
        torch.manual_seed(0)
        layer = ToRGB(8, 3, 4, clamp=None).requires_grad_(False)
        layer.bias.copy_(torch.tensor([0.1, 0.2, -0.3]))
        x, s = torch.randn(2, 8, 4, 4), torch.randn(2, 8)
        weight = layer.weight.double().numpy()[:, :, 0, 0]
        expected = np.einsum("oi,ni,nihw->nohw", weight, s.double().numpy() / np.sqrt(8), x.double().numpy())
        expected += layer.bias.double().numpy()[None, :, None, None]
        assert relative_rms(layer(x, s), expected) < RMS_FP32

    def test_clamps_with_gain_one_and_has_no_activation(self):
        torch.manual_seed(0)
        layer = ToRGB(8, 3, 4, clamp=0.5).requires_grad_(False)
        y = layer(torch.randn(1, 8, 16, 16) * 10, torch.randn(1, 8))
        assert (float(y.min()), float(y.max())) == (-0.5, 0.5)


def test_the_skip_path_upsamples_with_gain_4_and_padding_2_1():
    image = np.random.RandomState(0).randn(3, 6, 6)
    found = upsample2(torch.tensor(image).float()[None])[0]
    assert relative_rms(found, upsample(image)) < RMS_FP32
    flat = upsample2(torch.ones(1, 1, 6, 6))[0, 0, 2:-2, 2:-2]
    assert torch.allclose(flat, torch.ones_like(flat), rtol=CLOSED_FORM)


@pytest.mark.parametrize("lr", [1.0, 0.01])
def test_equalised_rate_scales_weight_by_lr_over_root_inputs_and_bias_by_lr(lr):
    torch.manual_seed(0)
    layer = FullyConnected(5, 3, lr=lr, bias_init=1.0).requires_grad_(False)
    x = np.random.RandomState(0).randn(4, 5)
    expected = x @ layer.weight.double().numpy().T * lr / np.sqrt(5) + lr
    assert relative_rms(layer(torch.tensor(x).float()), expected) < RMS_FP32


class TestMapping:
    def test_labels_and_z_are_normalised_separately(self, conditional_generator):
        z = latents(3, conditional_generator.config.z_dim) * 40
        label = np.eye(3)
        w = conditional_generator.mapping(torch.tensor(z).float(), torch.tensor(label).float())
        assert relative_rms(w, naive(conditional_generator).w(z, label)) < RMS_FP32

    def test_scale_of_z_does_not_matter(self, tiny_generator):
        z = torch.tensor(latents(2, tiny_generator.config.z_dim)).float()
        assert relative_rms(tiny_generator.mapping(z * 30), tiny_generator.mapping(z)) < RMS_FP32

    def test_float64_latents_are_rounded_before_they_are_normalised(self, tiny_generator):
        z = latents(2, tiny_generator.config.z_dim)
        expected = naive(tiny_generator).w(z.astype(np.float32).astype(np.float64))
        assert relative_rms(tiny_generator.mapping(torch.tensor(z).float()), expected) < RMS_FP32

    def test_a_label_is_required_only_for_conditional_generators(self, tiny_generator, conditional_generator):
        z = torch.zeros(1, tiny_generator.config.z_dim)
        with pytest.raises(ValueError, match="needs a label"):
            conditional_generator(z)
        with pytest.raises(ValueError, match="needs no label"):
            tiny_generator(z, torch.zeros(1, 3))


def test_normalisation_of_z_adds_epsilon():
    from sgi.engine.generator.mapping import normalise_second_moment

    x = np.full((1, 4), 1e-5)
    found = normalise_second_moment(torch.tensor(x).float())
    assert relative_rms(found, unit_second_moment(x)) < RMS_FP32
