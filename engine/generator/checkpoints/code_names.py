"""Names of the standard library in a pickle that show that the file was made to attack its reader.

Nothing that a pickle names is imported or called here, so this table is no protection: it turns a file that would run
code elsewhere into a warning. All other names are inert, because training files contain objects of any kind.
"""

from __future__ import annotations

# A package of a user's own can be called `code`, so only these have submodules.
_PACKAGES = frozenset({"ctypes", "importlib", "os", "pip"})
_MODULES = frozenset(
    {
        "_pickle", "_posixsubprocess", "_socket", "bdb", "cProfile", "code", "codeop", "commands", "doctest", "imp",
        "linecache", "marshal", "mmap", "nt", "ntpath", "pdb", "pickle", "pkgutil", "posix", "posixpath", "profile",
        "pty", "pydoc", "runpy", "shutil", "smtplib", "socket", "subprocess", "sys", "timeit", "webbrowser", "winreg",
        "zipimport",
    }
)  # fmt: skip
_NAMES = frozenset(
    {
        "builtins.__import__", "builtins.breakpoint", "builtins.compile", "builtins.delattr", "builtins.eval",
        "builtins.exec", "builtins.execfile", "builtins.globals", "builtins.input", "builtins.locals", "builtins.open",
        "builtins.setattr", "builtins.vars", "codecs.open", "_io.FileIO", "_io.open", "io.FileIO", "io.open",
        "_operator.attrgetter", "_operator.methodcaller", "operator.attrgetter", "operator.methodcaller",
        "types.CodeType", "types.FunctionType",
    }
)  # fmt: skip


def runs_code(module: str, name: str) -> bool:
    """Whether `module.name` runs code, starts a program, or opens a file or a connection in published attacks."""
    return module in _MODULES or module.partition(".")[0] in _PACKAGES or f"{module}.{name}" in _NAMES
