"""TensorRT engines from exported .onnx files, by TensorRT (a GPU is needed) or TensorRT-RTX (none is).

Networks are strongly typed: precision is what the graph says. Only names common to TensorRT 10.13 to 11.x and
TensorRT-RTX 1.7 are used. Beside X.engine stands X.json: the model's description and how the engine was built.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from sgi.engine.artifact import SIDECAR_SUFFIXES, Artifact
from sgi.engine.backends import open_backend
from sgi.engine.backends.engine_file import MODULES, RTX, TENSORRT, EngineFacts, is_installed
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write, sha256_file
from sgi.engine.gpu import Gpu, find_gpus
from sgi.engine.seeds import latents
from sgi.export import precision as precisions
from sgi.export.verify import BATCHES, SEEDS, check, figures_of, labels

DEFAULT_BATCH = (1, 8, 16)
DEFAULT_TARGETS = ("SM80", "SM86", "SM89", "SM120")
LEVELS = range(6)


@dataclass(frozen=True)
class BuildSettings:
    """How to build an engine.

    module: tensorrt, tensorrt_rtx, or auto: tensorrt where it is installed and a GPU is here, else tensorrt_rtx.
    batch: least, best and largest number of rows. level: the builder's optimisation level 0 to 5, None for its own.
    timing_cache: file of kernel timings, read if it is there and written after the build; tensorrt only, TensorRT-RTX
    times nothing before it runs.
    targets: compute capabilities to build for, such as SM120, for tensorrt_rtx; empty: `DEFAULT_TARGETS`.

    Raises UserError, naming the flag, for values no builder takes.
    """

    module: str = "auto"
    batch: tuple[int, int, int] = DEFAULT_BATCH
    level: int | None = None
    timing_cache: Path | None = None
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        least, best, largest = self.batch
        if not 1 <= least <= best <= largest:
            raise UserError(f"--batch-profile {least},{best},{largest}: give 1 <= least <= best <= largest")
        if self.level is not None and self.level not in LEVELS:
            raise UserError(f"--optimization-level {self.level}: choose from 0 to 5")


def build_engine(
    model: str | Path, out: str | Path, settings: BuildSettings | None = None, *, run: bool = True
) -> dict[str, Any]:
    """Build `out` (.engine or .plan) and its sidecar from a verified .onnx export; returns the sidecar's contents.

    run: compare the engine with the graph where the engine's GPU is here.
    Raises UserError for a builder that is not installed or finds no GPU, a graph it cannot take (with the names of the
    nodes), inputs or outputs that are not those of the model's description, and an engine that disagrees with its
    graph; then no file is left.
    """
    model, out, settings = Path(model), Path(out), settings or BuildSettings()
    if out.suffix not in SIDECAR_SUFFIXES:
        raise UserError(f"--out {out}: the name must end in {' or '.join(SIDECAR_SUFFIXES)}")
    artifact = Artifact.read(model)
    trt, name = load_module(settings)
    build = _Build(trt, name, settings)
    blob = build.engine(model, artifact)
    with atomic_write(out) as temporary:
        temporary.write_bytes(blob)
        facts = build.facts(sha256_file(model), sha256_file(temporary))
        parity = _parity(temporary, model, artifact, facts, find_gpus() if run else [])
        with atomic_write(out.with_suffix(".json")) as beside:
            sidecar = _write_sidecar(beside, replace(artifact, parity=parity), facts)
    return sidecar


def verify_engine(engine: Path, model: Path, artifact: Artifact) -> dict[str, dict[str, float]]:
    """Figures of every type, engine against the graph it came from on the CPU, over seeds 0 to 7 in three batches.

    Raises UserError where one passes the precision's bound or is not finite.
    """
    z = latents(SEEDS, artifact.z_dim).astype(np.float32)
    label = labels(len(SEEDS), artifact.c_dim) if artifact.c_dim else None
    pairs: dict[str, list[tuple[Any, Any]]] = {name: [] for name in artifact.type_names}
    with (
        closing(open_backend(model, device="cpu", batch=len(SEEDS))) as reference,
        closing(open_backend(engine, device="tensorrt")) as backend,
    ):
        expected = reference.run(z, artifact.psi, label)
        for batch in BATCHES:
            got = backend.run(z[:batch], artifact.psi, None if label is None else label[:batch])
            for name, value in got.items():
                pairs[name].append((value, expected[name][:batch]))
    figures = {name: figures_of(artifact.output(name), values) for name, values in pairs.items()}
    for name, values in figures.items():
        check(name, backend.name, values, precisions.get(artifact.precision))
    return figures


def _parity(engine: Path, model: Path, artifact: Artifact, facts: EngineFacts, gpus: list[Gpu]) -> dict[str, Any]:
    """The graph's parity and the engine's own, or why it was not run; the engine's sidecar is there meanwhile."""
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


