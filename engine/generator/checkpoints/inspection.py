"""Facts of a checkpoint for `sgi-engine inspect`, without reading the tensors of the network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sgi.engine.errors import one_line
from sgi.engine.generator.checkpoints.checkpoint import MAX_NAME, Checkpoint
from sgi.engine.generator.checkpoints.container import Container
from sgi.engine.generator.checkpoints.records import Call

_EXPECTED_MODULES = ("torch", "numpy", "collections", "builtins", "dnnlib", "torch_utils", "argparse", "_codecs")


def describe(container: Container, checkpoint: Checkpoint) -> dict[str, Any]:
    """Facts of a supported checkpoint as JSON values."""
    config = checkpoint.config
    return {
        "format": checkpoint.format,
        "resolution": config.resolution,
        "channels": {str(side): config.channels(side) for side in config.resolutions},
        "img_channels": config.img_channels,
        "z_dim": config.z_dim,
        "w_dim": config.w_dim,
        "classes": config.c_dim,
        "mapping_layers": config.mapping_layers,
        "mapping_lr_multiplier": config.mapping_lr_multiplier,
        "conv_clamp": config.conv_clamp,
        "parameters": checkpoint.parameters,
        "stored_as": sorted({ref.dtype for ref in checkpoint.tensors.values()}),
        **checkpoint.facts,
        "assumed": list(checkpoint.assumed),
        **remarks(container, checkpoint.dropped),
    }


def remarks(container: Container, dropped: tuple[str, ...]) -> dict[str, Any]:
    """What `import` leaves out: other parts of the file, fields with private paths, and names that are not executed."""
    return {
        "not_imported": list(dropped),
        "private_paths": [field for name in dropped for field in _paths(container.root, name)],
        "inert_names": [name for name in container.names if name.partition(".")[0] not in _EXPECTED_MODULES],
    }


def _paths(root: Any, name: str) -> Iterator[str]:
    """Fields of one part of the file that contain a disk path."""
    part = root.get(name) if isinstance(root, dict) else None
    fields = part.state if isinstance(part, Call) else part
    if not isinstance(fields, dict):
        return
    for field, value in fields.items():
        if isinstance(value, str) and (value.startswith(("/", "~/", "\\\\")) or value[1:3] in (":\\", ":/")):
            yield one_line(f"{name}.{field}", MAX_NAME)
