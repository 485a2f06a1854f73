"""Export to ONNX: bake, lower, write a temporary file with its description, verify it, and rename it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
from onnx import helper

from sgi.engine.artifact import METADATA_KEY, ONNX_SUFFIX, Artifact
from sgi.engine.describe import describe_generator
from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.engine.generator import Generator, generator_sha256
from sgi.engine.generator.stored_noise import with_noise
from sgi.engine.model_file import graph_sha256
from sgi.engine.model_input import with_input
from sgi.engine.offsets import Offset
from sgi.engine.progress import SILENT, Progress
from sgi.export import precision as precisions
from sgi.export.bake import bake
from sgi.export.exporter import Exported, NoSettings, Source
from sgi.export.graph import MAX_OPSET, GraphBuilder
from sgi.export.lower import lower
from sgi.export.network import Synthesiser, emit_ignored, emit_truncated, emit_w
from sgi.export.onnx_values import emit_value
from sgi.export.verify import verify

DEFAULT_OPSET = 20


class OnnxExporter:
    """One .onnx file; see `sgi.export.exporter.Exporter`."""

    suffixes: tuple[str, ...] = (ONNX_SUFFIX,)
    settings: type[Any] = NoSettings

    def check(self, settings: NoSettings) -> None:
        """See `Exporter.check`."""

    def write(self, source: Source, out: Path, settings: NoSettings, progress: Progress) -> Exported:
        """See `Exporter.write`."""
        return Exported(out, source.write_onnx(out))


def export_onnx(
    generator: Generator,
    offsets: Mapping[str, Offset | None],
    out: str | Path,
    *,
    psi: float = 1.0,
    cutoff: int | None = None,
    noise_mode: str = "const",
    noise_seed: int | None = None,
    precision: str = "fp32",
    opset: int | None = None,
    input: str = "z",
    progress: Progress = SILENT,
    message: str = "",
) -> Artifact:
    """Write `out`, a model with the inputs of `Artifact.inputs` and one output per type, float32.

    offsets: type -> offset, None for the picture; the outputs are in this order.
    psi: default truncation; cutoff: number of rows of w+ that it truncates, None for all.
    noise_mode: none or const, fixed in the file. noise_seed: store noise drawn from this seed in place of the
    generator's; None for the generator's. The batch is the only dynamic axis.
    precision: of the convolutions, fp32, fp16 or bf16. opset: None for 20, or 22 in bf16.
    input: what the model takes, z, w or w+. message: for `progress`, once the arguments are known to fit.
    Returns the file's description with the figures of its verification. Raises UserError for an offset of another
    generator, an opset out of range, or a file that does not reproduce the generator; then nothing is written.
    """
    artifact = describe(
        generator, offsets, psi=psi, cutoff=cutoff, noise_mode=noise_mode, precision=precision, opset=opset, input=input
    )
    if noise_seed is not None:
        artifact = replace(artifact, generator={**artifact.generator, "noise_seed": noise_seed})
        generator = with_noise(generator, noise_seed)
    if message:
        progress.message(message)
    with progress.stage("graph", 1) as stage:
        model = build(generator, offsets, artifact)
        stage.advance()
    with atomic_write(out) as temporary:
        onnx.save(model, temporary)
        parity = verify(temporary, generator, offsets, artifact, progress)
        artifact = replace(artifact, parity=parity, graph_sha256=graph_sha256(temporary.read_bytes()))
        helper.set_model_props(model, {METADATA_KEY: artifact.to_json()})
        onnx.save(model, temporary)
    return artifact


def describe(
    generator: Generator,
    offsets: Mapping[str, Offset | None],
    *,
    psi: float = 1.0,
    cutoff: int | None = None,
    noise_mode: str = "const",
    precision: str = "fp32",
    opset: int | None = None,
    input: str = "z",
) -> Artifact:
    """The description of the file that `export_onnx` writes for the same arguments, with the same checks and errors."""
    plan = precisions.get(precision)
    opset = max(DEFAULT_OPSET, plan.min_opset) if opset is None else opset
    if not plan.min_opset <= opset <= MAX_OPSET:
        raise UserError(f"`opset={opset}`: choose from {plan.min_opset} to {MAX_OPSET} for {precision}")
    return describe_generator(
        generator.config,
        generator_sha256(generator),
        offsets,
        psi=psi,
        cutoff=cutoff,
        noise_mode=noise_mode,
        precision=precision,
        opset=opset,
        input=input,
    )


def build(generator: Generator, offsets: Mapping[str, Offset | None], artifact: Artifact) -> onnx.ModelProto:
    """The graph that `artifact` describes, not yet verified."""
    lowered = lower(generator, artifact.noise_mode)
    affines = bake(generator, offsets)
    g = GraphBuilder(artifact.opset, artifact.type_names)
    label = "label" if artifact.c_dim else None
    w = emit_w(g, lowered, "z", label)
    w, truncated = (
        (emit_ignored(g, w, "psi"), "") if artifact.cutoff == 0 else (w, emit_truncated(g, lowered, w, "psi"))
    )
    synthesiser = Synthesiser(g, lowered, w, truncated, artifact.cutoff, precisions.get(artifact.precision))
    side = artifact.resolution
    outputs: dict[str, list[int | str]] = {}
    for intrinsic in artifact.types:
        raw = synthesiser.emit(affines[intrinsic.name], intrinsic.code_channels)
        outputs[emit_value(g, raw, intrinsic)] = ["batch", intrinsic.channels, side, side]
    inputs: dict[str, list[int | str]] = {"z": ["batch", artifact.z_dim], "psi": []}
    if label:
        inputs[label] = ["batch", artifact.c_dim]
    model = g.model("sgi", inputs, outputs, {METADATA_KEY: artifact.to_json()})
    if artifact.input == "z":
        return model
    model = onnx.load_from_string(with_input(model.SerializeToString(), artifact.input, artifact.num_ws))
    onnx.checker.check_model(model, full_check=True)
    return model
