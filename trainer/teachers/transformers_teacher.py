"""Hugging Face `transformers` models as teachers: depth (DPT, Depth Anything, ZoeDepth) and semantic segmentation.

The spec is `transformers:NAME_OR_FOLDER`, with options after a `?`: `depth` (metric for distances in metres, inverse
for inverse depth of unknown scale; required where the model's config does not state it, as those of DPT), `far`
(distance in metres whose value is 1, for metric depth) and `classes` (the classes to separate; all others become the
class `other`). Only safetensors are read, and no code of a model's files is executed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sgi.engine.errors import UserError
from sgi.trainer.packages import loading, missing_weights, need, quiet
from sgi.trainer.teachers.classes import class_codes, class_types
from sgi.trainer.teachers.codes import DISPARITY, disparity_codes, metric_codes, metric_description
from sgi.trainer.teachers.map_teacher import MapTeacher, content_sha256
from sgi.trainer.teachers.preprocessing import Preprocessing
from sgi.trainer.teachers.teacher_spec import Spec, parse_spec

FAR = 10.0
"""Default distance in metres whose value is 1 in maps of metric depth: the range of the NYU rooms."""
METRIC, INVERSE = "metric", "inverse"
"""The values of the option `depth`."""
OTHER = "other"
DEPTH = ("dpt", "depth_anything", "zoedepth")
SEGMENTING = {
    "dpt": "AutoModelForSemanticSegmentation",
    "mask2former": "AutoModelForUniversalSegmentation",
    "mobilenet_v2": "AutoModelForSemanticSegmentation",
    "segformer": "AutoModelForSemanticSegmentation",
}
# Side in pixels at which the library's post-processing adds up Mask2Former's masks, for pictures of any size.
_MASK_SIDE = 384
# Weights that published DPT files omit, because the network never uses them.
_UNUSED = re.compile(r"neck\.fusion_stage\.layers\.0\.residual_layer1\.")
_OMITTED_FACTS = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")


class TransformersTeacher(MapTeacher):
    """A model of `transformers` with the steps of its image processor; differentiable in the picture."""

    chunk = 8

    def __init__(
        self,
        spec: Spec,
        model: Any,
        unused: Sequence[str],
        preprocessing: Preprocessing,
        types: Sequence[str],
        classes: Sequence[str] = (),
        output: str = "",
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.preprocessing = preprocessing
        config = {key: value for key, value in model.config.to_dict().items() if key not in _OMITTED_FACTS}
        facts = {"transformers": config, "input": preprocessing.facts(), "output": output, "classes": list(classes)}
        weights = ((name, tensor) for name, tensor in model.state_dict().items() if name not in unused)
        super().__init__(
            f"{spec.title} ({model.config.model_type}; {output})",
            content_sha256(facts, weights),
            types,
            classes,
            preprocessing.input_size(1, 1)[0] if preprocessing.height or preprocessing.shortest else None,
            {"input": str(preprocessing.facts()), "output": output},
        )


class DepthTeacher(TransformersTeacher):
    """A depth model as a Teacher.

    far: distance in metres whose value is 1; None for a model that predicts inverse depth of unknown scale.
    """

    def __init__(
        self, spec: Spec, model: Any, unused: Sequence[str], preprocessing: Preprocessing, far: float | None
    ) -> None:
        self.far = far
        super().__init__(
            spec, model, unused, preprocessing, ("depth",), output=DISPARITY if far is None else metric_description(far)
        )

    def codes(self, image: Tensor, types: Sequence[str]) -> dict[str, Tensor]:
        raw = self.model(pixel_values=self.preprocessing(image)).predicted_depth
        depth = self.preprocessing.to_picture_size(raw[:, None], image, "bicubic")
        return {"depth": disparity_codes(depth) if self.far is None else metric_codes(depth, self.far)}


class SegmentationTeacher(TransformersTeacher):
    """A segmentation model as a Teacher of `segmentation` and of the mask of each class.

    groups: class name -> indices of the model's classes that are merged into it.
    """

    def __init__(
        self,
        spec: Spec,
        model: Any,
        unused: Sequence[str],
        preprocessing: Preprocessing,
        groups: Mapping[str, Sequence[int]],
    ) -> None:
        self.groups = {label: list(indices) for label, indices in groups.items()}
        classes = tuple(self.groups)
        output = f"the likeliest of {len(classes)} classes; masks: probabilities"
        super().__init__(spec, model, unused, preprocessing, class_types(classes), classes, output)

    def codes(self, image: Tensor, types: Sequence[str]) -> dict[str, Tensor]:
        output = self.model(pixel_values=self.preprocessing(image))
        if self.model.config.model_type == "mask2former":
            # The softmax of log scores is the score divided by the sum of the scores.
            scores = self.preprocessing.to_picture_size(_class_scores(output), image, "bilinear")
            logits = scores.clamp_min(1e-12).log()
        else:
            logits = self.preprocessing.to_picture_size(output.logits, image, "bilinear")
        grouped = torch.stack([logits[:, indices].logsumexp(dim=1) for indices in self.groups.values()], dim=1)
        return {name: class_codes(grouped, self.classes, name) for name in types}


def _class_scores(output: Any) -> Tensor:
    """Scores [N, K, h, w] >= 0 of the classes: the sum of class times mask probability over Mask2Former's queries.

    Cheng et al., "Masked-attention Mask Transformer for Universal Image Segmentation", CVPR 2022; the steps
    are those of the library's post-processing.
    """
    masks = F.interpolate(output.masks_queries_logits, (_MASK_SIDE,) * 2, mode="bilinear", align_corners=False)
    classes = output.class_queries_logits.softmax(dim=-1)[..., :-1]  # the last one is "no object"
    return torch.einsum("nqk,nqhw->nkhw", classes, masks.sigmoid())


def open_teacher(argument: str, device: str = "cpu") -> TransformersTeacher:
    """The teacher of a Hugging Face model, named by its Hugging Face name or the folder it was saved to.

    Raises UserError for a missing package, for a model that is missing, damaged, without safetensors or of an
    unsupported kind, and for options that do not apply to it.
    """
    spec = parse_spec("transformers", argument, ("depth", "far", "classes"))
    transformers = need("transformers", spec.parameter)
    safe = {"trust_remote_code": False}
    with (
        loading(spec.parameter, "config.json, preprocessor_config.json and model.safetensors"),
        quiet(transformers.utils.logging),
    ):
        config = transformers.AutoConfig.from_pretrained(spec.target, **safe)
        auto, segmenting = _auto_class(spec, config)
        far = None if segmenting else _far(spec, config)
        processor = transformers.AutoImageProcessor.from_pretrained(spec.target, **safe)
        model, report = getattr(transformers, auto).from_pretrained(
            spec.target,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # `missing_weights` raises an error that names one
            **safe,
        )
        preprocessing = Preprocessing.from_processor(processor, config.model_type)
    missing = missing_weights(spec.parameter, report, _UNUSED.match)
    model.to(device)
    if segmenting:
        return SegmentationTeacher(spec, model, missing, preprocessing, _groups(spec, config.id2label))
    return DepthTeacher(spec, model, missing, preprocessing, far)


def _auto_class(spec: Spec, config: Any) -> tuple[str, bool]:
    """The class of the library that loads the model, and whether it segments."""
    architecture = (config.architectures or [""])[0]
    if architecture.endswith("ForDepthEstimation") and config.model_type in DEPTH:
        _refuse(spec, "classes", "a depth model has no classes")
        return "AutoModelForDepthEstimation", False
    if architecture.endswith("Segmentation") and config.model_type in SEGMENTING:
        for option in ("depth", "far"):
            _refuse(spec, option, "a segmentation model has no distances")
        return SEGMENTING[config.model_type], True
    raise UserError(
        f"{spec.parameter}: model class {architecture or config.model_type} is not supported; supported are depth by "
        f"{', '.join(DEPTH)} and segmentation by {', '.join(SEGMENTING)}; export others to ONNX (onnx:FILE.yaml)"
    )


def _far(spec: Spec, config: Any) -> float | None:
    """The distance in metres whose value is 1 for a model of metric depth; None for one of inverse depth."""
    stated, asked = _stated(config), spec.options.get("depth")
    if asked not in (None, METRIC, INVERSE):
        raise UserError(f"{spec.parameter}: depth={asked}: choose {METRIC} or {INVERSE}")
    if stated and asked and stated != asked:
        raise UserError(f"{spec.parameter}: depth={asked}: its config states {stated} depth; remove the option")
    if not (stated or asked):
        raise UserError(
            f"{spec.parameter}: its config does not state what it predicts; add the option depth={METRIC} if these are "
            f"distances in metres (models for NYU or KITTI), or depth={INVERSE} if near is large (MiDaS, dpt-large)"
        )
    if (asked or stated) == METRIC:
        return spec.number("far", FAR)
    _refuse(spec, "far", "the model predicts inverse depth of unknown scale, not metres")
    return None


def _stated(config: Any) -> str | None:
    """What a config states of a model's depth, None for nothing.

    Depth Anything has `depth_estimation_type`, whose value `relative` is inverse depth, and ZoeDepth the range in
    metres of each of its heads. The class of a model says nothing: DPT heads predict either.
    """
    known = {"metric": METRIC, "relative": INVERSE}.get(getattr(config, "depth_estimation_type", None) or "")
    heads = getattr(config, "bin_configurations", None) or []
    return METRIC if heads and all("max_depth" in head for head in heads) else known


def _groups(spec: Spec, id2label: Mapping[int, str]) -> dict[str, list[int]]:
    """Class name -> indices of the model's classes that are merged into it.

    Without the option `classes` these are all classes of the model, else `other` and the chosen ones.
    """
    labels = {int(index): str(label) for index, label in id2label.items()}
    chosen = spec.names("classes")
    if not chosen:
        groups: dict[str, list[int]] = {}
        for index, label in sorted(labels.items()):
            groups.setdefault(label, []).append(index)
        return groups
    groups = {OTHER: sorted(labels)}
    for name in chosen:
        found = [index for index, label in labels.items() if name in _synonyms(label)]
        taken = [index for index in found if index not in groups[OTHER]]
        if not found or taken or name == OTHER:
            known = ", ".join(labels.values())
            raise UserError(
                f"{spec.parameter}: classes: {name!r} is not one of its classes, or is named twice: choose from {known}"
            )
        groups[name] = found
        groups[OTHER] = [index for index in groups[OTHER] if index not in found]
    if not groups[OTHER]:
        del groups[OTHER]
    return groups


def _synonyms(label: str) -> set[str]:
    """All names of a class. ADE20K's labels are lists of synonyms, such as "floor, flooring"."""
    return {label, *(part.strip() for part in re.split("[,;]", label))}


def _refuse(spec: Spec, option: str, reason: str) -> None:
    if option in spec.options:
        raise UserError(f"{spec.parameter}: {option}: {reason}; remove it")
