"""Recognition of unsupported networks by their tensor names, for specific error messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from sgi.engine.errors import UserError
from sgi.engine.generator.checkpoints.checkpoint import Unsupported
from sgi.engine.generator.checkpoints.container import Container
from sgi.engine.generator.checkpoints.records import REMEDY, Call
from sgi.engine.generator.checkpoints.state_dicts import MAX_DEPTH, fields

MAX_NAMES = 50_000
MAX_DICTS = 200

# The first row whose test is true for a name, or for a name after its first dot, is the answer.
_KNOWN: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("a StyleGAN3 or StyleGAN-XL network", lambda n: n.startswith(("synthesis.input.freqs", "synthesis.L0_"))),
    ("a StyleGAN1 network", lambda n: n.startswith(("progression.", "generator.progression.", "g_synthesis.blocks."))),
    ("a StyleGAN2 of mmgeneration (its channels may be BGR)", lambda n: n.startswith("generator_ema.")),
    ("a StyleGAN2 of genforce", lambda n: n.startswith(("generator_smooth.", "mapping.dense0."))),
    ("a MobileStyleGAN network", lambda n: "m_conv." in n or "conv_synthesis_net" in n),
    (
        "a network of lucidrains/stylegan2-pytorch, which upsamples bilinearly and has other layers than StyleGAN2",
        lambda n: n.endswith((".to_style1.weight", ".initial_conv.weight")),
    ),
    (
        "a network of adriansahlman/stylegan2_pytorch, whose architecture is not the same (its skip path is shifted by "
        "one pixel), so that its weights cannot be converted: import the original .pkl if it was made from one, or "
        "train again with a code of StyleGAN2",
        lambda n: n.startswith("conv_blocks.0.conv_block.0.layer."),
    ),
    ("a face restorer (GFPGAN), whose StyleGAN2 was changed", lambda n: n.startswith("stylegan_decoder.")),
    ("an EG3D network, whose pictures are rendered from planes", lambda n: n.startswith("backbone.synthesis.")),
    (
        "a diffusion model",
        lambda n: n.startswith(("down_blocks.0.", "mid_block.", "model.diffusion_model.", "transformer_blocks.0.")),
    ),
    ("a VQGAN", lambda n: n.startswith(("quantize.embedding.weight", "quantize.embed.weight"))),
    ("a discriminator", lambda n: n.startswith(("final_linear.0.", "discriminator.final_linear.0."))),
    ("a picture classifier (ResNet)", lambda n: n.startswith("layer1.0.conv1.weight")),
)


def refusal(container: Container) -> UserError:
    """The error for a file that no reader detects: Unsupported with the name of a known network, else UserError."""
    names = list(islice(_tensor_names(container), MAX_NAMES))
    for what, test in _KNOWN:
        if any(test(name) or test(name.partition(".")[2]) for name in names):
            return Unsupported(f"{container.label}: refused, {what}; only StyleGAN2 is read")
    if isinstance(container.root, Call):
        return UserError(f"{container.label}: not a StyleGAN2 checkpoint: a call of {container.root.target}; {REMEDY}")
    inside = f"a {type(container.root).__name__}"
    if isinstance(container.root, dict):
        keys = [str(key)[:30] for key in islice(container.root, 4)]
        inside = f"a dict of {', '.join(keys)} ..." if keys else "an empty dict"
        if "fingerprint" in container.root:
            inside = "the state of an interrupted command of sgi-engine, which continues from it"
    return UserError(f"{container.label}: not a StyleGAN2 checkpoint: {inside}; {REMEDY}")


def _tensor_names(container: Container) -> Iterator[str]:
    """Keys of the dicts and modules in a file, those near the root first."""
    todo: deque[tuple[Any, int]] = deque([(container.root, 0)])
    seen: set[int] = set()
    while todo and len(seen) < MAX_DICTS:
        value, depth = todo.popleft()
        content = None if id(value) in seen else fields(value, container.visits)
        if content is None:
            continue
        seen.add(id(value))
        yield from (key for key in content if isinstance(key, str))
        if depth < MAX_DEPTH:
            inside = (inner for inner in content.values() if isinstance(inner, (dict, Call)))
            todo += [(inner, depth + 1) for inner in inside]
