"""Pickles that would execute code, and pickles that need much memory or time."""

from __future__ import annotations

import struct

from attacks.opcodes import Attack, archive, call, in_dict, program, stream, text

DEEP = 100_000
MILLION = 1_000_000


def code_runners(canary: str) -> dict[str, Attack]:
    """Calls that would execute code, at the positions where a loader reaches them."""
    touch = text(f"touch {canary}")
    source = text(f"open({canary!r}, 'w')")
    attacks: dict[str, Attack] = {}
    for module, name, argument in (
        ("os", "system", touch), ("posix", "system", touch), ("nt", "system", touch), ("subprocess", "call", touch),
        ("builtins", "eval", source), ("builtins", "exec", source), ("__builtin__", "eval", source),
        ("builtins", "__import__", text("os")), ("builtins", "open", text(canary)),
        ("builtins", "compile", source), ("importlib", "import_module", text("this")), ("runpy", "run_path", touch),
        ("operator", "attrgetter", touch), ("pickle", "loads", touch),
        ("_pickle", "loads", touch), ("cPickle", "loads", touch), ("commands", "getoutput", touch),
        ("types", "CodeType", touch), ("marshal", "loads", touch), ("ctypes", "CDLL", touch), ("pty", "spawn", touch),
        ("code", "interact", touch), ("timeit", "timeit", source), ("profile", "run", source), ("bdb", "Bdb", touch),
        ("sys", "exit", touch), ("os.path", "exists", touch), ("webbrowser", "open", touch),
    ):  # fmt: skip
        attacks[f"reduce {module}.{name}"] = program(call(module, name, argument)), "the file is malicious or damaged"
    for module, name, argument in (
        ("torch", "load", text(canary)), ("torch.hub", "load", touch), ("torch.serialization", "load", touch),
        ("torch.utils.collect_env", "run", touch), ("torch.jit.unsupported_tensor_ops", "execWrapper", source),
        ("torch.fx.graph_module", "_forward_from_src", source), ("torch._inductor.codecache", "PyCodeCache", source),
        ("numpy", "load", touch), ("numpy.testing._private.utils", "runstring", source), ("sgi", "x", touch),
        ("numpy.f2py.crackfortran", "getlincoef", source), ("dill._dill", "_import_module", text("os")),
        ("functools", "partial", touch), ("collections", "namedtuple", touch), ("copyreg", "_reconstructor", touch),
        ("builtins", "getattr", text("x")), ("pathlib", "Path", touch),
    ):  # fmt: skip
        attacks[f"reduce {module}.{name}"] = program(call(module, name, argument)), "not a StyleGAN2 checkpoint"
        attacks[f"G_ema by {module}.{name}"] = in_dict("G_ema", call(module, name, argument)), "not a StyleGAN2"
    system = call("os", "system", touch)
    hostile = "the file is malicious or damaged"
    attacks["by memo and a stack global"] = (
        program(text("os") + b"\x94" + text("system") + b"\x93(" + touch + b"tR"),
        hostile,
    )
    attacks["__setstate__"] = program(b"cos\nsystem\n)\x81" + touch + b"b"), hostile
    attacks["build with a state"] = (
        program(call("torch.nn.modules.module", "Module") + b"}" + text("__setstate__") + system + b"sb"),
        hostile,
    )
    attacks["in the discriminator"] = in_dict("D", system), hostile
    attacks["newobj"] = program(b"csubprocess\nPopen\n(" + touch + b"t\x81"), hostile
    attacks["inst"] = program(b"(" + touch + b"ios\nsystem\n"), "outside the data opcodes"
    attacks["obj"] = program(b"(cos\nsystem\n" + touch + b"o"), hostile
    attacks["newobj_ex"] = program(b"ctorch\nload\n)}\x92"), "not a StyleGAN2 checkpoint"
    attacks["extension registry"] = program(b"\x82\x01"), "outside the data opcodes"
    attacks["text persistent id"] = program(b"Pos\n"), "outside the data opcodes"
    attacks["out of band buffer"] = program(b"\x97", 5), "outside the data opcodes"
    attacks["in torch's zip"] = archive({"archive/data.pkl": program(system, 2)}), hostile
    attacks["in torch's stream"] = stream(system), hostile
    attacks["as keys of torch's stream"] = stream(b"}", b"cos\nsystem\n(" + touch + b"tR."), hostile
    attacks["as magic number"] = program(b"cos\nsystem\n(" + touch + b"tR0\x8a\x0a" + bytes(10)), hostile
    attacks["as a set"] = program(call("builtins", "set", b"]" + system + b"a")), hostile
    return attacks


