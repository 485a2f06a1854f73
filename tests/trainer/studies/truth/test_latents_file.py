"""The w+ file: what is written is read, and files of earlier versions too."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from sgi.engine.errors import UserError
from sgi.trainer.studies.truth.latents_file import Latents

WS = torch.arange(12.0).reshape(3, 4)


def test_latents_round_trip(tmp_path):
    latents = Latents(WS, "ab" * 32, "const", 21.5, "photo.jpg", {"steps": 3, "lr": 0.1})
    latents.save(tmp_path / "ws.safetensors")
    again = Latents.load(tmp_path / "ws.safetensors")
    assert torch.equal(again.ws, WS)
    assert (again.generator_sha256, again.noise_mode, again.psnr) == ("ab" * 32, "const", 21.5)
    assert (again.picture, again.settings) == ("photo.jpg", {"steps": 3, "lr": 0.1})


def write_by_hand(path, header, tensors):
    """A file as the first version wrote it."""
    save_file(tensors, path, metadata={"sgi_latents": json.dumps(header, sort_keys=True)})


def test_file_of_the_first_version_is_read(tmp_path):
    header = {"generator_sha256": "ab", "noise_mode": "none", "psnr": 20, "picture": "a.png", "settings": {"rows": 0.3}}
    write_by_hand(tmp_path / "old.safetensors", header | {"format": 1}, {"ws": WS})
    latents = Latents.load(tmp_path / "old.safetensors")
    assert (latents.psnr, latents.settings) == (20, {"rows": 0.3})


@pytest.mark.parametrize(
    ("header", "tensors", "message"),
    [
        ({"format": 2}, {"ws": WS}, "format 2"),
        ({"format": 1}, {"ws": WS}, "damaged header"),
        (
            {"format": 1, "generator_sha256": "", "noise_mode": "none", "psnr": 1.0, "picture": ""},
            {"w": WS},
            "no tensor ws",
        ),
    ],
)
def test_other_files_are_refused(tmp_path, header, tensors, message):
    write_by_hand(tmp_path / "bad.safetensors", header, tensors)
    with pytest.raises(UserError, match=message):
        Latents.load(tmp_path / "bad.safetensors")
