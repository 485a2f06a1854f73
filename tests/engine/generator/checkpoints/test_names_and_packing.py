"""The same network under other keys and prefixes, saved whole, and in archives that people changed."""

from __future__ import annotations

import io
import zipfile

import checkpoint_files as files
import pytest
import torch

from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256
from sgi.engine.generator.checkpoints import Unsupported, load, report

STATES = {
    "rosinality": files.rosinality_state,
    "basicsr": files.basicsr_state,
    "flat": files.nvidia_state_dict,
}
KEYS = (
    "G",
    "G_ema",
    "g",
    "g_ema",
    "generator",
    "model",
    "netG",
    "net_g_ema",
    "params",
    "params_ema",
    "state_dict",
    "gan",
)


def same(loaded, generator):
    """Whether all tensors but the mean of w, which most formats lack, are those of the generator."""
    expected = generator.state_dict()
    found = loaded.state_dict()
    return all(torch.equal(found[name], tensor) for name, tensor in expected.items() if name != "mapping.w_avg")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("kind", STATES)
def test_keys(written, small, kind, key):
    path = written(files.saved({"iteration": 3, key: STATES[kind](small), "optimizer": {"state": {}}}))
    assert same(load(path), small)
    assert report(path)["not_imported"][:2] == ["iteration", "optimizer"]


@pytest.mark.parametrize(
    "prefix", ["module.", "generator.", "module.generator.", "G.", "g_ema.", "netG.module.", "_orig_mod.", "model."]
)
@pytest.mark.parametrize("kind", STATES)
def test_prefixes(written, small, kind, prefix):
    """module: torch's DataParallel; _orig_mod: torch.compile."""
    state = {f"{prefix}{name}": tensor for name, tensor in STATES[kind](small).items()}
    other = {"discriminator.convs.0.0.weight": torch.zeros(1)}
    assert same(load(written(files.saved(state))), small)
    assert same(load(written(files.saved({"state_dict": state | other}))), small)


def test_a_dict_within_dicts(written, small):
    path = written(files.saved({"models": {"gan": {"netG": files.rosinality_state(small)}, "epoch": 3}}))
    assert same(load(path), small)


class Holder(torch.nn.Module):
    """A module of a user's code that is saved whole, with tensors by the names of a state dict."""

    def __init__(self, state):
        super().__init__()
        for name, tensor in state.items():
            *path, last = name.split(".")
            module: torch.nn.Module = self
            for part in path:
                if part not in module._modules:
                    module.add_module(part, torch.nn.Module())
                module = module.get_submodule(part)
            if "noise_" in last or last in ("kernel", "w_avg", "resample_filter"):
                module.register_buffer(last, tensor)
            else:
                module.register_parameter(last, torch.nn.Parameter(tensor))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", STATES)
def test_modules_that_were_saved_whole(written, small, kind, zipped):
    """torch.save(generator); the older format also contains the source code of every class."""
    module = Holder(STATES[kind](small))
    for content in (module, {"G": module, "step": 1}, torch.nn.DataParallel(module)):
        assert same(load(written(files.saved(content, zipped))), small)


@pytest.mark.parametrize("zipped", [True, False])
def test_nvidia_networks_that_were_saved_whole(written, small, zipped):
    network = files.nvidia_object(files.nvidia_states(small))
    wrapped = torch.nn.DataParallel(torch.nn.Identity())
    wrapped._modules["module"] = network  # type: ignore[assignment]
    for content in (network, {"G": network, "D": files.Persistent("Discriminator", {})}, {"netG": wrapped}):
        assert generator_sha256(load(written(files.saved_nvidia(content, zipped)))) == generator_sha256(small)


def test_the_averaged_generator_is_read(written, small):
    state = files.rosinality_state(small)
    other = {name: tensor + 1 for name, tensor in state.items()}
    for content in ({"netG": other, "netG_ema": state}, {"params": other, "params_ema": state}):
        assert same(load(written(files.saved(content))), small)


def test_several_generators_without_an_average_are_refused(written, small):
    state = files.rosinality_state(small)
    with pytest.raises(Unsupported, match=r"it contains several generators \(a, b\); save one of them alone"):
        load(written(files.saved({"a": state, "b": state | {"latent_avg": torch.zeros(12)}})))
    networks = {name: files.nvidia_object(files.nvidia_states(small)) for name in ("one", "two")}
    with pytest.raises(Unsupported, match=r"it contains several generators \(one, two\)"):
        load(written(files.saved_nvidia(networks)))


def test_bytes_after_the_end_of_an_archive(written, small):
    data = files.rosinality(small)
    for tail in (b"\n", b"x" * 65_000, bytes(99)):
        assert generator_sha256(load(written(data + tail))) == generator_sha256(small)
    with pytest.raises(UserError, match="zip: truncated: download it again"):
        load(written(data[: len(data) // 2]))


def repacked(data, compression):
    """The archive after somebody unpacked it and packed it again."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return buffer.getvalue()


def test_an_archive_that_was_packed_again(written, small):
    data = files.rosinality(small)
    assert generator_sha256(load(written(repacked(data, zipfile.ZIP_STORED)))) == generator_sha256(small)
    with pytest.raises(UserError, match="packed again with compression; pack it with `zip -0 -r`"):
        load(written(repacked(data, zipfile.ZIP_DEFLATED)))


def test_the_pickle_of_an_unpacked_archive(written, small):
    archive = zipfile.ZipFile(io.BytesIO(files.rosinality(small)))
    pickled = next(archive.read(name) for name in archive.namelist() if name.endswith("/data.pkl"))
    with pytest.raises(UserError, match="the data.pkl of an unpacked .pt file.*use the .pt file"):
        load(written(pickled))


def test_torchscript(written):
    """torch.jit compresses the source code in its archives."""
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), buffer)
    with pytest.raises(UserError, match="a TorchScript program; only weights are read: save `generator.state_dict"):
        load(written(buffer.getvalue()))
    assert zipfile.ZIP_DEFLATED in {entry.compress_type for entry in zipfile.ZipFile(buffer).infolist()}


def test_an_archive_of_numpy(written):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", b"")
    with pytest.raises(UserError, match="an .npz archive of NumPy that torch did not write"):
        load(written(buffer.getvalue()))


@pytest.mark.parametrize("zipped", [True, False])
def test_buffers_that_a_state_dict_does_not_contain(written, small, zipped):
    module = Holder(files.rosinality_state(small))
    module.register_buffer("cache", torch.zeros(1), persistent=False)
    assert same(load(written(files.saved(module, zipped))), small)
