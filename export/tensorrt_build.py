"""One build of a TensorRT engine: network, builder configuration, timing cache.

The code uses only the part of the interface that TensorRT 10.13 to 11.x and TensorRT-RTX 1.7 have in common. Networks
are strongly typed: the graph determines every precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sgi.engine.artifact import Artifact
from sgi.engine.backends.engine_file import RTX, EngineFacts
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.engine.gpu import find_gpus
from sgi.export.tensorrt_settings import DEFAULT_TARGETS, BuildSettings


class EngineBuild:
    """One build; its attributes are TensorRT objects in the order in which they must outlive each other."""

    def __init__(self, trt: Any, name: str, settings: BuildSettings) -> None:
        self.trt = trt
        self.name = name
        self.settings = settings
        self.targets = _targets(trt, settings.compute_capability) if name == RTX else ()
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
        # From bytes: with a path the parser would look for weights beside the file.
        if not parser.parse(model.read_bytes()):
            errors = [parser.get_error(i) for i in range(parser.num_errors)]
            raise UserError(f"{model}: {self.name} does not support {'; '.join(map(_parser_error, errors))}")
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
        """The `builder` entry of the sidecar."""
        gpus = [] if self.targets else find_gpus()
        return EngineFacts(
            module=self.name,
            version=self.trt.__version__,
            gpu=gpus[0].name if gpus else None,
            compute_capability=gpus[0].capability if gpus else None,
            targets=self.targets,
            batch=self.settings.batch_profile,
            optimization_level=self.settings.optimization_level,
            onnx_sha256=onnx_sha256,
            engine_sha256=engine_sha256,
        )

    def _config(self, network: Any) -> Any:
        trt, settings = self.trt, self.settings
        config = self.builder.create_builder_config()
        # TF32 has 10 bits of mantissa; its error exceeds the parity bound of exports.
        config.clear_flag(trt.BuilderFlag.TF32)
        if settings.optimization_level is not None:
            config.builder_optimization_level = settings.optimization_level
        if self.targets:
            config.num_compute_capabilities = len(self.targets)
            for i, target in enumerate(self.targets):
                config.set_compute_capability(getattr(trt.ComputeCapability, target), i)
        profile = self.builder.create_optimization_profile()
        for tensor in (network.get_input(i) for i in range(network.num_inputs)):
            if len(tensor.shape):
                profile.set_shape(tensor.name, *((batch, *tuple(tensor.shape)[1:]) for batch in settings.batch_profile))
        config.add_optimization_profile(profile)
        return config

    def _reason(self) -> str:
        return " ".join(" ".join(self.messages[-2:]).split())[:300] or "without a reason"


def check_network(trt: Any, network: Any, artifact: Artifact, model: Path) -> None:
    """Compare the inputs and outputs of a parsed network with the model's description; raises UserError if they differ.

    `psi` has shape [], or [batch, 1] in a model for Triton Inference Server.
    """

    def seen(tensors: Sequence[Any]) -> dict[str, tuple[Any, tuple[int, ...]]]:
        return {tensor.name: (tensor.dtype, tuple(tensor.shape)) for tensor in tensors}

    inputs = seen([network.get_input(i) for i in range(network.num_inputs)])
    outputs = seen([network.get_output(i) for i in range(network.num_outputs)])
    side, kind = artifact.resolution, trt.DataType.FLOAT
    psi = (kind, (-1, 1) if inputs.get("psi") == (kind, (-1, 1)) else ())
    expected = {
        name: (kind, tuple(-1 if size is None else size for size in shape)) for name, shape in artifact.inputs.items()
    }
    if "psi" in expected:
        expected["psi"] = psi
    if inputs != expected or outputs != {o.name: (kind, (-1, o.channels, side, side)) for o in artifact.types}:
        raise UserError(f"{model}: its inputs or outputs are not those of its description; export it again")


def read_cache(config: Any, path: Path, name: str) -> None:
    """Set a config's timing cache from a file, or to an empty one without the file; raises UserError for a bad file."""
    cache = config.create_timing_cache(path.read_bytes() if path.is_file() else b"")
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        raise UserError(f"`timing_cache={path}`: not a cache of this {name} and GPU; remove it or choose another file")


def write_cache(config: Any, path: Path) -> None:
    """Write a config's timing cache to a file."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(memoryview(config.get_timing_cache().serialize()))


def _targets(trt: Any, requested: Sequence[str]) -> tuple[str, ...]:
    known = [name for name in dir(trt.ComputeCapability) if name.startswith("SM")]
    if not requested:
        return tuple(name for name in DEFAULT_TARGETS if name in known)
    targets = tuple(dict.fromkeys(name.upper() for name in requested))
    for name in targets:
        if name not in known:
            raise UserError(f"`compute_capability={name}`: this TensorRT-RTX builds for {', '.join(known)}")
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
