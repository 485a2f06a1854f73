"""Settings of a network: accepted without effect, read, or missing from a converted file."""

from __future__ import annotations

import checkpoint_files as files
import pytest
import torch

from sgi.engine.generator import generator_sha256
from sgi.engine.generator.checkpoints import Unsupported, load, report

HARMLESS_TENSORFLOW = {
    "resolution_w": 16, "resolution_h": 16, "randomize_noise": False, "fused_modconv": False, "truncation_psi": 0.7,
    "truncation_cutoff": 4, "truncation_psi_val": None, "style_mixing_prob": None, "dlatent_avg_beta": 0.99,
    "num_fp16_res": 4, "fmap_decay": 1, "structure": "fixed", "normalize_latents": True,
    "resample_kernel": (1, 3, 3, 1), "is_training": False, "dtype": "float32", "synthesis_func": "G_synthesis",
}  # fmt: skip


def test_settings_of_tensorflow_without_effect_are_accepted(written, small):
    plain = load(written(files.tensorflow(small)))
    changed = files.tensorflow(small, lambda state, v: state["static_kwargs"].update(HARMLESS_TENSORFLOW))
    assert generator_sha256(load(written(changed))) == generator_sha256(plain)


@pytest.mark.parametrize("writer", ["rosinality", "basicsr", "flat"])
def test_a_dropped_label_embedding_is_refused(written, small, writer):
    """Tools that convert class-conditional networks copy the first layer, which reads z and the embedded label."""
    name = {"rosinality": "style.1.weight", "basicsr": "style_mlp.1.weight", "flat": "mapping.fc0.weight"}[writer]
    state = {
        "rosinality": files.rosinality_state, "basicsr": files.basicsr_state, "flat": files.nvidia_state_dict
    }[writer](small)  # fmt: skip
    state[name] = torch.cat([state[name], state[name]], dim=1)
    with pytest.raises(Unsupported, match="reads 24 numbers, w has 12: a class-conditional network that was converted"):
        load(written(files.saved({"g_ema": state})))


def test_the_rate_in_the_arguments_of_a_trainer_is_read(written, small):
    def change(content):
        content["args"].lr_mlp = 0.1

    path = written(files.rosinality_training(small, change=change))
    assert load(path).config.mapping_lr_multiplier == 0.1
    assert not any("learning-rate" in line for line in report(path)["assumed"])
