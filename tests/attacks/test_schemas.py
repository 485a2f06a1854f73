"""Headers drawn from their own schemas, with wrong values among them: each is read, or refused with one line."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect
from safetensors.numpy import save

from sgi.engine.artifact import Artifact
from sgi.engine.backends.engine_file import EngineFacts
from sgi.engine.errors import UserError
from sgi.engine.generator.file import GENERATOR_FILE
from sgi.engine.inspect_file import inspect_file
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.latents_file import FILE as LATENTS_FILE
from sgi.engine.offsets import OFFSET_FILE, Offset
from sgi.engine.run.job import Job
from sgi.engine.run.manifest import Line, Manifest
from sgi.engine.run.record import RunRecord, read_run
from sgi.engine.run.shard_files import ShardLine, ShardManifest
from sgi.engine.seeds import parse_seeds
from sgi.trainer.gan.start import DISCRIMINATOR_FILE
from sgi.trainer.offsets.fitted_baselines import BASELINES_FILE
from sgi.trainer.teachers.unet_teacher import TEACHER_FILE

# Libraries of other tests in the process may flush subnormal numbers to zero; hypothesis then refuses to draw them.
FLOATS = st.floats(allow_subnormal=False)
EXAMPLES = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), FLOATS, st.text(max_size=5),
    st.sampled_from([-1, 0, 1, 1 << 28, 3_000_000_000, 1 << 63, 10**400, "\x1b[31m", "\ud800", "16", "../x", "a" * 64]),
)  # fmt: skip
ANY = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
NAMES = st.sampled_from(["offset", "depth", "image", "normal", "onnxruntime", "max", "rows", "", "\x1b[31m"])
FORMAT = st.sampled_from([1, 1, 1, 2, 2, 2, 0, "1", None])


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type of msgspec; one in ten is any other value."""
    return st.one_of(*[_right(kind)] * 9, ANY)


def _right(kind: Any) -> st.SearchStrategy[Any]:
    if isinstance(kind, inspect.StructType | inspect.DataclassType):
        required = {field.encode_name: values_of(field.type) for field in kind.fields if field.required}
        optional = {field.encode_name: values_of(field.type) for field in kind.fields if not field.required}
        return st.fixed_dictionaries(required, optional=optional)
    if isinstance(kind, inspect.DictType):
        return st.dictionaries(NAMES, st.deferred(lambda: values_of(kind.value_type)), max_size=3)
    if isinstance(kind, inspect.ListType | inspect.VarTupleType):
        return st.lists(st.deferred(lambda: values_of(kind.item_type)), max_size=3)
    if isinstance(kind, inspect.TupleType):
        return st.tuples(*map(values_of, kind.item_types)).map(list)
    if isinstance(kind, inspect.UnionType):
        return st.one_of(*map(values_of, kind.types))
    if isinstance(kind, inspect.IntType):
        return st.integers(-1, 20)
    if isinstance(kind, inspect.FloatType):
        return FLOATS | st.integers(-2, 2)
    if isinstance(kind, inspect.StrType):
        return st.sampled_from(
            ["depth", "image", "w+", "const", "fp32", "none", "inverse", "identity", "0-9", "npy", "a" * 64]
        )
    if isinstance(kind, inspect.BoolType):
        return st.booleans()
    return st.none() if isinstance(kind, inspect.NoneType) else ANY


def text_of(values: Any) -> str:
    """JSON text, with NaN, infinity and halves of characters as Python writes them."""
    return json.dumps(values)


def read(call: Any) -> None:
    """Call; a UserError is one printable line by construction, and every other exception a bug."""
    with suppress(UserError):
        call()


FILES = {kind.key: kind for kind in (
    OFFSET_FILE, GENERATOR_FILE, TEACHER_FILE, DISCRIMINATOR_FILE, LATENTS_FILE, BASELINES_FILE
)}  # fmt: skip


@cache
def header_of(key: str) -> st.SearchStrategy[Any]:
    """Headers of a kind of file, in which the parts that its code reads follow their schemas."""
    kind = FILES[key]
    parts = {name: values_of(inspect.type_info(schema)) for name, schema in kind.facts.items()}
    whole = values_of(inspect.type_info(kind.header))
    if key == OFFSET_FILE.key:
        parts["semantics"] = values_of(inspect.type_info(Intrinsic)) | st.just({})
    added = st.fixed_dictionaries({"format": FORMAT}, optional=parts)
    return st.tuples(whole, added).map(lambda pair: {**pair[0], **pair[1]} if isinstance(pair[0], dict) else pair[0])


@pytest.mark.parametrize("key", FILES)
@EXAMPLES
@given(st.data())
def test_headers_of_our_files(tmp_path, key, data):
    text = text_of(data.draw(header_of(key)))
    path = Path(tmp_path) / "x.safetensors"
    try:
        path.write_bytes(save({}, {key: text}))
    except UnicodeEncodeError:
        return
    read(lambda: FILES[key].read(path, "np"))
    read(lambda: inspect_file(path))
    if key == OFFSET_FILE.key:
        read(lambda: _use(Offset.load(path)))


def _use(offset: Offset) -> None:
    assert isinstance(offset.label, str)
    assert isinstance(offset.types, tuple)
    offset.scaled(0.5).plus(offset)


@EXAMPLES
@given(values_of(inspect.type_info(Artifact)), FORMAT)
def test_descriptions_of_models(values, version):
    read(lambda: Artifact.from_json(text_of({**values, "format": version} if isinstance(values, dict) else values)))


@EXAMPLES
@given(values_of(inspect.type_info(RunRecord)), FORMAT, values_of(inspect.type_info(str)))
def test_run_files(tmp_path, values, version, seeds):
    whole = {**values, "format": version, "seeds": seeds} if isinstance(values, dict) else values
    (tmp_path / "run.json").write_text(text_of(whole))
    read(lambda: read_run(tmp_path))


@EXAMPLES
@given(st.lists(values_of(inspect.type_info(Line)), max_size=5))
def test_manifests(tmp_path, values):
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(f"{text_of(value)}\n" for value in values))
    with Manifest(path) as manifest:
        assert len(manifest.numbers) + manifest.wrong <= len(values)
        manifest.sort()
        manifest.write_metadata()
    read(lambda: inspect_file(path))


@EXAMPLES
@given(st.lists(values_of(inspect.type_info(ShardLine)), max_size=5))
def test_manifests_of_shards(tmp_path, values):
    record = RunRecord("a" * 64, ("image",), 0.7, None, "webdataset", 6, "openvino", "cpu", shard_size=4)
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(f"{text_of(value)}\n" for value in values))
    with ShardManifest(path, Job(tmp_path, parse_seeds("0-9"), record)) as manifest:
        assert len(manifest.numbers) + manifest.wrong <= len(values)
        manifest.sort()
    read(lambda: inspect_file(path))


@EXAMPLES
@given(values_of(inspect.type_info(EngineFacts)))
def test_sidecars(tmp_path, values):
    (tmp_path / "x.json").write_text(text_of({"builder": values}))
    read(lambda: EngineFacts.read(tmp_path / "x.engine"))
