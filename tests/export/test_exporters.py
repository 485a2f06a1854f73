"""`export_model` from Python, the table of exporters, and exporters of other packages."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import fields

import numpy as np
import pytest
from recorded_progress import RecordedProgress

from sgi.engine.artifact import Artifact
from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256, save_generator
from sgi.engine.offsets import Offset
from sgi.export import export_model
from sgi.export.exporter import Exported, Exporter, NoSettings
from sgi.export.exporters import EXPORTERS, exporter_names, get_exporter

PACKAGE = """
from dataclasses import dataclass

from sgi.export.exporter import Exported


@dataclass(frozen=True)
class Settings:
    copies: int = 1


class Copies:
    suffixes = (".copies",)
    settings = Settings

    def check(self, settings):
        pass

    def write(self, source, out, settings, progress):
        artifact = source.write_onnx(out.with_suffix(".onnx"))
        out.write_bytes(out.with_suffix(".onnx").read_bytes() * settings.copies)
        return Exported(out, artifact, f"{settings.copies} copies")
"""
ENTRY_POINTS = """
[sgi_engine.exporters]
copies = copies_exporter:Copies
broken = copies_exporter:Settings
"""


@pytest.fixture
def depth(tiny_generator):
    rows = np.random.RandomState(0).randn(tiny_generator.config.num_ws, 12).astype(np.float32)
    return Offset("depth", "w+", {"offset": rows}, generator_sha256(tiny_generator), psi=0.7, noise_mode="none")


@pytest.fixture
def plugin(tmp_path, monkeypatch) -> Iterator[None]:
    """An installed package with exporters, in the form that pip installs."""
    site = tmp_path / "site"
    (site / "copies-1.0.dist-info").mkdir(parents=True)
    (site / "copies_exporter.py").write_text(PACKAGE)
    (site / "copies-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: copies\nVersion: 1.0\n")
    (site / "copies-1.0.dist-info/entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(site)
    yield
    sys.modules.pop("copies_exporter", None)


@pytest.mark.parametrize("as_files", [True, False], ids=["files", "objects"])
def test_export_from_files_and_from_objects(tiny_generator, depth, tmp_path, as_files):
    generator, offset = tiny_generator, depth
    if as_files:
        generator, offset = tmp_path / "generator.safetensors", tmp_path / "depth.safetensors"
        save_generator(generator, tiny_generator)
        depth.save(offset)
    exported = export_model(generator=generator, offsets=[offset], types=["image", "depth"], out=tmp_path / "maps.onnx")
    assert exported.path == tmp_path / "maps.onnx"
    assert exported.artifact == Artifact.read(exported.path)
    assert exported.artifact.type_names == ("image", "depth")
    assert (exported.artifact.psi, exported.artifact.noise_mode) == (0.7, "none")


def test_default_names(tiny_generator, depth, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert export_model(generator=tiny_generator, offsets=[depth]).path.name == "depth.onnx"
    assert export_model(generator=tiny_generator, offsets=[depth], types=["all"]).path.name == "maps.onnx"


class TwoDots:
    """An exporter whose suffix has two dots."""

    suffixes = (".maps.onnx",)
    settings = NoSettings

    def check(self, settings):
        pass

    def write(self, source, out, settings, progress):
        return Exported(out, source.write_onnx(out))


def test_a_suffix_may_have_two_dots(tiny_generator, depth, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(EXPORTERS, "two-dots", TwoDots())
    assert (
        export_model(generator=tiny_generator, offsets=[depth], file_format="two-dots").path.name == "depth.maps.onnx"
    )
    for name in ("depth.onnx", ".maps.onnx"):
        with pytest.raises(UserError, match=rf"`out={name}`: the name must end in .maps.onnx"):
            export_model(generator=tiny_generator, offsets=[depth], file_format="two-dots", out=name)


def test_progress_is_reported(tiny_generator, tmp_path):
    progress = RecordedProgress()
    export_model(generator=tiny_generator, types=["image"], out=tmp_path / "image.onnx", progress=progress)
    assert progress.done == progress.totals
    assert progress.done


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"file_format": "exe"}, f"`file_format=exe`: choose from {', '.join(EXPORTERS)}"),
        ({"batch_profile": (1, 2, 4)}, "`batch_profile`: not an option of the format onnx; leave it out"),
        ({"psi": 0.5, "noise_mode": "loud"}, "`noise_mode=loud`: choose from none, const, random"),
        ({"alpha": float("inf")}, "`alpha=inf`: must be a number from -100 to 100"),
        ({"alpha": 1e30}, r"`alpha=1e\+30`: must be a number from -100 to 100"),
        ({"psi": 0.5, "cutoff": 1000}, r"`cutoff=1000`: the generator has (\d+) rows of w\+; choose 0 to \1$"),
        ({"cutoff": 10**22}, r"`cutoff=10{22}`: the generator has"),
        ({"types": ["normal"]}, "`types=normal`: no offset for it; pass `offsets=FILE`"),
        ({"types": ["all", "dept"]}, "unknown type 'dept'"),
        ({"out": "maps.pt"}, "`out=maps.pt`: the name must end in .onnx"),
        ({"file_format": "tensorrt", "out": "maps.onnx"}, "must end in .engine or .plan"),
        ({"file_format": "triton-server", "batch_profile": (2, 1, 4)}, "`batch_profile=2,1,4`: choose 1 <= least"),
        ({"file_format": "triton-server", "batch_profile": (1, 8, 10**14)}, "<= largest <= 65536"),
        ({"file_format": "triton-server", "name": "x" * 300}, "`name=x{20}...`: it has 300 characters"),
        ({"file_format": "triton-server", "name": "a\nb"}, "must be a plain name"),
        ({"file_format": "triton-server", "server_model": "torch"}, "`server_model=torch`: choose from onnx, tensorrt"),
    ],
)
def test_bad_arguments_are_refused(tiny_generator, depth, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        export_model(**{"generator": tiny_generator, "offsets": [depth], **options})
    assert not list(tmp_path.iterdir())


def test_two_offsets_of_one_type_are_refused(tiny_generator, depth):
    with pytest.raises(UserError, match="`offsets=depth`: a second offset of type depth"):
        export_model(generator=tiny_generator, offsets=[depth, depth])


@pytest.mark.parametrize("name", EXPORTERS)
def test_every_row_of_the_table_is_an_exporter_with_default_settings(name):
    exporter = get_exporter(name)
    assert isinstance(exporter, Exporter)
    exporter.settings()
    assert all(suffix.startswith(".") for suffix in exporter.suffixes)


def test_every_option_of_an_exporter_is_a_parameter_of_the_command():
    from inspect import signature

    from sgi.cli.export import export

    options = {field.name for exporter in EXPORTERS.values() for field in fields(exporter.settings)}
    assert options <= set(signature(export).parameters)


def test_exporter_of_another_package(plugin, tiny_generator, tmp_path):
    assert exporter_names()[:3] == tuple(EXPORTERS)
    assert {"copies", "broken"} <= set(exporter_names())
    exported = export_model(
        generator=tiny_generator, types=["image"], file_format="copies", out=tmp_path / "image.copies", copies=2
    )
    assert exported.remark == "2 copies"
    assert exported.path.stat().st_size == 2 * (tmp_path / "image.onnx").stat().st_size
    with pytest.raises(UserError, match="`file_format=broken`: its plugin provides no class with `suffixes`"):
        export_model(generator=tiny_generator, types=["image"], file_format="broken")
