"""TensorRT engines from exported .onnx files, built by TensorRT (on a GPU) or TensorRT-RTX (without one).

X.json beside X.engine is the sidecar: the model's description and how the engine was built.
"""

from __future__ import annotations

import json
import math
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from sgi.engine.artifact import SIDECAR_SUFFIXES, Artifact
from sgi.engine.backends import open_backend
from sgi.engine.backends.engine_file import EngineFacts
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write, sha256_file
from sgi.engine.gpu import Gpu, find_gpus
from sgi.engine.progress import Progress
from sgi.engine.seeds import latents
from sgi.export import precision as precisions
from sgi.export.exporter import Exported, Source
from sgi.export.tensorrt_build import EngineBuild
from sgi.export.tensorrt_settings import BuildSettings, load_module
from sgi.export.verify import BATCHES, SEEDS, check, figures_of, labels


class TensorRtExporter:
    """An .engine or .plan with its sidecar; see `sgi.export.exporter.Exporter`."""

    suffixes: tuple[str, ...] = SIDECAR_SUFFIXES
    settings: type[Any] = BuildSettings

    def check(self, settings: BuildSettings) -> None:
        """See `Exporter.check`."""
        load_module(settings)

    def write(self, source: Source, out: Path, settings: BuildSettings, progress: Progress) -> Exported:
        """See `Exporter.write`."""
        with TemporaryDirectory() as folder:
            model = Path(folder) / f"{source.name}.onnx"
            artifact = source.write_onnx(model)
            with progress.stage("engine", 1) as stage:
                facts = build_engine(model, out, settings)["builder"]
                stage.advance()
        targets = ", ".join(facts["targets"]) or facts["gpu"]
        return Exported(out, artifact, f"built by {facts['module']} {facts['version']} for {targets}")


def build_engine(
    model: str | Path, out: str | Path, settings: BuildSettings | None = None, *, run: bool = True
) -> dict[str, Any]:
    """Build `out` (.engine or .plan) and its sidecar from a verified .onnx export; returns the sidecar's contents.

    run: compare the engine with the graph if the machine has the engine's GPU.
    Raises UserError for a builder that is not installed or finds no GPU, a graph that it does not support (with the
    names of the nodes), inputs or outputs that are not those of the model's description, and an engine that disagrees
    with its graph; then nothing is written.
    """
    model, out, settings = Path(model), Path(out), settings or BuildSettings()
    if out.suffix not in SIDECAR_SUFFIXES:
        raise UserError(f"`out={out}`: the name must end in {' or '.join(SIDECAR_SUFFIXES)}")
    artifact = Artifact.read(model)
    trt, name = load_module(settings)
    build = EngineBuild(trt, name, settings)
    blob = build.engine(model, artifact)
    with atomic_write(out) as temporary:
        temporary.write_bytes(blob)
        facts = build.facts(sha256_file(model), sha256_file(temporary))
        parity = _parity(temporary, model, artifact, facts, find_gpus() if run else [])
        with atomic_write(out.with_suffix(".json")) as beside:
            sidecar = _write_sidecar(beside, replace(artifact, parity=parity), facts)
    return sidecar


def verify_engine(engine: Path, model: Path, artifact: Artifact) -> dict[str, dict[str, float]]:
    """Figures of every type for the engine against its graph on the CPU, on seeds 0 to 7 in three batches.

    A model that takes w or w+ has no mapping network: the numbers of the seeds are then its latents.
    Raises UserError if one exceeds the precision's bound or is not finite.
    """
    _, *shape = next(iter(artifact.inputs.values()))
    latent = latents(SEEDS, math.prod(size or 1 for size in shape)).astype(np.float32).reshape(len(SEEDS), *shape)
    label = labels(len(SEEDS), artifact.c_dim) if "label" in artifact.inputs else None
    pairs: dict[str, list[tuple[Any, Any]]] = {name: [] for name in artifact.type_names}
    with (
        closing(open_backend(model, device="cpu", batch=len(SEEDS))) as reference,
        closing(open_backend(engine, device="tensorrt")) as backend,
    ):
        expected = reference.run(latent, artifact.psi, label)
        for batch in BATCHES:
            got = backend.run(latent[:batch], artifact.psi, None if label is None else label[:batch])
            for name, value in got.items():
                pairs[name].append((value, expected[name][:batch]))
    figures = {name: figures_of(artifact.output(name), values) for name, values in pairs.items()}
    for name, values in figures.items():
        check(name, backend.name, values, precisions.get(artifact.precision))
    return figures


def _parity(engine: Path, model: Path, artifact: Artifact, facts: EngineFacts, gpus: list[Gpu]) -> dict[str, Any]:
    """The graph's parity with the engine's, or with the reason why the engine was not run.

    The engine's backend reads the sidecar, so the sidecar exists during the run.
    """
    parity = {"runtimes": {}, "left_out": {}, **artifact.parity}
    try:
        facts.check_gpu(engine, artifact, gpus)
    except UserError:
        return {**parity, "left_out": {**parity["left_out"], facts.module: "built and not run"}}
    sidecar = engine.with_suffix(".json")
    try:
        _write_sidecar(sidecar, artifact, facts)
        figures = verify_engine(engine, model, artifact)
    finally:
        sidecar.unlink(missing_ok=True)
    return {**parity, "runtimes": {**parity["runtimes"], facts.module: figures}}


def _write_sidecar(path: Path, artifact: Artifact, facts: EngineFacts) -> dict[str, Any]:
    sidecar = {**json.loads(artifact.to_json()), "builder": asdict(facts)}
    path.write_text(json.dumps(sidecar, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return sidecar
