"""Objects of all kinds beside a generator: they are inert, and the generator is read."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import enum
import fractions
import functools
import io
import logging
import math
import pathlib
import pickle
import random
import types
import uuid
from typing import Any

import checkpoint_files as files
import numpy as np
import pytest
import torch

from sgi.engine.errors import UserError
from sgi.engine.generator import generator_sha256
from sgi.engine.generator.checkpoints import load, report


class Colour(enum.Enum):
    """An enumeration in a user's training code, in a class."""

    RED = 1


class Outer:
    """A class of a user's training code, with another one in it, which old protocols name by getattr."""

    class Inner:
        pass


class LocalPath:
    """A path of Python 3.13, which pickles as pathlib._local.PosixPath."""

    def __reduce__(self) -> Any:
        return LocalPath, ("home", "somebody")


def newer_dtypes() -> dict[str, torch.Tensor]:
    """Tensors whose storages have no class of their own, and quantised ones."""
    quantised = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    found = {
        "quantised": quantised,
        "complex": torch.ones(2, dtype=torch.complex64),
        "bool": torch.ones(3, dtype=torch.bool),
    }
    for name in ("float8_e4m3fn", "uint16", "uint32"):
        if hasattr(torch, name):
            found[name] = torch.ones(3).to(getattr(torch, name))
    return found


def attributed() -> torch.nn.Parameter:
    """A parameter with a Python attribute, which torch pickles by another function."""
    parameter = torch.nn.Parameter(torch.zeros(3))
    parameter.note = "shared"  # type: ignore[attr-defined]
    return parameter


def old_optimiser() -> dict[str, Any]:
    """The state dict of an optimiser of torch 1.5 and older: its keys are the ids of parameters."""
    return {
        "state": {140234866334208 + 72 * i: {"step": 3, "exp_avg": torch.zeros(2)} for i in range(3)},
        "param_groups": [{"lr": 0.002, "params": [140234866334208]}],
    }


PARTS: dict[str, Any] = {
    "an optimiser of old torch": old_optimiser,
    "an optimiser": lambda: torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))]).state_dict(),
    "a scheduler": lambda: torch.optim.lr_scheduler.StepLR(torch.optim.SGD([torch.zeros(1)], 0.1), 3).state_dict(),
    "float and tuple keys": lambda: {0.5: 1, (1, "a"): 2, True: 3, 1 << 70: 4, frozenset({1}): 5, -1: 6, math.nan: 7},
    "complex": lambda: 1 + 2j,
    "newer dtypes": newer_dtypes,
    "a sparse tensor": lambda: torch.eye(3).to_sparse(),
    "a parameter with attributes": attributed,
    "devices and dtypes": lambda: [torch.device("cuda:0"), torch.float8_e5m2, torch.Size([1]), torch.strided],
    "random states": lambda: [torch.get_rng_state(), np.random.get_state(), random.getstate(), torch.Generator()],
    "a NumPy generator": lambda: np.random.default_rng(0),
    "NumPy arrays": lambda: [np.arange(9).reshape(3, 3).T, np.array(["x"]), np.array([None, 1]), np.datetime64("2020")],
    "NumPy scalars": lambda: [np.float64(1.5), np.int32(3), np.bool_(True), np.array(2.5)],
    "counters": lambda: collections.Counter("abca"),
    "a defaultdict": lambda: collections.defaultdict(list, a=[1]),
    "a deque": lambda: collections.deque([1, 2], maxlen=4),
    "a ChainMap": lambda: collections.ChainMap({"a": 1}),
    "times": lambda: [datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(1), datetime.date(2020, 1, 1)],
    "paths": lambda: [pathlib.Path("/home/somebody"), pathlib.PureWindowsPath("c:/x")],
    "namespaces": lambda: argparse.Namespace(deep=types.SimpleNamespace(a=argparse.Namespace(b=[1]))),
    "sets": lambda: [frozenset({1, 2}), {3}, frozenset(), set()],
    "functions": lambda: [functools.partial(torch.nn.LayerNorm, eps=1e-6), len, torch.nn.functional.relu, str.upper],
    "numbers": lambda: [decimal.Decimal("1.5"), fractions.Fraction(1, 3), 1 << 2000, -(1 << 62), float("inf")],
    "others": lambda: [uuid.UUID(int=3), Colour.RED, slice(1, 2), range(3), bytearray(b"x" * 99), ..., NotImplemented],
    "a nested class": lambda: [Outer.Inner, Outer.Inner()],
    "a logger": lambda: logging.getLogger("train"),
    "an error": lambda: ValueError("x"),
    "a file in memory": lambda: io.BytesIO(b"x"),
    "another network": lambda: torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.BatchNorm2d(1)),
    "long text and bytes": lambda: {"code": "x = 1\n" * 20_000, b"k": b"y" * 100_000},
    "a list that contains itself": lambda: recursive(),
}  # fmt: skip


