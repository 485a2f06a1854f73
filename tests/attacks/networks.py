"""Complete NVIDIA networks with a malicious storage, module, attribute or array."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import checkpoint_files as files
import numpy as np
import torch
from attacks.opcodes import Attack, archive, call, in_dict, program, storage, stream, text
from checkpoint_files.pickling import modules
from checkpoint_files.tensorflow import Network

from sgi.engine.generator import Generator, GeneratorConfig


class Reduce:
    """An object whose pickle calls a function."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.parts = function, args

    def __reduce__(self) -> Any:
        return self.parts


def nested_storages(generator: Generator, canary: str) -> dict[str, Attack]:
    """NVIDIA pickles with malicious storages, modules or attributes."""
    touch = text(f"touch {canary}")

    def with_storage(data: bytes) -> bytes:
        class Bytes:
            def __reduce__(self) -> Any:
                return torch.storage._load_from_bytes, (data,)

        hooks: dict[str, Any] = {}
        bad = Reduce(torch._utils._rebuild_tensor_v2, Bytes(), 0, (1,), (1,), False, hooks)

        def change(states: Any) -> None:
            states["synthesis.b8.conv1"][1]["_parameters"]["bias"] = bad

        return files.nvidia(generator, change)

    def itself(states: Any) -> None:
        states["synthesis"][1]["_modules"]["b8"] = recursive

    content = files.module_state({}, {})
    recursive = files.Persistent("SynthesisBlock", content)
    content["_modules"]["b8"] = recursive

    def crowd(states: Any) -> None:
        one = files.Persistent("FullyConnectedLayer", files.module_state({}, {}))
        states["mapping"][1]["_modules"] = {f"fc{i}": one for i in range(30_000)}

    def ladder(states: Any) -> None:
        rung = files.Persistent("SynthesisBlock", files.module_state({}, {}))
        for _ in range(60):
            rung = files.Persistent("SynthesisBlock", files.module_state({}, {"a": rung, "b": rung}))
        states["synthesis"][1]["_modules"]["b8"] = rung

    def attributes(states: Any) -> None:
        wide = {**files.module_state({}, {}), **{f"x{i}": None for i in range(100_000)}}
        one = files.Persistent("FullyConnectedLayer", wide)
        states["mapping"][1]["_modules"] = {f"fc{i}": one for i in range(1900)}

    def copies(states: Any) -> None:
        one = torch.nn.Parameter(torch.zeros(200), False)
        states["mapping"][1]["_parameters"] = {f"x{i}": one for i in range(30_000)}

    def attribute(name: str, value: Any, path: str = "synthesis.b8.conv1") -> Callable[[Any], None]:
        def change(states: Any) -> None:
            states[path][1][name] = value

        return change

    def rename(value: Any) -> Callable[[Any], None]:
        def change(states: Any) -> None:
            states[""] = (value, states[""][1])

        return change

    doubling: tuple[Any, ...] = ()
    for _ in range(60):
        doubling = (doubling, doubling)

    hostile = "the file is malicious or damaged"
    padded = b"N0" * 500
    persistent = ("torch_utils.persistence", "_reconstruct_persistent_obj")
    return {
        "os.system in a storage": (with_storage(stream(call("os", "system", touch) + b"0" + storage(1))), hostile),
        "os.system as a storage's keys": (
            with_storage(stream(storage(1), b"cos\nsystem\n(" + touch + b"tR.")), hostile
        ),
        "a storage of 1 TiB": (
            with_storage(stream(storage(1 << 40), b"]" + text("0") + b"a.", bytes(64))), "storage '0'"
        ),
        "a pickle as a storage": (with_storage(program(call("os", "system", touch) + text("x" * 99))), hostile),
        "a zip as a storage": (
            with_storage(archive({"archive/data.pkl": program(call("os", "system", touch))})),
            "outside the data opcodes",
        ),
        "a storage that goes on": (with_storage(stream(padded * 2 + storage(1))), "more than 1000 opcodes"),
        "a storage within a storage": (
            with_storage(stream(call("torch.storage", "_load_from_bytes", b"N"), tail=bytes(99))), "unknown kind"
        ),
        "a module in itself": (files.nvidia(generator, itself), "is damaged|recursion|more"),
        "30 000 modules": (files.nvidia(generator, crowd), "more modules than any"),
        "100 000 attributes": (files.nvidia(generator, attributes), "refer to each other|has the setting x0"),
        "2^60 modules": (files.nvidia(generator, ladder), "is damaged|more modules"),
        "30 000 tensors": (files.nvidia(generator, copies), "more tensors in mapping"),
        "a code object as a gain": (
            files.nvidia(generator, attribute("act_gain", Reduce(torch.hub.load, "x"))), "not a number"
        ),
        "an array as a flag": (files.nvidia(generator, attribute("use_noise", [[]])), "some of its layers use noise"),
        "a doubling tuple as a class": (files.nvidia(generator, rename(doubling)), "G_ema has no class"),
        "a doubling tuple as an architecture": (
            files.nvidia(generator, attribute("architecture", doubling, "synthesis.b8")), "of the tuple architecture"
        ),
        "a doubling tuple as a version": (
            files.tensorflow(generator, lambda state, v: state.update(version=doubling)), "pickle of version tuple"
        ),
        "a dict as a flag": (files.nvidia(generator, attribute("up", {})), "up is dict, not 1"),
        "a class of lists": (in_dict("G_ema", call(*persistent, b"]")), "G_ema is damaged"),
        "no arguments": (in_dict("G_ema", call(*persistent)), "G_ema is damaged"),
    }  # fmt: skip


