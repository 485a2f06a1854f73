"""Bodies of responses with maps: safetensors with the pixels as they are drawn, and the values.

For each type `TYPE.pixels` [R, R, 3] uint8 and `TYPE.values` [C, R, R] float32. The metadata have `seconds`, the time
of the engine, and `spans`, JSON {type: [least, largest]}, the values at the ends of the colours of depth: the least
value is yellow, the largest dark violet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from sgi.engine import intrinsics
from sgi.engine.intrinsics import Intrinsic
from sgi.engine.writers.display import in_colours, is_coloured, span_of, to_rgb

MEDIA_TYPE = "application/octet-stream"
DIGITS = 4  # of the seconds


def encode_body(types: Sequence[Intrinsic], maps: Mapping[str, NDArray[np.float32]], seconds: float) -> bytes:
    """The body for maps {type: [C, R, R] float32}. types: those of the model, of which `maps` has some."""
    tensors: dict[str, NDArray[np.generic]] = {}
    spans = {}
    for kind in types:
        if kind.name not in maps:
            continue
        values = np.ascontiguousarray(maps[kind.name], np.float32)
        code = intrinsics.encode(kind, values)
        if is_coloured(kind):
            span = span_of([code])
            spans[kind.name] = [_value(kind, share) for share in reversed(span)]
            code = in_colours(code, span)
        tensors[f"{kind.name}.pixels"] = to_rgb(code)
        tensors[f"{kind.name}.values"] = values
    return save(tensors, {"seconds": f"{seconds:.{DIGITS}f}", "spans": json.dumps(spans)})


def _value(kind: Intrinsic, code: float) -> float:
    return float(intrinsics.decode(kind, np.full((1, 1, 1), code))[0, 0, 0])
