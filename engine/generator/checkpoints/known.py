"""Recognition of unsupported networks by their tensor names, for specific error messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from sgi.engine.errors import UserError
from sgi.engine.generator.checkpoints.checkpoint import Unsupported
from sgi.engine.generator.checkpoints.container import Container
from sgi.engine.generator.checkpoints.records import Call

MAX_NAMES = 20_000

_KNOWN: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("a StyleGAN3 or StyleGAN-XL network", lambda n: "synthesis.input.freqs" in n or "synthesis.L0_" in n),
    ("a StyleGAN1 network", lambda n: "generator.progression." in n or "g_synthesis.blocks." in n),
    ("a StyleGAN2 of mmgeneration (its channels may be BGR)", lambda n: n.startswith("generator_ema.")),
    ("a StyleGAN2 of genforce", lambda n: n.startswith(("generator_smooth.", "mapping.dense0."))),
    ("a MobileStyleGAN network", lambda n: "m_conv." in n or "conv_synthesis_net" in n),
)


def refusal(container: Container) -> UserError:
    """The error for a file that no reader detects: Unsupported with the name of a known network, else UserError."""
    names = list(islice(_tensor_names(container.root), MAX_NAMES))
    for what, test in _KNOWN:
        if any(test(name) for name in names):
            return Unsupported(f"{container.label}: refused, {what}; only StyleGAN2 is read")
    if isinstance(container.root, Call):
        return UserError(f"{container.label}: not a StyleGAN2 checkpoint: a call of {container.root.target}")
    inside = f"a {type(container.root).__name__}"
    if isinstance(container.root, dict):
        keys = [str(key)[:30] for key in islice(container.root, 4)]
        inside = f"a dict of {', '.join(keys)} ..." if keys else "an empty dict"
    return UserError(f"{container.label}: not a StyleGAN2 checkpoint: {inside}")


def _tensor_names(root: Any) -> Iterator[str]:
    """Keys of a dict and keys of the dicts in it, the latter also with the outer key and a dot as prefix."""
    if not isinstance(root, dict):
        return
    for key, value in root.items():
        yield str(key)
        if isinstance(value, dict):
            for inner in value:
                yield str(inner)
                yield f"{key}.{inner}"