def recursive() -> list[Any]:
    items: list[Any] = [1]
    items.append(items)
    return items


@pytest.mark.parametrize("part", PARTS)
def test_a_torch_file_is_read_with_anything_beside_the_generator(written, small, part):
    path = written(files.rosinality(small, change=lambda content: content.update(extra=PARTS[part]())))
    assert generator_sha256(load(path)) == generator_sha256(small)
    assert "extra" in report(path)["not_imported"]


def everything(without: str) -> dict[str, Any]:
    return {name: make() for name, make in PARTS.items() if name != without}


def test_the_older_format_of_torch_is_read_with_everything_beside_the_generator(written, small):
    """This format has no storages of newer dtypes."""
    path = written(files.rosinality(small, False, lambda content: content.update(everything("newer dtypes"))))
    assert generator_sha256(load(path)) == generator_sha256(small)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_an_nvidia_pickle_is_read_with_everything_beside_the_generator(written, small, protocol):
    path = written(files.nvidia(small, protocol=protocol, rest=everything("a file in memory")))
    assert generator_sha256(load(path)) == generator_sha256(small)


def test_a_package_with_the_name_of_a_module_of_python(written, small):
    """Repositories have folders called `code`; `code.interact` of Python is an attack."""
    own = type("Setting", (), {})
    with files.modules(code__models={"Setting": own}):
        path = written(files.nvidia(small, rest={"extra": own()}))
    load(path)
    assert report(path)["inert_names"] == ["code.models.Setting"]


def test_paths_of_python_3_13(written, small):
    with files.modules(pathlib___local={"LocalPath": LocalPath}):
        data = files.rosinality(small, change=lambda content: content.update(extra=LocalPath()))
    path = written(data)
    load(path)
    assert report(path)["inert_names"] == ["pathlib._local.LocalPath"]


@pytest.mark.parametrize(
    "name",
    ["os.system", "builtins.eval", "subprocess.Popen", "importlib.import_module", "code.interact", "os.path.exists"],
)
def test_names_that_run_code_are_reported_as_an_attack(written, name):
    module, _, function = name.rpartition(".")
    data = pickle.dumps({"G_ema": 1})[:-1] + f"c{module}\n{function}\n.".encode()
    with pytest.raises(UserError, match=f"refers to {name}.*malicious or damaged"):
        load(written(data))


@pytest.mark.parametrize("numbers", [lambda x: x.numpy(), lambda x: np.array(x.double().numpy(), order="F")])
def test_numpy_arrays_in_a_torch_file(written, small, numbers):
    """torch.save uses protocol 2, which stores the bytes of arrays as text; long ones remain in the file."""
    state = {name: numbers(tensor) for name, tensor in small.state_dict().items()}
    state["synthesis.b8.conv1.noise_strength"] = np.float32(small.synthesis.b8.conv1.noise_strength)
    assert generator_sha256(load(written(files.saved({"G_ema": state})))) == generator_sha256(small)


class OfTpu:
    """A tensor of an accelerator without storages, as torch/_tensor.py `_reduce_ex_internal` reduces it."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __reduce__(self):
        function = torch._utils._rebuild_device_tensor_from_numpy
        return function, (self.tensor.numpy(), self.tensor.dtype, "xla:0", False)


def test_parameters_with_attributes_in_the_generator(written, small):
    state = {name: tensor.clone() for name, tensor in small.state_dict().items()}
    weight = torch.nn.Parameter(state["synthesis.b8.conv1.weight"])
    weight.note = "shared"  # type: ignore[attr-defined]
    state["synthesis.b8.conv1.weight"] = weight
    state["synthesis.b8.conv1.bias"].note = "shared"
    state["synthesis.b8.conv0.bias"] = OfTpu(state["synthesis.b8.conv0.bias"])
    assert generator_sha256(load(written(files.saved(state)))) == generator_sha256(small)
