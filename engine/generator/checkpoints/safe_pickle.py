"""A pickle reader that executes nothing.

A pickle is a program, which Python's unpickler executes. This reader interprets the data opcodes of protocols 2 to 5
and converts every class, call and object to an inert record. Long byte strings remain in the file. The numbers of
opcodes and of bytes of text are limited, which limits memory and time.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, BinaryIO

from sgi.engine.errors import UserError
from sgi.engine.generator.checkpoints.code_names import runs_code
from sgi.engine.generator.checkpoints.records import Blob, Call, Name, OddKey, Persistent

MAX_OPCODES = 1_000_000  # an NVIDIA pickle with G, D and G_ema has about 10,000
MAX_TEXT_BYTES = 1 << 24  # sum over all texts that are read
LONG_TEXT_BYTES = 1 << 16  # longer texts remain in the file: source code, and arrays that protocol 2 writes as text
MAX_NAME_BYTES = 256
SHORT_BYTES = 64
HIGHEST_PROTOCOL = 5

_PYTHON_2_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg", "cPickle": "pickle", "commands": "subprocess"}
_PYTHON_2_STRINGS = (b"S", b"T", b"U")  # STRING, BINSTRING, SHORT_BINSTRING; Python 3 writes none of them
_DICTIONARIES = frozenset({"builtins.dict", "collections.OrderedDict", "dnnlib.util.EasyDict"})
_RESULT = Name("the result of a call")
_MAX_INTEGER_KEY = 1 << 31  # integers above 2^61 - 1 can be chosen with equal hashes, which makes dicts slow


class _Mark:
    """Type of the marks on the stack."""


_MARK = _Mark()


class SafePickle:
    """One pickle in an open file, from the current position to `end`.

    label: name of the file in messages. After `read`: names: classes and functions that the pickle names, in order;
    persistent: its references to objects outside. Raises UserError for a pickle that is truncated, uses other opcodes,
    names a function of `code_names`, or exceeds the limits.
    """

    def __init__(self, file: BinaryIO, end: int, label: str, max_opcodes: int = MAX_OPCODES) -> None:
        self._file = file
        self._max_opcodes = max_opcodes
        self._end = end
        self._label = label
        self._position = file.tell()
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._text_bytes = 0
        self.names: dict[Name, None] = {}
        self.persistent: list[Persistent] = []

    def read(self) -> Any:
        """The tree of objects: plain values and inert records."""
        steps = _STEPS
        for _ in range(self._max_opcodes):
            opcode = self._take(1)
            if opcode == b".":
                return self._pop()
            step = steps.get(opcode)
            if opcode in _PYTHON_2_STRINGS:
                raise self._error("strings of Python 2, under which no supported code runs: write it with Python 3")
            if step is None:
                raise self._error(f"opcode {opcode!r} is outside the data opcodes of protocols 2 to {HIGHEST_PROTOCOL}")
            step(self)
        raise self._error(f"more than {self._max_opcodes} opcodes")

    def _error(self, reason: str) -> UserError:
        remedy = ": download or copy it again" if reason.startswith("truncated") else ""
        return UserError(
            f"{self._label}: not a readable checkpoint (pickle: {reason}, at byte {self._position}){remedy}"
        )

    def _take(self, count: int) -> bytes:
        if count > self._end - self._position:
            raise self._error(f"truncated, {count} bytes needed and {self._end - self._position} left")
        data = self._file.read(count)
        if len(data) != count:
            raise self._error("truncated")
        self._position += count
        return data

    def _number(self, form: str) -> Any:
        return struct.unpack(form, self._take(struct.calcsize(form)))[0]

    def _line(self) -> str:
        data = self._file.readline(min(MAX_NAME_BYTES, self._end - self._position))
        self._position += len(data)
        self._count_text(len(data))
        if not data.endswith(b"\n"):
            raise self._error("a name without an end")
        return self._decode(data[:-1])

    def _decode(self, data: bytes) -> str:
        try:
            return data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise self._error("text that is not UTF-8") from None

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise self._error("an empty stack")
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise self._error("an empty stack")
        return self._stack[-1]

    def _pop_mark(self) -> list[Any]:
        stack = self._stack
        for i in range(len(stack) - 1, -1, -1):
            if stack[i] is _MARK:
                items = stack[i + 1 :]
                del stack[i:]
                return items
        raise self._error("a missing mark")

    def _count_text(self, length: int) -> None:
        self._text_bytes += length
        if self._text_bytes > MAX_TEXT_BYTES:
            raise self._error(f"more than {MAX_TEXT_BYTES} bytes of text")

    def _text(self, length: int) -> None:
        if length > LONG_TEXT_BYTES:
            self._skip(length, is_text=True)
            return
        self._count_text(length)
        self._push(self._decode(self._take(length)))

    def _bytes(self, length: int) -> None:
        if length <= SHORT_BYTES:
            self._push(self._take(length))
        else:
            self._skip(length)

    def _skip(self, length: int, is_text: bool = False) -> None:
        """Push the position of bytes that remain in the file."""
        if length > self._end - self._position:
            raise self._error(f"truncated, {length} bytes needed and {self._end - self._position} left")
        self._push(Blob(self._position, length, is_text))
        self._position += length
        self._file.seek(self._position)

    def _integer(self) -> None:
        self._push(int.from_bytes(self._take(self._number("<B")), "little", signed=True))

    def _protocol(self) -> None:
        version = self._number("<B")
        if version > HIGHEST_PROTOCOL:
            raise self._error(f"protocol {version}")

    def _frame(self) -> None:
        if self._number("<Q") > self._end - self._position:
            raise self._error("truncated, a frame is longer than the file")

    def _tuple(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(items)))

    def _extend(self, items: list[Any]) -> None:
        target = self._top()
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Call):
            target.elements.extend(items)
        else:
            raise self._error("APPEND to an object that is not a list")

    def _append(self) -> None:
        item = self._pop()
        self._extend([item])

    def _update(self, items: list[Any]) -> None:
        target = self._top()
        mapping = target.entries if isinstance(target, Call) else target
        if not isinstance(mapping, dict) or len(items) % 2:
            raise self._error("SETITEM on an object that is not a dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Other keys are not hashed: nested tuples can take exponential time. None of them reaches a generator.
            small = isinstance(key, int) and abs(key) < _MAX_INTEGER_KEY
            mapping[key if small or isinstance(key, (str, bytes, type(None))) else OddKey(key)] = value

    def _set_item(self) -> None:
        value = self._pop()
        key = self._pop()
        self._update([key, value])

    def _new_dict(self) -> None:
        items = self._pop_mark()
        self._push({})
        self._update(items)

    def _name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise self._error("a name that is not text")
        module = _PYTHON_2_MODULES.get(module, module)
        full = Name(f"{module}.{name}")
        if len(full) > MAX_NAME_BYTES or not full.isprintable():
            raise self._error("a name that is not plain text")
        if runs_code(module, name):
            raise UserError(
                f"{self._label}: refused, the pickle refers to {full}, which no checkpoint needs: "
                "the file is malicious or damaged (nothing in it was executed)"
            )
        self.names[full] = None
        self._push(full)

    def _stack_name(self) -> None:
        name = self._pop()
        self._name(self._pop(), name)

    def _call(self) -> None:
        args = self._pop()
        target = self._pop()
        if not isinstance(target, (Name, Call)) or not isinstance(args, tuple):
            raise self._error("a call of an object that is not a name")
        name = target if isinstance(target, Name) else _RESULT
        empty = name == "collections.defaultdict" or (name in _DICTIONARIES and not args)
        self._push({} if empty else Call(name, args))

    def _call_with_keywords(self) -> None:
        self._pop()
        self._call()

    def _build(self) -> None:
        state = self._pop()
        target = self._top()
        if isinstance(target, Call):
            target.state = state
        elif not isinstance(target, dict):  # attributes of an OrderedDict, such as a state dict's version: not needed
            raise self._error("BUILD on a value that is not an object")

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise self._error(f"memo {index} is empty")
        self._push(self._memo[index])

    def _put(self, index: int) -> None:
        self._memo[index] = self._top()

    def _persistent(self) -> None:
        identifier = self._pop()
        if isinstance(identifier, tuple) and len(identifier) == 4 and identifier[0] == "module":
            # The older format of torch: class, file and source code of a module. Source: `_legacy_save`.
            if not isinstance(identifier[1], Name):
                raise self._error("a module whose class is not a name")
            self._push(identifier[1])
            return
        record = Persistent(identifier)
        self.persistent.append(record)
        self._push(record)


_STEPS: dict[bytes, Callable[[SafePickle], Any]] = {
    b"\x80": SafePickle._protocol,
    b"\x95": SafePickle._frame,
    b"(": lambda p: p._push(_MARK),
    b"0": SafePickle._pop,
    b"1": SafePickle._pop_mark,
    b"N": lambda p: p._push(None),
    b"\x88": lambda p: p._push(True),
    b"\x89": lambda p: p._push(False),
    b"J": lambda p: p._push(p._number("<i")),
    b"K": lambda p: p._push(p._number("<B")),
    b"M": lambda p: p._push(p._number("<H")),
    b"\x8a": SafePickle._integer,
    b"G": lambda p: p._push(p._number(">d")),
    b"X": lambda p: p._text(p._number("<I")),
    b"\x8c": lambda p: p._text(p._number("<B")),
    b"\x8d": lambda p: p._text(p._number("<Q")),
    b"C": lambda p: p._bytes(p._number("<B")),
    b"B": lambda p: p._bytes(p._number("<I")),
    b"\x8e": lambda p: p._bytes(p._number("<Q")),
    b"\x96": lambda p: p._bytes(p._number("<Q")),
    b")": lambda p: p._push(()),
    b"t": lambda p: p._push(tuple(p._pop_mark())),
    b"\x85": lambda p: p._tuple(1),
    b"\x86": lambda p: p._tuple(2),
    b"\x87": lambda p: p._tuple(3),
    b"]": lambda p: p._push([]),
    b"l": lambda p: p._push(p._pop_mark()),
    b"a": SafePickle._append,
    b"e": lambda p: p._extend(p._pop_mark()),
    b"\x8f": lambda p: p._push([]),
    b"\x90": lambda p: p._extend(p._pop_mark()),
    b"\x91": lambda p: p._push(p._pop_mark()),
    b"}": lambda p: p._push({}),
    b"d": SafePickle._new_dict,
    b"s": SafePickle._set_item,
    b"u": lambda p: p._update(p._pop_mark()),
    b"c": lambda p: p._name(p._line(), p._line()),
    b"\x93": SafePickle._stack_name,
    b"R": SafePickle._call,
    b"\x81": SafePickle._call,
    b"\x92": SafePickle._call_with_keywords,
    b"b": SafePickle._build,
    b"h": lambda p: p._get(p._number("<B")),
    b"j": lambda p: p._get(p._number("<I")),
    b"q": lambda p: p._put(p._number("<B")),
    b"r": lambda p: p._put(p._number("<I")),
    b"\x94": lambda p: p._put(len(p._memo)),
    b"Q": SafePickle._persistent,
}
