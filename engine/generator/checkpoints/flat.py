"""State dicts with NVIDIA's tensor names, such as `synthesis.b4.const`, which conversion scripts write."""

from __future__ import annotations

from sgi.engine.errors import UserError
from sgi.engine.generator.checkpoints.checkpoint import PUBLISHED_LR_MULTIPLIER, Checkpoint, assemble
from sgi.engine.generator.checkpoints.container import Container
from sgi.engine.generator.checkpoints.renaming import RATE_ASSUMED, check_mapping_input
from sgi.engine.generator.checkpoints.state_dicts import find_state

SIGNATURE = "synthesis.b4.const"
ASSUMED = ("the format does not store conv_clamp: assumed to be none", RATE_ASSUMED)


def detect(container: Container) -> bool:
    """Whether a container has a dict with NVIDIA's tensor names."""
    return find_state(container, SIGNATURE) is not None


def load(container: Container) -> Checkpoint:
    """The generator of a state dict; conv_clamp and the learning-rate multiplier are assumed."""
    found = find_state(container, SIGNATURE)
    if found is None:
        raise UserError(f"{container.label}: not a StyleGAN2 state dict")
    own = {name: value for name, value in found.tensors.items() if name.startswith(("mapping.", "synthesis."))}
    tensors = {name: container.reader.tensor(value, name) for name, value in own.items()}
    if "mapping.embed.weight" not in tensors:
        check_mapping_input(container.label, tensors)
    return assemble(
        container.label,
        f"flat StyleGAN2 state dict ({container.kind})",
        tensors,
        conv_clamp=None,
        lr_multiplier=PUBLISHED_LR_MULTIPLIER,
        assumed=ASSUMED,
        dropped=(*found.outside, *(found.tensors.keys() - own.keys())),
    )