def load_module(settings: BuildSettings) -> tuple[Any, str]:
    """The builder's Python module and its name; raises UserError with the pip extra where it is missing."""
    gpus, name = find_gpus(), settings.module
    if name == "auto":
        name = TENSORRT if is_installed(TENSORRT) and gpus and not settings.targets else RTX
    if name not in MODULES:
        raise UserError(f"--builder {name}: choose from auto, {', '.join(MODULES)}")
    if not is_installed(name):
        raise UserError(f'--format tensorrt: {name} is not installed: pip install "sgi-engine[{MODULES[name]}]"')
    if name == TENSORRT and settings.targets:
        raise UserError("--compute-capability: TensorRT builds for the GPU it runs on; use --builder tensorrt_rtx")
    if name == RTX and settings.timing_cache is not None:
        raise UserError("--timing-cache: TensorRT-RTX keeps none; leave it out or use --builder tensorrt")
    if name == TENSORRT and not gpus:
        raise UserError(
            "--builder tensorrt: TensorRT builds on the GPU that will run the engine and none is here; build there, or "
            "for RTX cards use --builder tensorrt_rtx"
        )
    try:
        return import_module(name), name
    except ImportError as error:
        raise UserError(
            f'--format tensorrt: {name} does not import ({error}): pip install "sgi-engine[{MODULES[name]}]"'
        ) from None


class _Build:
    """One build: the module's objects, which must outlive each other in this order."""

    def __init__(self, trt: Any, name: str, settings: BuildSettings) -> None:
        self.trt = trt
        self.name = name
        self.settings = settings
        self.targets = _targets(trt, settings.targets) if name == RTX else ()
        self.messages: list[str] = []
        self.logger = _collecting_logger(trt, self.messages)
        self.builder = trt.Builder(self.logger)

    def engine(self, model: Path, artifact: Artifact) -> bytes:
        """The serialised engine of a model."""
        trt = self.trt
        # TensorRT 10 needs the flag; from 11 on every network is strongly typed.
        typed = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        network = self.builder.create_network(0 if typed is None else 1 << int(typed))
        parser = trt.OnnxParser(network, self.logger)
        # From bytes: given a path, the parser would look for weights beside the file.
        if not parser.parse(model.read_bytes()):
            errors = [parser.get_error(i) for i in range(parser.num_errors)]
            raise UserError(f"{model}: {self.name} cannot take {'; '.join(map(_parser_error, errors))}")
        check_network(trt, network, artifact, model)
        config = self._config(network)
        cache = self.settings.timing_cache
        if cache is not None:
            read_cache(config, cache, self.name)
        blob = self.builder.build_serialized_network(network, config)
        if blob is None:
            raise UserError(f"{model}: {self.name} cannot build it ({self._reason()})")
        if cache is not None:
            write_cache(config, cache)
        return bytes(blob)

    def facts(self, onnx_sha256: str, engine_sha256: str) -> EngineFacts:
        """What the sidecar says of the build."""
        gpus = [] if self.targets else find_gpus()
        return EngineFacts(
            module=self.name,
            version=self.trt.__version__,
            gpu=gpus[0].name if gpus else None,
            compute_capability=gpus[0].capability if gpus else None,
            targets=self.targets,
            batch=self.settings.batch,
            optimization_level=self.settings.level,
            onnx_sha256=onnx_sha256,
            engine_sha256=engine_sha256,
        )

    def _config(self, network: Any) -> Any:
        trt, settings = self.trt, self.settings
        config = self.builder.create_builder_config()
        # TF32 keeps 10 bits of mantissa: more error than the parity a model is verified to.
        config.clear_flag(trt.BuilderFlag.TF32)
        if settings.level is not None:
            config.builder_optimization_level = settings.level
        if self.targets:
            config.num_compute_capabilities = len(self.targets)
            for i, target in enumerate(self.targets):
                config.set_compute_capability(getattr(trt.ComputeCapability, target), i)
        profile = self.builder.create_optimization_profile()
        for tensor in (network.get_input(i) for i in range(network.num_inputs)):
            if len(tensor.shape):
                profile.set_shape(tensor.name, *((batch, *tuple(tensor.shape)[1:]) for batch in settings.batch))
        config.add_optimization_profile(profile)
        return config

    def _reason(self) -> str:
        return " ".join(" ".join(self.messages[-2:]).split())[:300] or "it gives no reason"