def bombs() -> dict[str, Attack]:
    """Files that need much memory or time."""
    nested = b"]\x94" * DEEP + b"a" * (DEEP - 1)
    laughs = b"]\x940" + b"".join(b"](h%ch%ce\x940" % (i, i) for i in range(100)) + b"hd"
    tuples = b"K\x00\x85\x94" + b"".join(b"h%ch%c\x86\x94" % (i, i) for i in range(100))
    colliding = b"".join(b"\x8a\x20" + (1 + i * (2**61 - 1)).to_bytes(32, "little") + b"N" for i in range(50_000))
    shared = b"}\x940" + b"h\x00(" + b"".join(b"J" + struct.pack("<i", i) + b"N" for i in range(50_000)) + b"u0"
    module = b"cx\ny\n)\x81}" + text("_modules") + b"h\x00sb"
    many = b"".join(b"X\x04\x00\x00\x00%04dN" % i for i in range(9999))
    return {
        "a key of many lines": (in_dict("a\n\x1b[31m" * 100_000, b"N"), "not a StyleGAN2 checkpoint: a dict of a key"),
        "memo far away": (program(b"Nr\xff\xff\xff\xff"), "not a StyleGAN2 checkpoint"),
        "memo, a million times": (program(b"N" + b"\x94" * MILLION), "more than 1000000 opcodes"),
        "empty memo": (program(b"j\xff\xff\xff\xff"), "memo 4294967295 is empty"),
        "dicts, a million": (program(b"}" * MILLION), "more than 1000000 opcodes"),
        "calls, a million opcodes": (program(b"]" + b"cx\ny\n)R" * (MILLION // 3)), "more than 1000000 opcodes"),
        "names, long": (program((b"c" + b"x" * 200 + b"\ny\n") * 100_000), "bytes of text"),
        "marks, a million": (program(b"(" * MILLION), "more than 1000000 opcodes"),
        "lists in lists": (program(nested), "checkpoint: a list"),
        "calls in calls": (program(b"cx\ny\n" * DEEP + b")" + b"R\x85" * DEEP), "checkpoint: a tuple"),
        "tuples in tuples": (program(b")" + b"\x85" * DEEP), "checkpoint: a tuple"),
        "doubling lists": (program(laughs), "checkpoint: a list"),
        "doubling lists as G_ema": (in_dict("G_ema", laughs), "not a StyleGAN2"),
        "doubling tuple as a key": (program(tuples + b"}" + b"hdNs"), "a dict of a key of type tuple"),
        "colliding integer keys": (program(b"}(" + colliding + b"u"), "a dict of 1, a key of type int"),
        "itself as an element": (program(b"]\x94h\x00a"), "checkpoint: a list"),
        "itself as G_ema": (program(b"}\x94" + text("G_ema") + b"h\x00s"), "not a StyleGAN2"),
        "bytes of 4 EiB": (program(b"\x8e" + struct.pack("<Q", 1 << 62)), "truncated"),
        "bytes of -1": (program(b"\x8e" + b"\xff" * 8), "truncated"),
        "text of 1 TiB": (program(b"\x8d" + struct.pack("<Q", 1 << 40)), "truncated"),
        "text of 4 GiB": (program(b"X\xff\xff\xff\xff"), "truncated"),
        "text, 20 MB": (program(text("x" * 50_000) * 400), "bytes of text"),
        "modules that share their children": (program(shared + b"}" + text("a") + b"}(" + b"".join(
            text(f"{i}") + module for i in range(10_000)) + b"us"), "refer to each other more than"),
        "a frame of 1 EiB": (program(b"\x95" + struct.pack("<Q", 1 << 60)), "truncated"),
        "a name without an end": (program(b"c" + b"x" * MILLION), "a name without an end"),
        "an integer truncated": (program(b"\x8a\xff\x01"), "truncated"),
        "an integer of 2 GB": (program(b"\x8b\xff\xff\xff\x7f"), "outside the data opcodes"),
        "text that is not UTF-8": (program(b"X\x02\x00\x00\x00\xff\xfe"), "text that is not UTF-8"),
        "a name of numbers": (program(b"K\x01K\x02\x93"), "a name that is not text"),
        "a name with a line break": (program(text("a\nb") + text("c") + b"\x93"), "a name that is not plain text"),
        "a call of a number": (program(b"K\x01)R"), "a call of an object that is not a name"),
        "arguments that are none": (program(b"cx\ny\nK\x01R"), "a call of an object that is not a name"),
        "an empty stack": (program(b"s"), "an empty stack"),
        "a missing mark": (program(b"Nt"), "a missing mark"),
        "a mark taken for a value": (program(b"(0"), "an empty stack"),
        "odd items": (program(b"}(Nu"), "SETITEM on an object that is not a dict"),
        "items of a number": (program(b"K\x01NNs"), "SETITEM on an object that is not a dict"),
        "append to a number": (program(b"K\x01Na"), "APPEND to an object that is not a list"),
        "build on a number": (program(b"K\x01Nb"), "BUILD on a value that is not an object"),
        "a later protocol": (program(b"N", 6), "protocol 6"),
        "protocol 0": (b"(lp0\n.", "a text that begins"),
        "nothing after the start": (b"\x80", "truncated"),
        "9999 tensors": (program(b"}" + text("synthesis.b4.const") + b"Ns(" + many + b"u"), "not a tensor"),
    }  # fmt: skip
