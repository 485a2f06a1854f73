"""Tiny models of random weights, saved by the Hugging Face libraries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import offline  # noqa: F401  before anything imports a Hugging Face library
import torch

STAGES = ["stage1", "stage2", "stage3", "stage4"]
LABELS = ("wall", "floor, flooring", "bed ", "lamp", "Lamp")


def _labels(count: int) -> dict[str, Any]:
    return {"id2label": dict(enumerate(LABELS[:count])), "label2id": {name: k for k, name in enumerate(LABELS[:count])}}


def _dpt_config(**more: Any) -> Any:
    from transformers import DPTConfig

    return DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=24, image_size=32, patch_size=8,
        backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8, is_hybrid=False,
        use_auxiliary_head=False, **more,
    )  # fmt: skip


def _dpt() -> tuple[Any, Any]:
    from transformers import DPTForDepthEstimation, DPTImageProcessor

    return DPTForDepthEstimation(_dpt_config()), DPTImageProcessor(size={"height": 32, "width": 32})


def _dpt_dinov2() -> tuple[Any, Any]:
    """As facebook/dpt-dinov2-small-nyu, which predicts metres: DPT on DINOv2, whose config does not say so."""
    from transformers import Dinov2Config, DPTConfig, DPTForDepthEstimation, DPTImageProcessor

    backbone = Dinov2Config(
        image_size=28, patch_size=14, num_hidden_layers=4, hidden_size=16, num_attention_heads=2, mlp_ratio=2,
        out_features=STAGES, apply_layernorm=False, reshape_hidden_states=False,
    )  # fmt: skip
    config = DPTConfig(
        backbone_config=backbone, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8, use_auxiliary_head=False,
    )  # fmt: skip
    return DPTForDepthEstimation(config), DPTImageProcessor(size={"height": 28, "width": 28})


def _dpt_segmenting() -> tuple[Any, Any]:
    from transformers import DPTForSemanticSegmentation, DPTImageProcessor

    return (
        DPTForSemanticSegmentation(_dpt_config(**_labels(3))),
        DPTImageProcessor(size={"height": 32, "width": 32}),
    )


def _depth_anything(**more: Any) -> tuple[Any, Any]:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    backbone = Dinov2Config(
        image_size=28, patch_size=14, num_hidden_layers=4, hidden_size=16, num_attention_heads=2, mlp_ratio=2,
        out_features=STAGES, apply_layernorm=True, reshape_hidden_states=False,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone, reassemble_hidden_size=16, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
        head_hidden_size=4, **more,
    )  # fmt: skip
    processor = DPTImageProcessor(size={"height": 28, "width": 42}, keep_aspect_ratio=True, ensure_multiple_of=14)
    return DepthAnythingForDepthEstimation(config), processor


def _depth_anything_metric() -> tuple[Any, Any]:
    return _depth_anything(depth_estimation_type="metric", max_depth=20)


def _zoedepth() -> tuple[Any, Any]:
    from transformers import BeitConfig, ZoeDepthConfig, ZoeDepthForDepthEstimation, ZoeDepthImageProcessor

    backbone = BeitConfig(
        image_size=32, patch_size=8, num_hidden_layers=4, hidden_size=16, num_attention_heads=2, intermediate_size=24,
        out_features=STAGES, reshape_hidden_states=False,
    )  # fmt: skip
    config = ZoeDepthConfig(
        backbone_config=backbone, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8, bottleneck_features=8,
        num_relative_features=4, bin_embedding_dim=8, num_attractors=[4, 2, 2, 1],
        bin_configurations=[{"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0, "name": "nyu"}],
    )  # fmt: skip
    return ZoeDepthForDepthEstimation(config), ZoeDepthImageProcessor(size={"height": 32, "width": 48})


def _segformer() -> tuple[Any, Any]:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessor

    config = SegformerConfig(
        depths=[1] * 4, hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 2, 2], decoder_hidden_size=16,
        **_labels(5),
    )  # fmt: skip
    return (
        SegformerForSemanticSegmentation(config),
        SegformerImageProcessor(size={"height": 64, "width": 64}),
    )


def _mobilenet() -> tuple[Any, Any]:
    from transformers import MobileNetV2Config, MobileNetV2ForSemanticSegmentation, MobileNetV2ImageProcessor

    config = MobileNetV2Config(depth_multiplier=0.1, min_depth=4, output_stride=8, **_labels(4))
    processor = MobileNetV2ImageProcessor(size={"shortest_edge": 65}, crop_size={"height": 65, "width": 65})
    return MobileNetV2ForSemanticSegmentation(config), processor


def _mask2former() -> tuple[Any, Any]:
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessor,
        SwinConfig,
    )

    backbone = SwinConfig(
        image_size=32, patch_size=4, embed_dim=8, depths=[1] * 4, num_heads=[1, 1, 2, 2], window_size=4,
        out_features=STAGES,
    )  # fmt: skip
    config = Mask2FormerConfig(
        backbone_config=backbone, feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=16,
        dim_feedforward=16, encoder_layers=1, decoder_layers=2, num_attention_heads=2, num_queries=6, **_labels(4),
    )  # fmt: skip
    processor = Mask2FormerImageProcessor(size={"shortest_edge": 40, "longest_edge": 96})
    return Mask2FormerForUniversalSegmentation(config), processor


MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "dpt": _dpt,
    "dpt-dinov2": _dpt_dinov2,
    "dpt-segmenting": _dpt_segmenting,
    "depth-anything": _depth_anything,
    "depth-anything-metric": _depth_anything_metric,
    "zoedepth": _zoedepth,
    "segformer": _segformer,
    "mobilenet": _mobilenet,
    "mask2former": _mask2former,
}


def randomise(model: torch.nn.Module) -> None:
    """Initialise weights so that outputs depend on the picture; new models return almost constant outputs."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
        else:
            torch.nn.init.normal_(parameter, parameter.mean().item(), 0.1)


