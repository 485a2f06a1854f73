"""Marigold as a teacher, by Hugging Face `diffusers`: depth, normals, or albedo and shading.

Ke et al., "Repurposing Diffusion-Based Image Generators for Monocular Depth Estimation", CVPR 2024. The spec is
`diffusers:NAME_OR_FOLDER`, with options after a `?`: `steps` (of denoising), `ensemble` (predictions put together) and
`size` (longest side while it works). Only safetensors are read, and only the classes named here are made.
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
from sgi.trainer.scenes.colour import srgb_decode
from sgi.trainer.teachers.base import MapTeacher, identity
from sgi.trainer.teachers.codes import albedo_codes, normal_codes, shading_codes
from sgi.trainer.teachers.colour import WHITE_PATCH, luminance, white_patch
from sgi.trainer.teachers.spec import Spec, parse_spec

NOISE_SEED = 0
"""Every picture is denoised from the noise of this seed, alone, so an answer does not depend on the batch."""
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


@dataclass(frozen=True)
class Sampling:
    """How Marigold is asked; None leaves it to the model. See the options of the spec."""

    steps: int | None
    ensemble: int
    size: int | None


class MarigoldTeacher(MapTeacher):
    """A Marigold pipeline of `diffusers` as a Teacher; it gives no gradients."""

    def __init__(self, spec: Spec, pipeline: Any, sampling: Sampling) -> None:
        self.pipeline = pipeline
        self.sampling = sampling
        kind = type(pipeline).__name__
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
            f"{spec.title} ({kind.removesuffix('Pipeline')}; {OUTPUTS[kind]})",
            identity(facts, weights),
            types,
            resolution=sampling.size or pipeline.default_processing_resolution or None,
            notes={"output": OUTPUTS[kind], "sampling": str(sampling)},
        )

    @torch.no_grad()
    def codes(self, image: Tensor, types: Sequence[str]) -> dict[str, Tensor]:
        told = torch.stack([self._predict(picture) for picture in image]).to(image.dtype)  # [N, targets, C, H, W]
        if self.types == ("depth",):
            return {"depth": 1 - told[:, 0]}
        if self.types == ("normal",):
            return {"normal": normal_codes(told[:, 0])}
        albedo = self._linear("albedo", told)
        if self.targets["albedo"].get("up_to_scale"):
            albedo = albedo * white_patch(albedo)
        codes = {"albedo": albedo_codes(albedo)}
        if "shading" in types:
            codes["shading"] = shading_codes(_scaled(luminance(self._linear("shading", told)), albedo, image))
        return codes

    def _predict(self, picture: Tensor) -> Tensor:
        """What the pipeline tells of a picture [3, H, W]: [targets, C, H, W]."""
        device = self.pipeline.device
        answer = self.pipeline(
            picture[None].clamp(0, 1),
            num_inference_steps=self.sampling.steps,
            ensemble_size=self.sampling.ensemble,
            processing_resolution=self.sampling.size,
            generator=torch.Generator(device).manual_seed(NOISE_SEED),
            output_type="pt",
        )
        return answer.prediction.to(picture.device)

    def _linear(self, target: str, told: Tensor) -> Tensor:
        """A target of an intrinsics model as linear light [N, 3, H, W]."""
        values = told[:, list(self.targets).index(target)].clamp_min(0)
        return values if self.targets[target].get("prediction_space", "srgb") == "linear" else srgb_decode(values)


def open_diffusers(argument: str, device: str = "cpu") -> MarigoldTeacher:
    """The teacher of a Marigold pipeline, by its name on Hugging Face or the folder it was saved to.

    Raises UserError for a missing package, another pipeline, a model that is not there, is damaged or has no
    safetensors, and for options that make no sense.
    """
    spec = parse_spec("diffusers", argument, ("steps", "ensemble", "size"))
    sampling = Sampling(spec.count("steps"), spec.count("ensemble") or 1, spec.count("size"))
    diffusers, transformers = need("diffusers", spec.flag), need("transformers", spec.flag)
    libraries = {"diffusers": diffusers, "transformers": transformers}
    files = "a pipeline that `save_pretrained` wrote with safetensors"
    with loading(spec.flag, files), quiet(diffusers.utils.logging), quiet(transformers.utils.logging):
        index = diffusers.DiffusionPipeline.load_config(spec.target)
        kind = _known(spec, index)
        parts = {part: _load(spec, libraries[library], name, part) for part, (library, name) in WEIGHTS.items()}
        pipeline = getattr(diffusers, kind).from_pretrained(spec.target, use_safetensors=True, **parts)
    pipeline.set_progress_bar_config(disable=True)
    return MarigoldTeacher(spec, pipeline.to(device), _checked(spec, pipeline, sampling))


def _known(spec: Spec, index: Mapping[str, Any]) -> str:
    """The pipeline's class; raises UserError unless it and all its parts are those that are known here."""
    kind = index.get("_class_name")
    if not isinstance(kind, str) or kind not in OUTPUTS:
        raise UserError(f"{spec.flag}: a pipeline {kind} is not known here; known are {', '.join(OUTPUTS)}")
    allowed = {part: (pair,) for part, pair in WEIGHTS.items()} | OTHERS
    for part, pairs in allowed.items():
        named = index.get(part)
        if not isinstance(named, list | tuple) or tuple(named) not in pairs:
            raise UserError(f"{spec.flag}: its {part} is {named}, not {' or '.join(name for _, name in pairs)}")
    return kind


