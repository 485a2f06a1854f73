"""What stands under a model's name after a failed download is named by every reader, in one line."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from sgi.engine import bundle
from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.foreign_file import foreign
from sgi.engine.generator.checkpoints import load
from sgi.engine.inspect_file import inspect_file
from sgi.engine.offsets import Offset
from sgi.engine.pictures import read_picture
from sgi.engine.run import verify_folder

PNG = b"\x89PNG\r\n\x1a\n" + bytes(99)
FILES = {
    "a web page": (b"\n<!DOCTYPE html>\n<html><title>Sign in</title>", "a web page .HTML.*download the file itself"),
    "a web page without a type": (b"<html lang=en>", "a web page"),
    "an XML error": (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "an XML page"),
    "a pointer of LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "run `git lfs pull`"),
    "gzip": (gzip.compress(b"x"), "compressed by gzip: unpack it first, with `gunzip`"),
    "xz": (b"\xfd7zXZ\x00" + bytes(9), "compressed by xz"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(9), "compressed by zstd"),
    "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(9), "a 7z archive"),
    "RAR": (b"Rar!\x1a\x07\x00", "a RAR archive"),
    "tar": (bytes(257) + b"ustar\x0000" + bytes(500), "a tar archive"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(9), "an HDF5 file"),
    "a picture": (PNG, "a picture .PNG"),
    "nothing": (b"", "an empty file"),
    "zeros": (bytes(5000), "only zeros"),
    "JSON": (b'{"message": "Not Found"}', "a JSON text"),
    "text": (b"404: Not Found\x0a", "a text that begins with '404: Not Found'"),
    "text in UTF-8, cut within a letter": ("\N{EURO SIGN}".encode() * 3000, "a text that begins with"),
    "truncated safetensors": (save({})[:-1], "a truncated safetensors file"),
    "a safetensors header cut short": (struct.pack("<Q", 99999) + b'{"a":', "a truncated safetensors file"),
}
READERS: dict[str, Callable[[Path], object]] = {
    "network.pkl": load,
    "generator.safetensors": load,
    "offset.safetensors": Offset.load,
    "model.onnx": Artifact.read,
    "x.pkl": inspect_file,
    "x.safetensors": inspect_file,
    "x.onnx": inspect_file,
    "x.bin": inspect_file,
}


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.zeros(2))
    return file.getvalue()


def ours(kind: str) -> bytes:
    return save({"x": np.zeros(2)}, {f"sgi_{kind}": '{"format": 1}'})


# Files of other kinds, as `numpy.save`, `savez`, `torch.save`, `pickle.dumps` and this project write them.
OTHER_KINDS: dict[str, tuple[Callable[[], bytes], str]] = {
    "an array": (
        lambda: encoded(lambda file, value: np.save(file, np.asarray(value)), np.zeros((1, 4, 4))),
        "a NumPy array .*such as a map of `sgi-engine run`",
    ),
    "arrays": (npz, "an .npz archive of NumPy"),
    "JSON of ours": (lambda: b'{"format": 1, "seeds": "0-3", "psi": 1}', "a JSON text with format, seeds, psi"),
    "a picture": (lambda: PNG, "a picture .PNG"),
    "an offset": (lambda: ours("offset"), "an offset file of sgi-engine"),
    "a generator": (lambda: ours("generator"), "a generator file of sgi-engine"),
    "latents": (lambda: ours("latents"), "a file of w. that `sgi-engine invert` wrote"),
    "baselines": (lambda: ours("baselines"), "a file of baselines that a fit of sgi-engine wrote"),
    "other safetensors": (lambda: save({"x": np.zeros(2)}), "a safetensors file of another program|a dict of x"),
    "a torch file": (
        lambda: encoded(lambda file, value: torch.save(value, file), {"x": 1}),
        "a .pt file of PyTorch|of x",
    ),
    "a pickle": (lambda: pickle.dumps({"x": 1}), "a pickle, as .pkl files|a dict of x"),
    "an exported model": (lambda: bundle.MODEL.read_bytes(), "an exported model of sgi-engine"),
}
SLOTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a checkpoint": ("network.pkl", load, "use a StyleGAN2 checkpoint"),
    "an offset": ("offset.safetensors", Offset.load, "make one with `sgi-engine train`"),
    "a model": ("model.pt", Artifact.read, "make one with `sgi-engine export`"),
    "a picture": ("photo.png", read_picture, "use a PNG or JPEG file"),
}


def encoded(write: Callable[[io.BytesIO, object], object], value: object) -> bytes:
    file = io.BytesIO()
    write(file, value)
    return file.getvalue()


@pytest.mark.parametrize("slot", SLOTS)
@pytest.mark.parametrize("case", OTHER_KINDS)
def test_a_file_of_another_kind_is_named_with_what_to_do(tmp_path, case, slot):
    (make, what), (name, read, remedy) = OTHER_KINDS[case], SLOTS[slot]
    if (case, slot) in {("an offset", "an offset"), ("a generator", "a checkpoint"), ("a picture", "a picture")}:
        pytest.skip("it belongs there")
    (tmp_path / name).write_bytes(make())
    with pytest.raises(UserError, match=f"{name}: .*({what}).*{remedy}"):
        read(tmp_path / name)


def test_a_folder_and_a_file_in_place_of_each_other(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    for read in (load, Offset.load, Artifact.read):
        with pytest.raises(UserError, match="a folder of maps that `sgi-engine run` wrote; "):
            read(tmp_path)
    with pytest.raises(UserError, match="it is no folder but a JSON text; name a folder that `sgi-engine run` wrote"):
        verify_folder(tmp_path / "run.json")


@pytest.mark.parametrize("case", FILES)
def test_every_reader_names_the_file(tmp_path, case):
    data, message = FILES[case]
    for name, read in READERS.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(UserError, match=f"{name}: .*{message}") as caught:
            read(path)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("data", [b"\x00\x01\x02\xff" * 99, b"\x08\x0a"])
def test_other_bytes_are_not_named(tmp_path, data):
    (tmp_path / "x").write_bytes(data)
    assert foreign(tmp_path / "x") is None


def test_paths_that_cannot_be_read(tmp_path):
    assert foreign(tmp_path / "missing") is None
    assert foreign(tmp_path) is None
    (tmp_path / "data.pkl").write_bytes(b"")
    assert str(foreign(tmp_path)).startswith("a folder, an unpacked .pt file")
    with pytest.raises(UserError, match="it is a folder, an unpacked .pt file"):
        load(tmp_path)
    with pytest.raises(UserError, match="a folder, an unpacked .pt file"):
        inspect_file(tmp_path)