def save_model(name: str, folder: Path) -> Path:
    """Save a model of `MODELS` with its image processor; the weights are the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model, processor = MODELS[name]()
        randomise(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_marigold(kind: str, folder: Path, targets: int = 1, **more: Any) -> Path:
    """Save a Marigold pipeline, `kind` one of Depth, Normals, Intrinsics; `more` goes to the pipeline."""
    import diffusers
    import transformers

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        unet = diffusers.UNet2DConditionModel(
            block_out_channels=(8, 16), layers_per_block=1, sample_size=8, in_channels=4 + 4 * targets,
            out_channels=4 * targets, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), cross_attention_dim=8, attention_head_dim=4,
            norm_num_groups=4,
        )  # fmt: skip
        vae = diffusers.AutoencoderKL(
            block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=4,
        )  # fmt: skip
        text_config = transformers.CLIPTextConfig(
            hidden_size=8, intermediate_size=8, num_attention_heads=2, num_hidden_layers=1, vocab_size=4,
            max_position_embeddings=16, bos_token_id=0, eos_token_id=1, pad_token_id=1,
        )  # fmt: skip
        text_encoder = transformers.CLIPTextModel(text_config)
        randomise(unet)
        randomise(vae)
    pieces = {"<|startoftext|>": 0, "<|endoftext|>": 1, "!": 2, "!</w>": 3}
    pipeline = getattr(diffusers, f"Marigold{kind}Pipeline")(
        unet=unet,
        vae=vae,
        scheduler=diffusers.DDIMScheduler(
            timestep_spacing="trailing", prediction_type="v_prediction", clip_sample=False
        ),
        text_encoder=text_encoder,
        tokenizer=transformers.CLIPTokenizer(vocab=pieces, merges=[], model_max_length=16),
        **{"prediction_type": kind.lower(), "default_denoising_steps": 2, "default_processing_resolution": 16, **more},
    )
    pipeline.save_pretrained(folder)
    return folder
