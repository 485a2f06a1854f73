"""Every kind of file that the product reads: a good one, how to put other JSON into it, and the code that reads it."""

from __future__ import annotations

import io
import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import checkpoint_files as files
import numpy as np
import torch
import yaml
from attacks import victim
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save as safetensors_bytes
from tiny_models import describe, write_model

from sgi import cli
from sgi.engine.artifact import METADATA_KEY, Artifact
from sgi.engine.backends.engine_file import EngineFacts
from sgi.engine.generator import (
    Generator,
    GeneratorConfig,
    checkpoints,
    load_generator,
    random_generator,
    save_generator,
)
from sgi.engine.latents_file import FILE as LATENTS_FILE
from sgi.engine.latents_file import KINDS, LatentSizes, read_latents
from sgi.engine.offsets import Offset
from sgi.engine.pictures import read_picture
from sgi.engine.run import run_seeds
from sgi.engine.seeds import read_seeds
from sgi.engine.tensor_file import FileKind
from sgi.trainer.gan.start import DISCRIMINATOR_FILE, DiscriminatorHeader
from sgi.trainer.offsets.fitted_baselines import BASELINES_FILE, BaselinesHeader
from sgi.trainer.offsets.type_file import load_type
from sgi.trainer.scenes.dataset import CHANNELS, RoomDataset
from sgi.trainer.state_file import read_state, restoring
from sgi.trainer.studies.evaluation.task_result import TaskResult
from sgi.trainer.studies.relighting.directions import load_directions
from sgi.trainer.studies.truth.latents_file import Latents
from sgi.trainer.teachers.onnx_description import read_description
from sgi.trainer.teachers.unet import UNet, UNetConfig
from sgi.trainer.teachers.unet_teacher import TEACHER_FILE, load_unet_teacher, save_unet_teacher

SMALL = GeneratorConfig(16, z_dim=4, w_dim=4, mapping_layers=1, channel_base=64, channel_max=4)
LONG_JSON = 1 << 17  # above the 64 KB of the YAML files that are read
Read = Callable[[Path], object]


