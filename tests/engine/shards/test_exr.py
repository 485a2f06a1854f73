"""exr shards, read by OpenEXR."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from shard_cases import KINDS, SEEDS, SIDE, random_maps, settings_for, write_shard

from sgi.engine import intrinsics
from sgi.engine.decoding import srgb_decode
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.shards.exr_format import Exr, channel_names

OpenEXR = pytest.importorskip("OpenEXR")
FORM = Exr()


@pytest.mark.parametrize("compression", FORM.compressions)
@pytest.mark.parametrize("dtype", FORM.dtypes)
def test_layers_have_the_names_of_renderers(tmp_path, dtype, compression):
    maps = random_maps(dtype, len(SEEDS))
    path = write_shard(FORM, tmp_path / "s", settings_for(FORM, dtype=dtype, compression=compression), maps)
    assert sorted(file.name for file in path.iterdir()) == sorted(f"seed{seed:06d}.exr" for seed in SEEDS)
    file = OpenEXR.File(str(path / "seed4294967295.exr"), separate_channels=True)
    assert file.header()["compression"].name == f"{'no' if compression == 'none' else compression}_compression".upper()
    channels = file.channels()
    assert set(channels) == {name for kind in KINDS for name in channel_names(kind)}
    assert {"R", "depth.Z", "normal.X", "albedo.G", "shading.Y", "segmentation.ID", "mask-bed.Y"} <= set(channels)
    for kind in KINDS:
        planes = np.stack([channels[name].pixels for name in channel_names(kind)])
        is_index = kind.decoding == "palette"
        assert planes.dtype == ("uint32" if is_index else dtype)
        assert planes.shape == (kind.channels, SIDE, SIDE)
        wanted = maps[kind.name][5].astype(np.float32)
        if kind.name == "image":
            wanted = srgb_decode(wanted).astype(dtype)
        if compression != "dwaa" or is_index or kind.name == "depth":
            np.testing.assert_array_equal(planes, wanted.astype(planes.dtype), err_msg=kind.name)


def test_programs_that_read_layers_find_them(tmp_path):
    maps = random_maps("float16", len(SEEDS), KINDS[:5])
    path = write_shard(FORM, tmp_path / "s", settings_for(FORM), maps, kinds=KINDS[:5])
    channels = OpenEXR.File(str(path / "seed000003.exr")).channels()
    np.testing.assert_array_equal(channels["albedo"].pixels, np.moveaxis(maps["albedo"][0], 0, -1))
    assert channels["RGB"].pixels.shape == (SIDE, SIDE, 3)


def test_attributes_describe_the_types(tmp_path):
    path = write_shard(FORM, tmp_path / "s", settings_for(FORM), random_maps("float16", len(SEEDS)))
    header = OpenEXR.File(str(path / "seed000004.exr"), header_only=True).header()
    assert (header["seed"], header["class_index"], header["mix_rows"]) == ("4", "3", "2-3")
    assert header["psi"] == np.float32(0.7)
    about = json.loads(header["sgi_engine"])
    assert (about["format"], about["item"], about["dtype"], about["psi"]) == (1, "seed", "float16", 0.7)
    encodings = {kind["name"]: kind.pop("encoding") for kind in about["types"]}
    assert [Intrinsic.from_dict(kind) for kind in about["types"]] == list(KINDS)
    assert encodings["image"].startswith("channels R, G, B: value = the sRGB transfer function")
    assert encodings["depth"] == "channels depth.Z: the values"
    assert encodings["segmentation"] == "channel segmentation.ID: the index of the class in `classes`"


@pytest.mark.parametrize(("channels", "names"), [(1, ["Y"]), (4, ["A", "B", "G", "R"])])
def test_pictures_of_other_channels(tmp_path, channels, names):
    kinds = [intrinsics.image_of(channels)]
    settings, maps = settings_for(FORM, dtype="float32"), random_maps("float32", len(SEEDS), kinds)
    path = write_shard(FORM, tmp_path / "s", settings, maps, kinds=kinds)
    found = OpenEXR.File(str(path / "seed000003.exr"), separate_channels=True).channels()
    assert sorted(found) == names
    if channels == 4:
        np.testing.assert_array_equal(found["A"].pixels, maps["image"][0, 3])
    back = FORM.read(path, 3, kinds, settings)["image"]
    np.testing.assert_allclose(back, maps["image"][0], atol=float(2 * np.finfo(np.float32).eps))


def test_a_failed_write_is_an_error_of_the_disk(tmp_path):
    writer = FORM.open(tmp_path / "s", KINDS, SEEDS, settings_for(FORM))
    shutil.rmtree(tmp_path / "s")
    with pytest.raises(OSError, match="No such file"):
        writer.encode(list(SEEDS), random_maps("float16", len(SEEDS)))
