"""Files of latents: containers, dtypes, kinds, and what is refused."""

from __future__ import annotations

import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from sgi.engine.errors import UserError
from sgi.engine.latents_file import FILE, LatentsHeader, LatentSizes, read_latents

SIZES = LatentSizes(8, 12, 6, ("z", "w", "w+"), "a" * 64)
EQUAL = LatentSizes(12, 12, 6, ("z", "w", "w+"), "a" * 64)
RANDOM = np.random.RandomState(0)
Z, W, WS = (RANDOM.randn(*shape).astype(np.float32) for shape in ((5, 8), (5, 12), (5, 6, 12)))


def npy(path, array):
    np.save(path, array)
    return path


def npz(path, **arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(("array", "kind"), [(Z, "z"), (W, "w"), (WS, "w+")])
def test_the_shape_tells_the_kind(tmp_path, array, kind):
    found = read_latents([npy(tmp_path / "a.npy", array)], SIZES)
    assert (found.kind, found.rows.dtype, found.files) == (kind, np.float32, (("a.npy", 5),))
    np.testing.assert_array_equal(found.rows, array)


@pytest.mark.parametrize("array", [Z[0], W[0], WS[0]])
def test_one_latent_needs_no_axis_for_the_number(tmp_path, array):
    sizes = LatentSizes(8, 12, 6, ("z", "w", "w+") if array.ndim == 1 else ("w+",), "a" * 64)
    np.testing.assert_array_equal(read_latents([npy(tmp_path / "a.npy", array)], sizes).rows, array[None])


def test_the_file_of_nvidias_projector(tmp_path):
    """projector.py of stylegan2-ada-pytorch: `np.savez(.../projected_w.npz, w=projected_w.unsqueeze(0))`."""
    path = npz(tmp_path / "projected_w.npz", w=WS[:1])
    found = read_latents([path], EQUAL)
    assert found.kind == "w+"
    np.testing.assert_array_equal(found.rows, WS[:1])


@pytest.mark.parametrize(
    ("arrays", "kind"),
    [({"z": W}, "z"), ({"w": W}, "w"), ({"ws": WS}, "w+"), ({"latents": WS}, "w+"), ({"x": WS}, "w+")],
)
def test_the_name_of_an_array_tells_the_kind(tmp_path, arrays, kind):
    assert read_latents([npz(tmp_path / "a.npz", **arrays)], EQUAL).kind == kind


@pytest.mark.parametrize("kind", ["z", "w"])
def test_the_kind_chooses_where_both_fit(tmp_path, kind):
    both = npz(tmp_path / "both.npz", z=W, w=-W)
    np.testing.assert_array_equal(read_latents([both], EQUAL, kind).rows, W if kind == "z" else -W)
    found = read_latents([npy(tmp_path / "a.npy", W)], EQUAL, kind)
    assert found.kind == kind
    one = LatentSizes(12, 12, 5, ("z", "w", "w+"), "a" * 64)
    assert read_latents([npy(tmp_path / "a.npy", W)], one, "w+").rows.shape == (1, 5, 12)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", "i4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_dtypes_and_orders(tmp_path, dtype, order):
    array = np.array(10 * WS, dtype, order=order)
    found = read_latents([npy(tmp_path / "a.npy", array)], SIZES)
    assert found.rows.dtype == np.float32
    assert found.rows.flags.c_contiguous
    np.testing.assert_array_equal(found.rows, array.astype(np.float32))


def test_several_files_are_rows_of_one_list(tmp_path):
    paths = [npy(tmp_path / "a.npy", WS[:2]), npz(tmp_path / "b.npz", w=WS[2:].astype(np.float64))]
    found = read_latents(paths, SIZES)
    assert found.files == (("a.npy", 2), ("b.npz", 3))
    np.testing.assert_array_equal(found.rows, WS)
    assert found.sha256 == read_latents([npy(tmp_path / "all.npy", WS)], SIZES).sha256
    assert found.sha256 != read_latents([npy(tmp_path / "all.npy", WS[::-1])], SIZES).sha256


def inverted(path, ws=WS[0], generator="a" * 64):
    FILE.write(path, {"ws": ws}, LatentsHeader(generator, "none", 30.0, "x.png"))
    return path


def test_the_file_of_invert(tmp_path):
    found = read_latents([inverted(tmp_path / f"{name}_ws.safetensors") for name in "ab"], EQUAL)
    assert (found.kind, found.rows.shape) == ("w+", (2, 6, 12))
    with pytest.raises(UserError, match="its latents belong to generator bbbbbbbbbbbb, and the model to aaaaaaaaaaaa"):
        read_latents([inverted(tmp_path / "c.safetensors", generator="b" * 64)], SIZES)


def test_latents_found_with_other_noise_are_a_warning(tmp_path, recwarn):
    path = inverted(tmp_path / "a_ws.safetensors")
    read_latents([path], replace(SIZES, noise_mode="none"))
    assert not recwarn
    with pytest.warns(
        UserWarning, match="found with noise none, and the model has const: the image will not be the inv"
    ):
        read_latents([path], replace(SIZES, noise_mode="const"))


def refused(paths, match, sizes=SIZES, kind=None):
    with pytest.raises(UserError, match=match):
        read_latents(paths if isinstance(paths, list) else [paths], sizes, kind)


def test_shapes_that_do_not_fit(tmp_path):
    path = npy(tmp_path / "a.npy", WS[..., :7])
    refused(path, r"its array \[5, 6, 7\] does not fit: the model needs z \[N, 8\] or w \[N, 12\] or w\+ \[N, 6, 12\]")
    path = npz(tmp_path / "a.npz", w=WS[:1])
    refused(path, r"its array \[1, 6, 12\], by its name w or w\+, does not fit: the model needs w \[N, 12\]", kind="w")
    refused(path, r"the name of an array of z is z or latents", kind="z")
    refused(npz(tmp_path / "b.npz", ws=W), r"its array \[5, 12\], by its name w\+, does not fit")
    refused(npy(tmp_path / "c.npy", np.float32(1)), r"its array \[\] does not fit")
    only = LatentSizes(8, 12, 6, ("w",), "a" * 64)
    refused(npy(tmp_path / "a.npy", WS), r"the model needs w \[N, 12\]", only)
    refused(
        npy(tmp_path / "a.npy", Z),
        r"`latents_kind=z`: the model takes w \[N, 12\]; make one with `sgi-engine export --input z`",
        only,
        "z",
    )


def test_kinds_that_are_not_clear(tmp_path):
    refused(npy(tmp_path / "a.npy", W), r"its array \[5, 12\] can be z or w; say which with `latents_kind`", EQUAL)
    refused(npy(tmp_path / "a.npy", WS[0]), r"can be w or w\+; say which with `latents_kind`")
    refused(npz(tmp_path / "a.npz", z=Z, w=W), r"it has several arrays of latents \(z, w\)")
    refused(
        npz(tmp_path / "a.npz", a=Z, b=W), r"its arrays are a, b; the name of an array of latents is z or w or ws or"
    )
    refused([npy(tmp_path / "a.npy", Z), npy(tmp_path / "b.npy", W)], "its latents are w, those before it z; run them")
    refused(tmp_path / "a.npy", "`latents_kind=x`: choose from z, w, w\\+", kind="x")
    refused([], "`latents` is empty")


def test_values_that_are_no_latents(tmp_path):
    for value in (np.nan, np.inf, 1e39):
        array = WS.astype(np.float64)
        array[3, 2, 1] = value
        refused(npy(tmp_path / "a.npy", array), "latent 3 contains values that are not finite in float32")
    refused(npy(tmp_path / "a.npy", WS[:0]), r"its array \[0, 6, 12\] has no latents")
    refused(npy(tmp_path / "a.npy", WS > 0), "it has values of the type bool")
    refused(npy(tmp_path / "a.npy", WS + 0j), "an array of something else than plain numbers")
    refused(npz(tmp_path / "a.npz"), "its arrays are none")


def test_pickles_are_not_read(tmp_path):
    array = np.empty(3, object)
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    refused(tmp_path / "a.npy", "an array of something else than plain numbers")
    np.savez(tmp_path / "a.npz", w=array)
    refused(tmp_path / "a.npz", "an array of something else than plain numbers")
    for name in ("a.pt", "a.pkl"):
        (tmp_path / name).write_bytes(pickle.dumps({}))
        refused(tmp_path / name, r"a file of PyTorch: write its tensor with `numpy.save\('latents.npy', tensor.cpu")


def test_damaged_files(tmp_path):
    data = npy(tmp_path / "a.npy", WS).read_bytes()
    packed = npz(tmp_path / "a.npz", w=WS).read_bytes()
    for cut in (0, 5, 60, len(data) - 1):
        (tmp_path / "cut.npy").write_bytes(data[:cut])
        reason = ".*; copy it again, or write an array" if cut else "an empty file: download or copy it again$"
        refused(tmp_path / "cut.npy", f"not a readable file of latents: {reason}")
    for cut in (0, 5, len(packed) // 2, len(packed) - 1):
        (tmp_path / "cut.npz").write_bytes(packed[:cut])
        refused(tmp_path / "cut.npz", "not a readable file of latents: ")
    (tmp_path / "web.npy").write_text("<html>not found</html>")
    refused(tmp_path / "web.npy", r"a web page")
    refused(tmp_path / "none.npy", "no such file")
    (tmp_path / "folder.npy").mkdir()
    refused(tmp_path / "folder.npy", "cannot be read")
    (tmp_path / "a.txt").write_text("1 2 3")
    refused(tmp_path / "a.txt", r"\.npz, \.npy and \.safetensors files are read: write an array of numbers with")


def test_arrays_much_larger_than_the_file_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", npy(tmp_path / "zeros.npy", np.zeros(9 << 20)).read_bytes())
    refused(tmp_path / "bomb.npz", "its arrays are much larger than the file")