class Refused(Exception):
    """A command ended with exit code 2; the text is what it printed."""


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    file: name of the file below the folder of the kind. good: the folder with a good file. values: the JSON in the
    file, which `embed` puts into the file's bytes. readers: functions that read the path. folder: readers get the
    folder of the file.
    """

    file: str
    good: Path
    readers: tuple[Read, ...]
    values: Any = None
    embed: Callable[[bytes, str], bytes] | None = None
    folder: bool = False

    @property
    def data(self) -> bytes:
        """The bytes of the good file."""
        return (self.good / self.file).read_bytes()

    def read(self, root: Path) -> None:
        """Call every reader for the file in a copy of the folder; raises Refused, UserError, or whatever is a bug."""
        refusals = []
        for reader in self.readers:
            try:
                reader(root if self.folder else root / self.file)
            except Exception as error:
                refusals.append(error)
        for refusal in refusals:
            raise refusal


def command(*words: str) -> Read:
    """A reader that runs a command; `{}` in its words is the path."""

    def run(path: Path) -> None:
        import contextlib

        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main([word.replace("{}", str(path)) for word in words])
        text = out.getvalue() + err.getvalue()
        if any(not character.isprintable() and character != "\n" for character in text):
            raise AssertionError(f"prints control characters: {text[:200]!r}")
        if code == cli.USER_ERROR:
            last = err.getvalue().strip().splitlines()
            if not last or "not enough memory" in last[-1]:
                raise AssertionError(f"no reason: {last}")
            raise Refused(last[-1])
        if code:
            raise AssertionError(f"exit code {code}: {text[:200]!r}")

    return run


def load_watched(path: Path) -> None:
    """Load a checkpoint; raises AssertionError if that imports, executes or writes anything."""
    victim.events.clear()
    victim.watching = True
    try:
        checkpoints.load(path)
    finally:
        victim.watching = False
        events = list(victim.events)
    assert not events, events


def take_latents(path: Path) -> None:
    """Read latents as `run` does."""
    read_latents([path], LatentSizes(SMALL.z_dim, SMALL.w_dim, SMALL.num_ws, KINDS, "a" * 64))


INSPECT = command("inspect", "{}")


def in_safetensors(key: str) -> Callable[[bytes, str], bytes]:
    """Replaces the header of one of our safetensors files."""

    def embed(data: bytes, text: str) -> bytes:
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        header["__metadata__"][key] = text
        new = json.dumps(header).encode("utf-8", "surrogatepass")
        return struct.pack("<Q", len(new)) + new + data[8 + length :]

    return embed


def in_onnx(data: bytes, text: str) -> bytes:
    """Replaces the description of an exported model."""
    import onnx

    model = onnx.load_from_string(data)
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA_KEY: text})
    return model.SerializeToString()


def as_text(data: bytes, text: str) -> bytes:
    """A file that consists of the JSON."""
    return text.encode("utf-8", "surrogatepass")


def as_yaml(data: bytes, text: str) -> bytes:
    """A YAML file with the values of the JSON; long values remain JSON, which YAML contains and writes much faster."""
    if len(text) > LONG_JSON:
        return text.encode("utf-8", "surrogatepass")
    try:
        return yaml.safe_dump(json.loads(text)).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return text.encode("utf-8", "surrogatepass")


def as_lines(data: bytes, text: str) -> bytes:
    """The lines of a manifest, of which the first is replaced."""
    return text.encode("utf-8", "surrogatepass") + b"\n" + data.partition(b"\n")[2]


def header_of(path: Path, key: str) -> Any:
    """The JSON header of one of our safetensors files."""
    with safe_open(str(path), framework="np") as file:
        return json.loads(file.metadata()[key])


def all_kinds(root: Path) -> dict[str, Kind]:
    """Make a good file of every kind below `root`."""
    generator = random_generator(SMALL, seed=0)
    kinds = {**_checkpoints(root, generator), **_tensor_files(root, generator), **_models(root)}
    return {**kinds, **_run_folder(root), **_results(root), **_training(root)}


def _folder(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    return folder


def _checkpoints(root: Path, generator: Generator) -> dict[str, Kind]:
    made = {
        "nvidia.pkl": files.nvidia(generator),
        "nvidia4.pkl": files.nvidia(generator, protocol=4),
        "tensorflow.pkl": files.tensorflow(generator),
        "rosinality.pt": files.rosinality(generator),
        "rosinality-stream.pt": files.rosinality(generator, zipped=False),
        "encoder.pt": files.encoder(generator),
        "flat.safetensors": safetensors_bytes(dict(generator.state_dict())),
    }
    kinds = {}
    for name, data in made.items():
        folder = _folder(root, name.replace(".", "-"))
        (folder / name).write_bytes(data)
        kinds[name] = Kind(name, folder, (load_watched, INSPECT))
    return kinds


def _tensor_files(root: Path, generator: Generator) -> dict[str, Kind]:
    offset = Offset(
        "depth", "w+", {"offset": np.ones((SMALL.num_ws, SMALL.w_dim), np.float32)}, "a" * 64,
        fit={"rank": 1, "from_layer": 2, "alpha": 0.5, "images": 4, "seed": 0, "class_index": None,
             "parts": [{"type": "depth", "space": "w", "alpha": 1.0, "sha256": "b" * 64}]},
        score={"rows": {"offset": {"fvu": 0.1}, "ridge": {"fvu": 0.2}}, "best_baseline": "ridge", "seeds": "0-9",
               "teacher": {"sha256": "c" * 64}},
        semantics={"name": "depth", "channels": 1, "low": 0.0, "high": 1.0, "decoding": "inverse", "meaning": "m"},
    )  # fmt: skip
    net = UNet(UNetConfig(("floor", "wall"), (2, 2), 16))
    ws = torch.zeros(SMALL.num_ws, SMALL.w_dim)

    def use_offset(path: Path) -> None:
        found = Offset.load(path)
        _ = found.label, found.types, found.summary, found.intrinsic, found.scaled(2), found.plus(found)
        found.check_generator(found.generator_sha256, SMALL)

    def load_latents(path: Path) -> None:
        Latents.load(path)
        take_latents(path)

    def written(kind: FileKind, header: Any, tensors: dict[str, Any]) -> Callable[[Path], object]:
        return lambda path: kind.write(path, tensors, header)

    rows: tuple[tuple[str, str, Callable[[Path], object], Read], ...] = (
        ("offset", "sgi_offset", offset.save, use_offset),
        ("generator", "sgi_generator", lambda path: save_generator(path, generator, {"kimg": 1.0}), load_generator),
        ("teacher", TEACHER_FILE.key, lambda path: save_unet_teacher(path, net, "tiny"), load_unet_teacher),
        ("latents", LATENTS_FILE.key, Latents(ws, "a" * 64, "none", 30.0, "x.png", {"steps": 1}).save, load_latents),
        (
            "discriminator", DISCRIMINATOR_FILE.key,
            written(DISCRIMINATOR_FILE, DiscriminatorHeader(1.0), {"x": torch.zeros(1)}),
            lambda path: DISCRIMINATOR_FILE.read(path, "pt"),
        ),
        (
            "baselines", BASELINES_FILE.key,
            written(BASELINES_FILE, BaselinesHeader({"type": "depth"}, "a" * 64), {"x": torch.zeros(1)}),
            lambda path: BASELINES_FILE.read(path, "pt"),
        ),
    )  # fmt: skip
    kinds = {}
    for name, key, write, read in rows:
        folder, file = _folder(root, name), f"{name}.safetensors"
        write(folder / file)
        values = header_of(folder / file, key)
        kinds[file] = Kind(file, folder, (read, INSPECT), values, in_safetensors(key))
    return kinds


def _models(root: Path) -> dict[str, Kind]:
    folder = _folder(root, "model")
    artifact = describe(
        parity={"runtimes": {"onnxruntime": {"depth": {"max": 1e-6}}}, "left_out": {"x": "y"}, "seeds": 4}
    )
    write_model(folder / "model.onnx", artifact)
    run = command(
        "run", "--model", "{}", "--seeds", "0", "--outdir", str(root / "out"), "--backend", "onnxruntime", "--quiet",
        "--no-preview", "--threads", "1",
    )  # fmt: skip

    def once(path: Path) -> None:
        shutil.rmtree(root / "out", ignore_errors=True)
        run(path)

    engines = _folder(root, "engine")
    (engines / "model.engine").write_bytes(bytes(100))
    builder = {
        "module": "tensorrt", "version": "10.0", "gpu": "X", "compute_capability": [8, 0], "targets": [],
        "batch": [1, 8, 16], "optimization_level": None, "onnx_sha256": "a" * 64, "engine_sha256": "b" * 64,
    }  # fmt: skip
    sidecar = {**json.loads(artifact.to_json()), "builder": builder}
    (engines / "model.json").write_text(json.dumps(sidecar))

    def engine(path: Path) -> None:
        Artifact.read(path.with_suffix(".engine"))
        EngineFacts.read(path.with_suffix(".engine"))

    return {
        "model.onnx": Kind("model.onnx", folder, (once, INSPECT), json.loads(artifact.to_json()), in_onnx),
        "model.json": Kind("model.json", engines, (engine, INSPECT), sidecar, as_text),
    }


def _run_folder(root: Path) -> dict[str, Kind]:
    model = _folder(root, "run-model") / "tiny.onnx"
    write_model(model, describe())
    kinds = {}
    for suffix in ("npy", "png"):
        folder = _folder(root, f"run-{suffix}")
        run_seeds(
            "0-3", model=model, outdir=folder, backend="onnxruntime", device="cpu", seeds_per_folder=2,
            file_format=suffix, threads=1,
        )  # fmt: skip
        again = command(
            "run", "--model", str(model), "--seeds", "0-3", "--outdir", "{}", "--format", suffix, "--threads", "1",
            "--seeds-per-folder", "2", "--quiet",
        )  # fmt: skip
        readers = (command("verify", "{}", "--quiet"), INSPECT, again)
        line = json.loads((folder / "manifest.jsonl").read_text().splitlines()[0])
        kinds[f"map.{suffix}"] = Kind(f"seed000000_depth.{suffix}", folder, readers, folder=True)
        if suffix == "npy":
            run_file = json.loads((folder / "run.json").read_text())
            kinds["run.json"] = Kind("run.json", folder, readers, run_file, as_text, folder=True)
            kinds["manifest.jsonl"] = Kind("manifest.jsonl", folder, readers, line, as_lines, folder=True)
            kinds["a subfolder's map"] = Kind("00001/seed000002_image.npy", folder, readers, folder=True)
    return kinds


def _results(root: Path) -> dict[str, Kind]:
    folder = _folder(root, "results")
    reports = {
        "report.json": {"verdicts": [], "rows": [], "held_out": "0-9", "sgi_engine": "0.1.0", "settings": {"a": [1]}},
        "relight.json": {"checks": {"a": True}, "figures": {}, "scenes": 4, "lights": 2},
        "manifest.json": {"rooms.onnx": {"bytes": 4, "sha256": "a" * 64}},
    }
    kinds = {}
    for name, values in reports.items():
        (folder / name).write_text(json.dumps(values))
        kinds[name] = Kind(name, folder, (INSPECT,), values, as_text)
    texts = {
        "report.html": "<html>sgi-engine</html>",
        "config.pbtxt": 'name: "x"\nplatform: "onnxruntime_onnx"\nmax_batch_size: 8\n# sgi_engine\n',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
        kinds[name] = Kind(name, folder, (INSPECT,))
    np.save(folder / "directions.npy", np.zeros((2, SMALL.num_ws, SMALL.w_dim), np.float32))
    kinds["directions.npy"] = Kind("directions.npy", folder, (lambda path: load_directions(path, SMALL), INSPECT))
    ws = np.zeros((2, SMALL.num_ws, SMALL.w_dim), np.float32)
    np.save(folder / "latents.npy", ws)
    np.savez(folder / "projected_w.npz", w=ws[:1])
    np.savez_compressed(folder / "packed_w.npz", w=ws)
    for name in ("latents.npy", "projected_w.npz", "packed_w.npz"):
        kinds[name] = Kind(name, folder, (take_latents,))
    kept = {"offset": {"fvu": np.ones((4, 2), np.float32)}}
    TaskResult({"offset": torch.zeros(1, 4)}, kept, 1.0).save(folder / "task.npz")
    kinds["task.npz"] = Kind("task.npz", folder, (TaskResult.load,))
    return kinds


def _training(root: Path) -> dict[str, Kind]:
    folder = _folder(root, "training")
    (folder / "seeds.txt").write_text("0-9, 20 # a comment\n7\n")
    kind = {"name": "heat", "channels": 1, "meaning": "m", "low": -20, "high": 60.5, "png_bits": 16}
    (folder / "type.yaml").write_text(yaml.safe_dump(kind))
    (folder / "teacher.onnx").write_bytes(b"")
    teacher = {
        "file": "teacher.onnx", "name": "x",
        "input": {"range": [0, 1], "mean": [0.5, 0.5, 0.5], "size": 16, "layout": "nchw"},
        "outputs": [{"type": "depth", "says": "distance", "far": 10.0}, {"type": "normal", "range": [0, 1]}],
    }  # fmt: skip
    (folder / "teacher.yaml").write_text(yaml.safe_dump(teacher))
    state = {"fingerprint": "a", "step": 3, "descent": {"optimiser": {"state": {0: {"m": torch.zeros(4)}}}}}
    torch.save(state, folder / "fit.pt")

    def restore(path: Path) -> None:
        with restoring(path, "delete it"):
            read_state(path, {"fingerprint": str, "step": int, "descent": dict})

    Image.new("RGB", (20, 16), (10, 200, 30)).save(folder / "photo.png")
    Image.new("RGB", (20, 16), (10, 200, 30)).save(folder / "photo.jpg", exif=Image.Exif())

    def see(path: Path) -> None:
        read_picture(path, side=16)

    rooms = _folder(root, "rooms")
    header = {"world": 2, "variety": "rich", "count": 2, "size": 4, "seed": 0, "classes": ["a"], "finished": 2}
    (rooms / "header.json").write_text(json.dumps(header))
    for name, channels in CHANNELS.items():
        np.save(rooms / f"{name}.npy", np.zeros((2, channels, 4, 4), np.uint8))
    np.save(rooms / "segmentation.npy", np.zeros((2, 4, 4), np.uint8))
    return {
        "photo.png": Kind("photo.png", folder, (see,)),
        "photo.jpg": Kind("photo.jpg", folder, (see,)),
        "seeds.txt": Kind("seeds.txt", folder, (read_seeds,)),
        "type.yaml": Kind("type.yaml", folder, (load_type,), kind, as_yaml),
        "teacher.yaml": Kind("teacher.yaml", folder, (lambda path: read_description(path, "`x`"),), teacher, as_yaml),
        "fit.pt": Kind("fit.pt", folder, (restore,)),
        "header.json": Kind("header.json", rooms, (RoomDataset,), header, as_text, folder=True),
        "depth.npy": Kind("depth.npy", rooms, (RoomDataset,), folder=True),
    }
