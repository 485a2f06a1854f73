"""What every shard format does: reads back what it wrote, writes the same bytes, and names what it lacks."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from shard_cases import (
    KINDS,
    PACKAGES,
    SEEDS,
    contents,
    random_maps,
    settings_for,
    skip_without_package,
    write_shard,
)

from sgi.engine.errors import UserError
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.shards import SHARD_FORMATS
from sgi.engine.shards.shard_format import check_settings

CASES = [(form, dtype) for form in SHARD_FORMATS.values() for dtype in form.dtypes]
LOSSY = {("exr", "dwaa")}


def case_name(value: object) -> str:
    return value if isinstance(value, str) else value.name  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _needs_package(request):
    form = request.node.callspec.params.get("form") if hasattr(request.node, "callspec") else None
    if form is not None:
        skip_without_package(form.name)


@pytest.mark.parametrize(("form", "dtype"), CASES, ids=case_name)
def test_seeds_read_back(form, dtype, tmp_path):
    for compression in form.compressions:
        settings = settings_for(form, dtype=dtype, compression=compression)
        maps = random_maps(dtype, len(SEEDS))
        path = write_shard(form, tmp_path / f"{compression}{form.suffix}", settings, maps)
        for row in (0, 5, len(SEEDS) - 1):
            found = form.read(path, SEEDS[row], KINDS, settings)
            assert list(found) == [kind.name for kind in KINDS]
            for kind in KINDS:
                wanted = maps[kind.name][row]
                assert found[kind.name].dtype == wanted.dtype, kind.name
                assert found[kind.name].shape == wanted.shape, kind.name
                if (form.name, compression) not in LOSSY:
                    assert_equal(form, kind, found[kind.name], wanted)
        assert list(form.read(path, 5, KINDS[1:2], settings)) == [KINDS[1].name]
        with pytest.raises(KeyError):
            form.read(path, 99, KINDS, settings)


def assert_equal(form, kind: Intrinsic, found: np.ndarray, wanted: np.ndarray) -> None:
    if form.name == "exr" and kind.name == "image":  # linear in the file
        np.testing.assert_allclose(found, wanted, rtol=0, atol=2 * float(np.finfo(wanted.dtype).eps))
    else:
        np.testing.assert_array_equal(found, wanted, err_msg=kind.name)


@pytest.mark.parametrize("form", SHARD_FORMATS.values(), ids=case_name)
def test_bytes_depend_on_settings_and_maps_only(form, tmp_path):
    settings = settings_for(form, item="latent", digits=4)
    maps = random_maps(settings.dtype, len(SEEDS))
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder, batch in zip(folders, (4, 3), strict=True):
        folder.mkdir()
        write_shard(form, folder / f"shard{form.suffix}", settings, maps, batch=batch)
    one, other = (contents(folder / f"shard{form.suffix}") for folder in folders)
    assert one == other
    assert form.read(folders[0] / f"shard{form.suffix}", 5, KINDS, settings).keys() == maps.keys()


@pytest.mark.parametrize("form", SHARD_FORMATS.values(), ids=case_name)
def test_other_settings_are_refused_by_name(form):
    for name in ("dtype", "compression"):
        with pytest.raises(
            UserError, match=rf"`{name}=float8`: format {form.name} has .*{getattr(form, name + 's')[0]}"
        ):
            check_settings(form, KINDS, settings_for(form, **{name: "float8"}))


@pytest.mark.parametrize("form", [SHARD_FORMATS[name] for name in PACKAGES], ids=case_name)
def test_a_missing_package_names_its_extra(form, monkeypatch):
    monkeypatch.setitem(sys.modules, PACKAGES[form.name], None)
    message = rf'the format {form.name} needs .*{PACKAGES[form.name]}.*pip install "sgi-engine[{form.extra}]"'
    with pytest.raises(UserError, match=message.replace("[", r"\[").replace("]", r"\]")):
        check_settings(form, KINDS, settings_for(form))


def test_a_type_with_the_name_of_a_column_is_refused(tmp_path):
    kind = Intrinsic("seed", 1, 0.0, 1.0, "identity", "number of seeds in a fruit")
    for form in (SHARD_FORMATS["parquet"], SHARD_FORMATS["zarr"]):
        skip_without_package(form.name)
        with pytest.raises(UserError, match=f"`types=seed`: format {form.name} has its own seed"):
            form.open(tmp_path / form.name, [kind], SEEDS, settings_for(form))
        assert not (tmp_path / form.name).exists()
