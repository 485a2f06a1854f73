"""`bundle` end to end with tiny budgets: it writes every file of the bundle and a card."""

from __future__ import annotations

import json

import pytest

from sgi.cli import bundle as module
from sgi.cli import main
from sgi.engine import bundle
from sgi.engine.bundle import contents
from sgi.trainer.gan import quality


@pytest.fixture(autouse=True)
def tiny_budgets(monkeypatch):
    monkeypatch.setattr(module, "FITS", dict.fromkeys(module.FITS, (2, 16)))
    monkeypatch.setattr(quality, "HELD_OUT_ROOMS", 64)


def test_bundle_writes_every_file(tmp_path, capsys):
    flags = ["--workdir", tmp_path / "work", "--out", tmp_path / "bundle", "--teacher", bundle.TEACHER]
    assert main(["bundle", "--preset", "tiny", "--threads", "1", *map(str, flags)]) == 0
    manifest = json.loads((tmp_path / "bundle" / contents.MANIFEST).read_text())
    assert manifest.keys() == json.loads((bundle.FOLDER / contents.MANIFEST).read_text()).keys()
    header = contents.header(tmp_path / "bundle" / "rooms.safetensors", "sgi_generator")
    assert header["notes"]["quality"]["images"] == 32
    card = (tmp_path / "bundle" / contents.CARD).read_text()
    assert "A StyleGAN2 of 16 px" in card
    assert f"wrote {tmp_path / 'bundle'}" in capsys.readouterr().out.replace("\n", "")
