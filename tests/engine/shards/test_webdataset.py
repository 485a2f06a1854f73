"""webdataset shards, read by the library webdataset and by `datasets`."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_models import ALL_KINDS, SIDE

from sgi.engine import intrinsics
from sgi.engine.codes import pixels_of
from sgi.engine.seeds import parse_seeds
from sgi.engine.shards import SHARD_FORMATS
from sgi.engine.shards.shard_format import ShardSettings, stored
from sgi.engine.shards.webdataset import _header

FORM = SHARD_FORMATS["webdataset"]
KINDS = [intrinsics.get(kind) for kind in ALL_KINDS]
SEEDS = parse_seeds("7,40-42,123456789")
FACTS = {"psi": 0.7, "class_index": 3}


def values(count=len(SEEDS)):
    """Values of every type in its range, other ones for each seed."""
    random = np.random.default_rng(5)
    found = {}
    for kind in KINDS:
        value = random.uniform(kind.low, kind.high, (count, kind.channels, SIDE, SIDE))
        found[kind.name] = (np.rint(value) if kind.decoding == "palette" else value).astype(np.float32)
    return found


def write(path, dtype="codes", item="seed", maps=None):
    settings = ShardSettings(dtype, "none", item, SIDE, 6, FACTS)
    maps = maps or values()
    writer = FORM.open(path, KINDS, SEEDS, settings)
    for start in (0, 2, 4):
        part = SEEDS[start : start + 2]
        arrays = {kind.name: stored(kind, maps[kind.name][start : start + 2], dtype) for kind in KINDS}
        writer.write(writer.encode(part, arrays))
    writer.close()
    return settings, maps


def codes_in(data):
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture).reshape(SIDE, SIDE, -1)


def test_webdataset_reads_every_sample_with_all_types(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    _, maps = write(tmp_path / "shard-000000.tar")
    samples = list(webdataset.WebDataset(str(tmp_path / "shard-000000.tar"), shardshuffle=False).decode())
    assert [sample["__key__"] for sample in samples] == ["000007", "000040", "000041", "000042", "123456789"]
    for row, sample in enumerate(samples):
        about = sample["json"]
        assert (about["seed"], about["psi"], about["class_index"]) == (SEEDS[row], 0.7, 3)
        assert [intrinsics.Intrinsic.from_dict(kind) for kind in about["types"]] == KINDS
        names = {name for name in sample if not name.startswith("__")}
        assert names == {"json", *(f"{kind.name}.png" for kind in KINDS)}
        for kind in KINDS:
            expected = pixels_of(kind, maps[kind.name][row])
            np.testing.assert_array_equal(codes_in(sample[f"{kind.name}.png"]), expected, kind.name)


def test_webdataset_decodes_values_of_float_shards(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    for dtype in ("float16", "float32"):
        _, maps = write(tmp_path / f"{dtype}.tar", dtype)
        for row, sample in enumerate(
            webdataset.WebDataset(str(tmp_path / f"{dtype}.tar"), shardshuffle=False).decode()
        ):
            for kind in KINDS:
                found = sample[f"{kind.name}.npy"]
                assert found.dtype == dtype
                np.testing.assert_array_equal(found, maps[kind.name][row].astype(dtype))


def test_the_recipe_of_the_documentation_keeps_16_bits(tmp_path):
    """`pil` alone converts to 8-bit RGB."""
    webdataset = pytest.importorskip("webdataset")
    _, maps = write(tmp_path / "shard-000000.tar")
    samples = webdataset.WebDataset(str(tmp_path / "shard-{000000..000000}.tar"), shardshuffle=False).decode(
        webdataset.handle_extension("depth.png", lambda data: codes_in(data)[..., 0]), "pil"
    )
    sample = next(iter(samples))
    np.testing.assert_array_equal(sample["depth.png"], pixels_of("depth", maps["depth"][0])[..., 0])
    assert sample["image.png"].mode == "RGB"
    page = (Path(__file__).parents[3] / "docs" / "formats.md").read_text()
    assert 'wds.handle_extension("depth.png", codes), wds.handle_extension("shading.png", codes), "pil"' in page


def test_datasets_reads_a_column_of_pictures_for_each_type(tmp_path):
    datasets = pytest.importorskip("datasets")
    _, maps = write(tmp_path / "shard-000000.tar")
    rows = datasets.load_dataset(
        "webdataset", data_files=str(tmp_path / "*.tar"), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert [row["seed"] for row in rows["json"]] == list(SEEDS)
    for kind in KINDS:
        picture = rows[1][f"{kind.name}.png"]
        expected = pixels_of(kind, maps[kind.name][1])
        np.testing.assert_array_equal(np.asarray(picture).reshape(expected.shape), expected, kind.name)


def test_headers_have_no_times_and_owners_and_the_archive_is_whole_records(tmp_path):
    write(tmp_path / "a.tar", item="latent")
    data = (tmp_path / "a.tar").read_bytes()
    assert len(data) % tarfile.RECORDSIZE == 0
    with tarfile.open(tmp_path / "a.tar") as archive:
        members = archive.getmembers()
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode, m.type) for m in members} == {
        (0, 0, 0, "", "", 0o644, tarfile.REGTYPE)
    }
    assert data[257:265] == b"ustar\x0000"
    assert b'{"latent":7,' in data
    write(tmp_path / "b.tar", item="latent")
    assert (tmp_path / "b.tar").read_bytes() == data


@pytest.mark.parametrize("size", [0, 1, 511, 512, 12345678, 8 * 1024**3 - 1])
@pytest.mark.parametrize("name", ["0007.json", "4294967295.mask-" + "x" * 59 + ".png"])
def test_headers_are_those_of_tarfile(name, size):
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    assert _header(name.encode(), size) == member.tobuf(tarfile.USTAR_FORMAT)


def test_members_of_values_are_what_numpy_saves(tmp_path):
    _, maps = write(tmp_path / "shard.tar", "float32")
    with tarfile.open(tmp_path / "shard.tar") as archive:
        for kind in KINDS:
            saved = io.BytesIO()
            np.save(saved, maps[kind.name][3])
            member = archive.extractfile(f"000042.{kind.name}.npy")
            assert member is not None
            assert member.read() == saved.getvalue()


@pytest.mark.parametrize("dtype", ["codes", "float16", "float32"])
def test_a_seed_is_read_back(tmp_path, dtype):
    settings, maps = write(tmp_path / "shard.tar", dtype)
    found = FORM.read(tmp_path / "shard.tar", 41, KINDS, settings)
    assert list(found) == [kind.name for kind in KINDS]
    for kind in KINDS:
        np.testing.assert_array_equal(found[kind.name], stored(kind, maps[kind.name][2], dtype))
    with pytest.raises(KeyError):
        FORM.read(tmp_path / "shard.tar", 43, KINDS, settings)


def test_headers_are_read_once_and_again_for_a_new_file(tmp_path, monkeypatch):
    path = tmp_path / "shard.tar"
    settings, _ = write(path)
    parsed = []
    real = tarfile.TarInfo.frombuf

    def counted(*given):
        parsed.append(given)
        return real(*given)

    monkeypatch.setattr(tarfile.TarInfo, "frombuf", counted)
    for seed in (41, 7, 42, 40, 42, 123456789, 7):
        FORM.read(path, seed, KINDS, settings)
    assert len(parsed) < len(SEEDS) * (len(KINDS) + 1)  # the last one's JSON is not read
    maps = {name: stack[::-1].copy() for name, stack in values().items()}
    path.unlink()
    write(path, maps=maps)
    depth = next(kind for kind in KINDS if kind.name == "depth")
    found = FORM.read(path, 7, [depth], settings)["depth"]
    np.testing.assert_array_equal(found, stored(depth, maps["depth"][:1], "codes")[0])


def test_what_is_before_the_end_of_a_cut_shard_is_read(tmp_path):
    path = tmp_path / "shard.tar"
    settings, _ = write(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    FORM.read(path, 7, KINDS, settings)
    with pytest.raises((tarfile.TarError, KeyError)):
        FORM.read(path, 123456789, KINDS, settings)
    FORM.read(path, 7, KINDS, settings)
