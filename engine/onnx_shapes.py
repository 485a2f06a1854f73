"""Upper bounds of the sizes of values in a graph, for one image, from the rules of the exporter's operators.

Two constants of a few kilobytes can be broadcast to a value of gigabytes. The bound of a shape follows from the node's
settings and the shapes of its inputs, so settings that the exporter does not write are refused. The batch counts as 1.
engine/native/src/onnx_shapes.cpp has the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Shape = tuple[int, ...]

ELEMENTWISE = frozenset(
    {
        "Abs", "Add", "Cast", "Clip", "Div", "Identity", "LeakyRelu", "LessOrEqual", "Max", "Mul", "Pow", "Sqrt", "Sub",
        "Where",
    }
)  # fmt: skip
SAME = frozenset({"ArgMax", "ReduceMax", "ReduceMean", "ReduceSum"})
"""Operators whose result is no larger than the first input; the reduced axis remains."""
LONGEST_VECTOR = 1 << 17
"""Numbers of a value that no node computes: z, label, psi."""
MOST_AXES = 4
LARGEST_BLOCK = 1024
"""Of DepthToSpace, a side in pixels."""


class ShapeError(ValueError):
    """The node has a shape or a setting that the exporter does not write; the text says which."""


def output_shapes(
    operator: str,
    inputs: Sequence[Shape],
    settings: Mapping[str, Sequence[int]],
    numbers: Sequence[int],
    outputs: int,
) -> list[Shape]:
    """Upper bounds of the shapes of a node's outputs; raises ShapeError.

    settings: name -> integers of its attributes. numbers: those of its second input, where it is a constant of int64.
    """
    if not inputs:
        raise ShapeError("an operator without inputs")
    x = inputs[0]
    if settings.get("keepdims", [1]) != [1]:
        if operator != "ReduceSum" or len(x) != 3 or list(numbers) != [1]:
            raise ShapeError("an operator that removes an axis")
        return [(x[0], x[2])]  # the rows of w+
    if operator in ELEMENTWISE:
        return [_broadcast(inputs)] * outputs
    if operator in SAME:
        return [x] * outputs
    if operator == "Unsqueeze" and list(numbers) == [2, 3] and len(x) == 2:
        return [(*x, 1, 1)]
    if operator == "Unsqueeze" and set(x) <= {1}:
        return [(1,) * (len(x) + len(numbers))]
    if operator == "Split" and settings.get("axis") == [1] and len(x) == 2 and len(numbers) == outputs:
        return [(x[0], min(x[1], max(number, 1))) for number in numbers]
    if operator == "Split":
        return [x] * outputs
    if operator == "Concat" and settings.get("axis") == [1] and all(len(shape) == 2 for shape in inputs):
        return [(max(shape[0] for shape in inputs), sum(shape[1] for shape in inputs))]
    if operator in ("Gemm", "MatMul") and not settings and [len(shape) for shape in inputs[:2]] == [2, 2]:
        return [_broadcast([(x[0], inputs[1][1]), *inputs[2:]])]
    if operator == "MatMul" and not settings and [len(shape) for shape in inputs] == [3, 2]:
        return [(x[0], x[1], inputs[1][1])]
    if operator == "DepthToSpace" and len(x) == MOST_AXES:
        (block,) = settings.get("blocksize", [1])[:1]
        if 0 < block <= LARGEST_BLOCK:
            return [(x[0], -(-x[1] // block**2), block * x[2], block * x[3])]
    if operator in ("Conv", "ConvTranspose") and [len(shape) for shape in inputs[:2]] == [MOST_AXES] * 2:
        return [_convolved(operator, x, inputs[1], settings)]
    raise ShapeError(f"an unknown form of {operator}")


def _broadcast(shapes: Sequence[Shape]) -> Shape:
    rank = max(map(len, shapes))
    if rank > MOST_AXES:
        raise ShapeError(f"a value of {rank} axes")
    return tuple(max(axis) for axis in zip(*((1,) * (rank - len(shape)) + shape for shape in shapes), strict=True))


def _convolved(operator: str, x: Shape, kernel: Shape, settings: Mapping[str, Sequence[int]]) -> Shape:
    if settings.keys() - {"group", "kernel_shape", "pads", "strides"}:
        raise ShapeError(f"an unknown setting of {operator}")
    pads = [*settings.get("pads", ()), 0, 0, 0, 0][:4]
    strides = [*settings.get("strides", ()), 1, 1][:2]
    sides = []
    for axis in (0, 1):
        side, padded, stride, width = x[2 + axis], pads[axis] + pads[2 + axis], max(strides[axis], 1), kernel[2 + axis]
        found = (side - 1) * stride + width - padded if operator == "ConvTranspose" else side + padded - width + 1
        sides.append(max(found, 1))
    channels = kernel[1] * (settings.get("group") or [1])[0] if operator == "ConvTranspose" else kernel[0]
    return (x[0], channels, *sides)