def shared_parts() -> dict[str, Attack]:
    """Small files whose parts refer to the same objects or numbers many times."""

    def network(components: dict[str, Network]) -> Network:
        settings = {"num_channels": 3, "resolution": 16}
        state = {"version": 5, "build_func_name": "G_main", "static_kwargs": settings, "variables": []}
        return Network({**state, "components": components})

    tree = network({})
    for _ in range(4):
        tree = network({f"c{i}": tree for i in range(2000)})
    with modules(dnnlib__tflib__network={"Network": Network}):
        components = pickle.dumps(tree, protocol=3)
    wide = GeneratorConfig(16, z_dim=1024, w_dim=1024, mapping_layers=64, channel_base=64, channel_max=4)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in Generator(wide).state_dict().items()}
    numbers = torch.zeros(1 << 20)
    buffer = io.BytesIO()
    torch.save({name: numbers[: shape.numel()].view(shape) for name, shape in shapes.items()}, buffer)
    return {
        "2000 components, four levels": (components, "refer to each other"),
        "64 layers of the same numbers": (buffer.getvalue(), "its tensors take"),
    }


def tensorflow_arrays(generator: Generator) -> dict[str, Attack]:
    """TensorFlow pickles with malicious arrays."""

    def with_array(array: Any) -> bytes:
        def change(state: Any, variables: Any) -> None:
            variables["synthesis"]["8x8/Conv1/bias"] = array

        return files.tensorflow(generator, change)

    objects = np.array([None], dtype=object)
    return {
        "an array of objects": (with_array(objects), "type O8, plain numbers expected"),
        "an array of records": (with_array(np.zeros(1, [("a", "f4")])), "plain numbers expected"),
        "an array of text": (with_array(np.array(["x"])), "plain numbers expected"),
        "an array of dates": (with_array(np.zeros(1, "M8[s]")), "plain numbers expected"),
        "complex numbers": (with_array(np.zeros(16, np.complex64)), "plain numbers expected"),
        "a scalar for an array": (with_array(np.float32(1)), "has the shape"),
        "a list for an array": (with_array([1.0] * 16), "not a tensor"),
        "another shape": (with_array(np.zeros((4, 4), np.float32)), "has the shape"),
        "a network that is text": (
            files.tensorflow(generator, lambda state, v: state.update(static_kwargs="x")), "has no settings"
        ),
    }  # fmt: skip
