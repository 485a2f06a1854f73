"""Search for the state dict of a generator in a torch file, under the names that people give to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from sgi.engine.budget import Budget
from sgi.engine.generator.checkpoints.checkpoint import Unsupported
from sgi.engine.generator.checkpoints.container import Container
from sgi.engine.generator.checkpoints.records import Call

MAX_DEPTH = 4
MAX_CANDIDATES = 8
MAX_MODULE_DEPTH = 16
MAX_MODULE_TENSORS = 20_000
PREFIXES = frozenset(
    {
        "G", "G_ema", "_orig_mod", "decoder", "g", "g_ema", "gen", "generator", "generator_ema", "model", "module",
        "netG", "netG_ema", "net_g", "net_g_ema",
    }
)  # fmt: skip
"""Words before the first dot of a tensor's name that do not change what the tensor is."""


class Found(NamedTuple):
    """A state dict: its keys in the file, its tensors by name without the common prefix, and what stands beside it.

    outside: other keys of the file, and "the encoder" for other networks in the same dict. parents: the dicts that
    contain it, from the inside to the outside.
    """

    path: tuple[str, ...]
    tensors: dict[str, Any]
    outside: tuple[str, ...]
    parents: tuple[dict[Any, Any], ...]

    def beside(self, name: str) -> Any:
        """The value of a name in the state dict's parents or in the dict itself, the nearest one; None without it."""
        return next((parent[name] for parent in self.parents if name in parent), self.tensors.get(name))


def find_state(container: Container, signature: str) -> Found | None:
    """The state dict with a tensor `signature`, by itself or after known prefixes; of several, the averaged one.

    Raises Unsupported if several are left.
    """
    found = list(islice(_all(container, signature), MAX_CANDIDATES))
    averaged = [one for one in found if any("ema" in part.lower().split("_") for part in one.path)]
    best = averaged or found
    if len(best) > 1:
        names = ", ".join("/".join(one.path) for one in best[:3])
        raise Unsupported(
            f"{container.label}: refused, it contains several generators ({names}); save one of them alone"
        )
    return best[0] if best else None


def fields(value: Any, visits: Budget) -> dict[Any, Any] | None:
    """The items of a dict, of an object like a dict, or of a module as its state dict; None for other values.

    visits: spent on the parts of a module, which can refer to each other many times.
    """
    if isinstance(value, dict):
        return value
    if not isinstance(value, Call):
        return None
    if isinstance(value.state, dict) and isinstance(value.state.get("_modules"), dict):
        return dict(islice(_module_tensors(value, "", set(), visits), MAX_MODULE_TENSORS))
    return value.entries or None


def _module_tensors(module: Any, prefix: str, seen: set[int], visits: Budget) -> Iterator[tuple[str, Any]]:
    """Tensors of a torch module that was saved whole, by the names of its state dict; each module is visited once."""
    state = module.state if isinstance(module, Call) else None
    if not isinstance(state, dict) or id(state) in seen or prefix.count(".") > MAX_MODULE_DEPTH:
        return
    seen.add(id(state))
    skipped = _non_persistent(state, visits)
    for part in ("_parameters", "_buffers"):
        own = state.get(part)
        visits.spend(len(own) if isinstance(own, dict) else 0)
        for name, value in own.items() if isinstance(own, dict) else ():
            if value is not None and name not in skipped:
                yield f"{prefix}{name}", value
    children = state.get("_modules")
    visits.spend(len(children) if isinstance(children, dict) else 0)
    for name, child in children.items() if isinstance(children, dict) else ():
        yield from _module_tensors(child, f"{prefix}{name}.", seen, visits)


def _non_persistent(state: dict[Any, Any], visits: Budget) -> frozenset[str]:
    """Names of buffers that a state dict does not contain."""
    items: Any = state.get("_non_persistent_buffers_set")
    if isinstance(items, Call):  # protocols 2 and 3 write a set as a call with a list
        items = items.args[0] if len(items.args) == 1 else items.elements
    if not isinstance(items, (list, tuple)):
        return frozenset()
    visits.spend(len(items))
    return frozenset(name for name in items if isinstance(name, str))


def _all(container: Container, signature: str) -> Iterator[Found]:
    root = container.root
    todo: deque[tuple[tuple[str, ...], Any, tuple[dict[Any, Any], ...]]] = deque([((), root, ())])
    seen: set[int] = set()
    while todo:
        path, value, parents = todo.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        content = fields(value, container.visits)
        if content is None:
            continue
        prefixes = [prefix for name in content if (prefix := _prefix(name, signature)) is not None][:MAX_CANDIDATES]
        for prefix in prefixes:
            own = {
                name.removeprefix(prefix): tensor
                for name, tensor in content.items()
                if isinstance(name, str) and name.startswith(prefix)
            }
            outside = [str(key) for key in root if key != path[0]] if path and isinstance(root, dict) else []
            if len(own) < len(content):
                outside.append("the encoder" if prefix == "decoder." else "other networks")
            yield Found((*path, *prefix.split(".")[:-1]), own, tuple(outside), (*parents, content)[::-1])
        if not prefixes and len(path) < MAX_DEPTH:
            inside = (item for item in content.items() if isinstance(item[1], (dict, Call)))
            todo += [((*path, str(key)), inner, (*parents, content)) for key, inner in inside]


def _prefix(name: Any, signature: str) -> str | None:
    """What stands before `signature` in a tensor's name, if it consists of known words."""
    if not isinstance(name, str) or not name.endswith(signature):
        return None
    prefix = name.removesuffix(signature)
    words = prefix.split(".")
    known = len(words) <= MAX_DEPTH and words.pop() == "" and all(word in PREFIXES for word in words)
    return prefix if known else None