def _load(spec: Spec, library: ModuleType, name: str, part: str) -> Any:
    """A part of the pipeline that has weights, all of which must be in its file."""
    model, report = getattr(library, name).from_pretrained(
        spec.target, subfolder=part, use_safetensors=True, torch_dtype=torch.float32, output_loading_info=True
    )
    missing_weights(spec.flag, report)
    return model.eval().requires_grad_(False)


def _checked(spec: Spec, pipeline: Any, sampling: Sampling) -> Sampling:
    """The sampling itself; raises UserError where the model neither takes it nor says its own, or lacks a part."""
    pieces, known = len(pipeline.tokenizer), pipeline.text_encoder.config.vocab_size
    if pieces != known:  # the library makes an empty tokenizer up where the files are missing
        raise UserError(f"{spec.flag}: its tokenizer has {pieces} pieces, its text encoder {known}; fetch it again")
    if not (sampling.steps or pipeline.default_denoising_steps):
        raise UserError(f"{spec.flag}: the model does not say how many steps it takes; add ?steps=4")
    if sampling.size is None and pipeline.default_processing_resolution is None:
        raise UserError(f"{spec.flag}: the model does not say at which size it works; add ?size=768")
    if sampling.size and sampling.size % pipeline.vae_scale_factor:
        raise UserError(f"{spec.flag}: size={sampling.size}: must be a multiple of {pipeline.vae_scale_factor}")
    return sampling


def _targets(spec: Spec, pipeline: Any) -> dict[str, Mapping[str, Any]]:
    """Properties of what an intrinsics model tells, in its order; raises UserError if the albedo is not among it."""
    properties = pipeline.target_properties or {}
    names = list(properties.get("target_names", ()))
    if "albedo" not in names or len(names) != pipeline.n_targets:
        raise UserError(f"{spec.flag}: its target_properties name {names}, not an albedo among {pipeline.n_targets}")
    return {name: properties.get(name, {}) for name in names}


def _scaled(shading: Tensor, albedo: Tensor, image: Tensor) -> Tensor:
    """Shading [N, 1, H, W] of free scale, brought to where albedo * shading is nearest to the picture's light."""
    light, product = srgb_decode(image), albedo * shading
    dims = (1, 2, 3)
    scale = (light * product).sum(dims, keepdim=True) / product.square().sum(dims, keepdim=True).clamp_min(1e-12)
    return shading * scale
