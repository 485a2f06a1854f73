"""Check what `make dist` built: wheel and source distributions of this version, with the files they need.

    python .ci/check_dist.py [FOLDER]

The wheel must hold exactly the packages' files of this working tree, and nothing else; the source distribution also
what the C++ library is built from; so must that of sgi-engine-cpu.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("cli", "engine", "kernels", "export", "trainer")
BUNDLE = ("*.safetensors", "*.onnx", "*.json", "*.md", "offsets/*.safetensors")
SOURCES = (
    "CMakeLists.txt",
    "CMakePresets.json",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "engine/native/include/sgi/sgi.h",
)

NATIVE = "engine/native/python"
NATIVE_SOURCES = ("CMakeLists.txt", "engine/version.py", "engine/native/CMakeLists.txt")
NATIVE_FOLDERS = ("engine/native/cmake", "engine/native/include", "engine/native/src", "kernels/cpu")


def version() -> str:
    """The version of the working tree."""
    names: dict[str, str] = {}
    exec((ROOT / "engine" / "version.py").read_text(), names)
    return names["__version__"]


def package_files() -> set[str]:
    """Paths in the wheel of every file that the packages consist of."""
    found = set()
    for name in PACKAGES:
        for path in (ROOT / name).rglob("*"):
            parts = path.relative_to(ROOT).parts
            if "native" not in parts and (path.suffix == ".py" or path.name == "py.typed"):
                found.add("/".join(("sgi", *parts)))
    for pattern in BUNDLE:
        found |= {f"sgi/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "engine" / "bundle").glob(pattern)}
    # Data of packages that is no Python, such as templates.
    data = {p for name in PACKAGES for p in (ROOT / name).rglob("templates/*") if p.is_file() and p.suffix != ".py"}
    return found | {f"sgi/{path.relative_to(ROOT).as_posix()}" for path in data}


def native_files() -> set[str]:
    """Paths in the source distribution of sgi-engine-cpu that it is built from."""
    own = [path for path in (ROOT / NATIVE).rglob("*") if path.suffix in (".cpp", ".py", ".pyi", ".txt", ".toml")]
    found = {path.relative_to(ROOT / NATIVE).as_posix() for path in own} | {"LICENSE"}
    found |= {f"source/{name}" for name in NATIVE_SOURCES}
    copied = [path for name in NATIVE_FOLDERS for path in (ROOT / name).rglob("*") if path.is_file()]
    return found | {f"source/{path.relative_to(ROOT).as_posix()}" for path in copied}


def faults(folder: Path) -> list[str]:
    """What is wrong with the files in a folder, a line each."""
    wheel = folder / f"sgi_engine-{version()}-py3-none-any.whl"
    sdist = folder / f"sgi_engine-{version()}.tar.gz"
    native = folder / f"sgi_engine_cpu-{version()}.tar.gz"
    expected = {wheel, sdist, native}
    found = [f"{path}: missing" for path in sorted(expected) if not path.exists()]
    found += [f"{path}: unexpected" for path in sorted(set(folder.iterdir()) - expected)]
    if found:
        return found
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    found += [f"{wheel.name}: lacks {name}" for name in sorted(package_files() - inside)]
    found += [f"{wheel.name}: has {name}, which is not in the tree" for name in sorted(inside - package_files())]
    for path, needed in ((sdist, {*SOURCES}), (native, native_files())):
        with tarfile.open(path) as archive:
            names = {name.partition("/")[2] for name in archive.getnames()}
        found += [f"{path.name}: lacks {name}" for name in sorted(needed - names)]
    if (ROOT / NATIVE / "LICENSE").read_bytes() != (ROOT / "LICENSE").read_bytes():
        found.append(f"{NATIVE}/LICENSE: differs from LICENSE")
    return found


def main() -> int:
    """Print faults, or the files that were checked."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "dist")
    found = faults(folder)
    for line in found or [f"{path.name}: {path.stat().st_size} bytes" for path in sorted(folder.iterdir())]:
        print(line)
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
