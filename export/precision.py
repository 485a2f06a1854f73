"""The precisions of an export: data type of the convolutions, and the required agreement with torch.

Mapping, styles, demodulation, the sum of to-rgb and the decoding of values are float32 in every precision. The graph
contains all data types explicitly, so that strongly typed runtimes use the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np
from numpy.typing import DTypeLike
from onnx import TensorProto

from sgi.engine.artifact import PRECISIONS as NAMES
from sgi.engine.errors import UserError
from sgi.export.graph import MIN_OPSET

BF16_OPSET = 22  # the first in which Conv supports bfloat16


@dataclass(frozen=True)
class Precision:
    """How the convolutions of a graph are computed.

    dtype, onnx_type: data type of activations and weights. min_opset: the first ONNX opset that supports it.
    max_error: largest difference from torch in float32, as a fraction of a type's range; None if `min_psnr` applies.
    min_psnr: least PSNR in dB of a type's 8-bit maps against torch in float32; None if `max_error` applies.
    """

    name: str
    dtype: DTypeLike
    onnx_type: int
    min_opset: int
    max_error: float | None
    min_psnr: float | None

    @property
    def reduced(self) -> bool:
        """Whether convolutions use fewer bits than float32."""
        return self.name != "fp32"

    @property
    def transposed(self) -> bool:
        """Whether up-convolutions are transposed convolutions; TensorRT does not support these in bfloat16."""
        return self.name != "bf16"


PRECISIONS = {
    precision.name: precision
    for precision in (
        Precision("fp32", np.float32, TensorProto.FLOAT, MIN_OPSET, max_error=1e-4, min_psnr=None),
        Precision("fp16", np.float16, TensorProto.FLOAT16, MIN_OPSET, max_error=None, min_psnr=45.0),
        Precision("bf16", ml_dtypes.bfloat16, TensorProto.BFLOAT16, BF16_OPSET, max_error=None, min_psnr=35.0),
    )
}
assert tuple(PRECISIONS) == NAMES


def get(name: str) -> Precision:
    """The precision of a name; raises UserError for an unknown name."""
    if name not in PRECISIONS:
        raise UserError(f"`precision={name}`: choose from {', '.join(PRECISIONS)}")
    return PRECISIONS[name]
