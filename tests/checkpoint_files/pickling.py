"""Pickling of our classes under the module names of NVIDIA's, and files of torch.save."""

from __future__ import annotations

import io
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

PRIVATE_PATH = "/home/somebody/faces.zip"
Change = Callable[[dict[str, Any]], object]
FIR = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


@contextmanager
def modules(**classes: dict[str, Any]) -> Iterator[None]:
    """Give our classes other module names, which the pickler writes; `__` in a keyword stands for a dot."""
    names = {name.replace("__", "."): members for name, members in classes.items()}
    parents = {".".join(name.split(".")[: i + 1]) for name in names for i in range(name.count("."))}
    added = {name: types.ModuleType(name) for name in (*parents, *names)}
    for name, members in names.items():
        for key, member in members.items():
            member.__module__, member.__qualname__, member.__name__ = name, key, key
            setattr(added[name], key, member)
    saved = {name: sys.modules.get(name) for name in added}
    sys.modules.update(added)
    try:
        yield
    finally:
        for name, module in saved.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class EasyDict(dict):
    """Pickled as dnnlib.util.EasyDict."""


def saved(content: Any, zipped: bool = True) -> bytes:
    """The bytes that torch.save writes, in the zip format or in the older stream format."""
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()