def check_network(trt: Any, network: Any, artifact: Artifact, model: Path) -> None:
    """Compare a parsed network's inputs and outputs with the model's description; raises UserError.

    `psi` is [], or [batch, 1] in a model for a server.
    """

    def seen(tensors: Sequence[Any]) -> dict[str, tuple[Any, tuple[int, ...]]]:
        return {tensor.name: (tensor.dtype, tuple(tensor.shape)) for tensor in tensors}

    inputs = seen([network.get_input(i) for i in range(network.num_inputs)])
    outputs = seen([network.get_output(i) for i in range(network.num_outputs)])
    side, kind = artifact.resolution, trt.DataType.FLOAT
    psi = (kind, (-1, 1) if inputs.get("psi") == (kind, (-1, 1)) else ())
    expected = {"z": (kind, (-1, artifact.z_dim)), "psi": psi}
    if artifact.c_dim:
        expected["label"] = (kind, (-1, artifact.c_dim))
    if inputs != expected or outputs != {o.name: (kind, (-1, o.channels, side, side)) for o in artifact.types}:
        raise UserError(f"{model}: its inputs or outputs are not those its description gives; export it again")


def read_cache(config: Any, path: Path, name: str) -> None:
    """Give a builder's config the timing cache of a file, an empty one if there is none; raises UserError."""
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        raise UserError(f"--timing-cache {path}: not a cache of this {name} and GPU; remove it or name another")


def write_cache(config: Any, path: Path) -> None:
    """Keep a config's timing cache in a file."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(memoryview(config.get_timing_cache().serialize()))


def _targets(trt: Any, asked: Sequence[str]) -> tuple[str, ...]:
    known = [name for name in dir(trt.ComputeCapability) if name.startswith("SM")]
    if not asked:
        return tuple(name for name in DEFAULT_TARGETS if name in known)
    targets = tuple(dict.fromkeys(name.upper() for name in asked))
    for name in targets:
        if name not in known:
            raise UserError(f"--compute-capability {name}: this TensorRT-RTX builds for {', '.join(known)}")
    return targets


def _collecting_logger(trt: Any, messages: list[str]) -> Any:
    class Collector(trt.ILogger):
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                messages.append(message)

    return Collector()


def _parser_error(error: Any) -> str:
    reason = " ".join(error.desc().split())[:160]
    return f"node {error.node_name() or '?'} ({error.node_operator() or '?'}): {reason}"
