"""Marigold, in Hugging Face `diffusers`, as a teacher: depth, normals, or albedo and shading.

Ke et al., "Repurposing Diffusion-Based Image Generators for Monocular Depth Estimation", CVPR 2024. The spec is
`diffusers:NAME_OR_FOLDER`, with options after a `?`: `steps` (of denoising), `ensemble` (predictions to combine) and
`size` (longest side in pixels during processing). Only safetensors are read, and only the classes that this module
lists are instantiated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.trainer.packages import loading, missing_weights, need, quiet
from sgi.trainer.scenes.srgb import srgb_decode
from sgi.trainer.teachers.codes import albedo_codes, normal_codes, shading_codes
from sgi.trainer.teachers.luminance import WHITE_PATCH, luminance, white_patch
from sgi.trainer.teachers.map_teacher import MapTeacher, content_sha256
from sgi.trainer.teachers.teacher_spec import Spec, parse_spec

NOISE_SEED = 0
"""Seed of the noise of each picture. Pictures are denoised one by one, so the batch does not affect a result."""
WEIGHTS = {
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
}
OTHERS = {
    "scheduler": (("diffusers", "DDIMScheduler"), ("diffusers", "LCMScheduler")),
    "tokenizer": (("transformers", "CLIPTokenizer"), ("transformers", "CLIPTokenizerFast")),
}
OUTPUTS = {
    "MarigoldDepthPipeline": "depth of unknown scale and shift, from the nearest to the farthest plane of the picture",
    "MarigoldNormalsPipeline": "normals, +X right, +Y up, +Z to the viewer",
    "MarigoldIntrinsicsPipeline": f"albedo, {WHITE_PATCH} where its scale is free; shading, the luminance of the light",
}
DISPARITY = "inverse depth of unknown scale and shift, from the farthest to the nearest plane of the picture"
"""Output of a depth pipeline with `prediction_type` disparity, in place of that of `OUTPUTS`."""


@dataclass(frozen=True)
class Sampling:
    """The options of the spec; None means the default of the model."""

    steps: int | None
    ensemble: int
    size: int | None


class MarigoldTeacher(MapTeacher):
    """A Marigold pipeline of `diffusers` as a Teacher; without gradients."""

    def __init__(self, spec: Spec, pipeline: Any, sampling: Sampling) -> None:
        self.pipeline = pipeline
        self.sampling = sampling
        kind = type(pipeline).__name__
        self.is_disparity = kind == "MarigoldDepthPipeline" and pipeline.config.prediction_type == "disparity"
        output = DISPARITY if self.is_disparity else OUTPUTS[kind]
        self.targets = _targets(spec, pipeline) if kind == "MarigoldIntrinsicsPipeline" else {}
        config = {name: value for name, value in pipeline.config.items() if name not in (*WEIGHTS, *OTHERS)}
        facts = {
            "diffusers": kind,
            "config": {name: value for name, value in config.items() if not name.startswith("_")},
            "scheduler": {name: str(value) for name, value in pipeline.scheduler.config.items() if name[0] != "_"},
            "sampling": asdict(sampling),
            "seed": NOISE_SEED,
        }
        weights = chain.from_iterable(
            ((f"{part}.{name}", tensor) for name, tensor in getattr(pipeline, part).state_dict().items())
            for part in WEIGHTS
        )
        types = {"MarigoldDepthPipeline": ["depth"], "MarigoldNormalsPipeline": ["normal"]}.get(
            kind, [name for name in ("albedo", "shading") if name in self.targets]
        )
        super().__init__(
            f"{spec.title} ({kind.removesuffix('Pipeline')}; {output})",
            content_sha256(facts, weights),
            types,
            resolution=sampling.size or pipeline.default_processing_resolution or None,
            notes={"output": output, "sampling": str(sampling)},
        )

    @torch.no_grad()
    def codes(self, image: Tensor, types: Sequence[str]) -> dict[str, Tensor]:
        prediction = torch.stack([self._predict(picture) for picture in image]).to(image.dtype)  # [N, targets, C, H, W]
        if self.types == ("depth",):
            return {"depth": prediction[:, 0] if self.is_disparity else 1 - prediction[:, 0]}
        if self.types == ("normal",):
            return {"normal": normal_codes(prediction[:, 0])}
        albedo = self._linear("albedo", prediction)
        if self.targets["albedo"].get("up_to_scale"):
            albedo = albedo * white_patch(albedo)
        codes = {"albedo": albedo_codes(albedo)}
        if "shading" in types:
            codes["shading"] = shading_codes(_scaled(luminance(self._linear("shading", prediction)), albedo, image))
        return codes

    def _predict(self, picture: Tensor) -> Tensor:
        """The prediction of the pipeline for a picture [3, H, W]: [targets, C, H, W]."""
        device = self.pipeline.device
        output = self.pipeline(
            picture[None].clamp(0, 1),
            num_inference_steps=self.sampling.steps,
            ensemble_size=self.sampling.ensemble,
            processing_resolution=self.sampling.size,
            generator=torch.Generator(device).manual_seed(NOISE_SEED),
            output_type="pt",
        )
        return output.prediction.to(picture.device)

    def _linear(self, target: str, prediction: Tensor) -> Tensor:
        """One target in the prediction of an intrinsics model, as linear light [N, 3, H, W]."""
        values = prediction[:, list(self.targets).index(target)].clamp_min(0)
        return values if self.targets[target].get("prediction_space", "srgb") == "linear" else srgb_decode(values)


def open_teacher(argument: str, device: str = "cpu") -> MarigoldTeacher:
    """The teacher of a Marigold pipeline, named by its Hugging Face name or the folder it was saved to.

    Raises UserError for a missing package, another pipeline, a model that is missing, damaged or without safetensors,
    and for invalid options.
    """
    spec = parse_spec("diffusers", argument, ("steps", "ensemble", "size"))
    sampling = Sampling(spec.count("steps"), spec.count("ensemble") or 1, spec.count("size"))
    diffusers, transformers = need("diffusers", spec.parameter), need("transformers", spec.parameter)
    libraries = {"diffusers": diffusers, "transformers": transformers}
    files = "a pipeline that `save_pretrained` wrote with safetensors"
    with loading(spec.parameter, files), quiet(diffusers.utils.logging), quiet(transformers.utils.logging):
        index = diffusers.DiffusionPipeline.load_config(spec.target)
        kind = _pipeline_class(spec, index)
        parts = {part: _load(spec, libraries[library], name, part) for part, (library, name) in WEIGHTS.items()}
        pipeline = getattr(diffusers, kind).from_pretrained(spec.target, use_safetensors=True, **parts)
    pipeline.set_progress_bar_config(disable=True)
    return MarigoldTeacher(spec, pipeline.to(device), _checked(spec, pipeline, sampling))


def _pipeline_class(spec: Spec, index: Mapping[str, Any]) -> str:
    """The class of the pipeline; raises UserError unless it and all its parts are of supported classes."""
    kind = index.get("_class_name")
    if not isinstance(kind, str) or kind not in OUTPUTS:
        raise UserError(f"{spec.parameter}: pipeline class {kind} is not supported; choose from {', '.join(OUTPUTS)}")
    allowed = {part: (pair,) for part, pair in WEIGHTS.items()} | OTHERS
    for part, pairs in allowed.items():
        named = index.get(part)
        if not isinstance(named, list | tuple) or tuple(named) not in pairs:
            raise UserError(f"{spec.parameter}: its {part} is {named}, not {' or '.join(name for _, name in pairs)}")
    return kind


def _load(spec: Spec, library: ModuleType, name: str, part: str) -> Any:
    """A part of the pipeline; raises UserError if its file lacks a weight."""
    model, report = getattr(library, name).from_pretrained(
        spec.target, subfolder=part, use_safetensors=True, torch_dtype=torch.float32, output_loading_info=True
    )
    missing_weights(spec.parameter, report)
    return model.eval().requires_grad_(False)


def _checked(spec: Spec, pipeline: Any, sampling: Sampling) -> Sampling:
    """Return `sampling`; raises UserError if the model does not support it or its tokenizer is incomplete."""
    stated = pipeline.config.get("prediction_type")
    if type(pipeline).__name__ == "MarigoldDepthPipeline" and stated not in ("depth", "disparity"):
        raise UserError(
            f"{spec.parameter}: its model_index.json states the prediction_type {stated!s:.40}, not depth or disparity"
        )
    tokens, expected = len(pipeline.tokenizer), pipeline.text_encoder.config.vocab_size
    if tokens != expected:  # the library creates an empty tokenizer where its files are missing
        raise UserError(
            f"{spec.parameter}: its tokenizer has {tokens} tokens, its text encoder {expected}; download it again"
        )
    if not (sampling.steps or pipeline.default_denoising_steps):
        raise UserError(f"{spec.parameter}: the model has no default number of steps; add ?steps=4")
    if sampling.size is None and pipeline.default_processing_resolution is None:
        raise UserError(f"{spec.parameter}: the model has no default size; add ?size=768")
    if sampling.size and sampling.size % pipeline.vae_scale_factor:
        raise UserError(f"{spec.parameter}: size={sampling.size}: must be a multiple of {pipeline.vae_scale_factor}")
    return sampling


def _targets(spec: Spec, pipeline: Any) -> dict[str, Mapping[str, Any]]:
    """Target name -> properties of an intrinsics model, in its order; raises UserError if there is no albedo."""
    properties = pipeline.target_properties or {}
    names = list(properties.get("target_names", ()))
    if "albedo" not in names or len(names) != pipeline.n_targets:
        raise UserError(
            f"{spec.parameter}: its target_properties name {names}: "
            f"expected {pipeline.n_targets} targets, one of them albedo"
        )
    return {name: properties.get(name, {}) for name in names}


def _scaled(shading: Tensor, albedo: Tensor, image: Tensor) -> Tensor:
    """Shading [N, 1, H, W] of unknown scale times the least-squares scale of albedo * shading to the linear picture."""
    light, product = srgb_decode(image), albedo * shading
    dims = (1, 2, 3)
    scale = (light * product).sum(dims, keepdim=True) / product.square().sum(dims, keepdim=True).clamp_min(1e-12)
    return shading * scale
