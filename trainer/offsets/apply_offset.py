"""Apply an offset to latents that are not those of a pool, such as inverted and relit ones."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator
from sgi.engine.generator.offset_styles import tensors_of
from sgi.engine.offsets import Offset
from sgi.trainer.offsets.held_out_score import predict_latents
from sgi.trainer.offsets.job import sampling_of
from sgi.trainer.offsets.pool import Sampling


def apply_offset(generator: Generator, ws: Tensor, offset: Offset) -> Tensor:
    """Return the codes [N, C, R, R] float32 in [0, 1] of G(ws + d), on the CPU; ws: [N, num_ws, w_dim] float32."""
    tensors = tensors_of(offset)
    return predict_latents(generator, ws, offset.noise_mode, offset.intrinsic, offset.space, tensors)


def common_sampling(offsets: Sequence[Offset]) -> Sampling:
    """Return the sampling that all of `offsets` (at least one) were fitted with; raises UserError if they differ."""
    sampling = sampling_of(offsets[0])
    for offset in offsets[1:]:
        if sampling_of(offset) != sampling:
            raise UserError(
                f"`offsets`: {offsets[0].type} and {offset.type} were fitted under another psi, noise mode or class; "
                "use them in separate commands"
            )
    return sampling
