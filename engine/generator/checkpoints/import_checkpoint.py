"""Convert a checkpoint of another project to a generator file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from sgi.engine.errors import UserError
from sgi.engine.files import check_writable, sha256_file
from sgi.engine.generator.checkpoints import open_checkpoint
from sgi.engine.generator.config import GeneratorConfig
from sgi.engine.generator.file import save_generator

SUFFIX = ".safetensors"


@dataclass(frozen=True)
class ImportReport:
    """The result of an import.

    out: the file. format: of the checkpoint, such as "NVIDIA PyTorch pickle". sha256: hash of the network as stored.
    assumed: settings that the checkpoint does not contain, with the values used. dropped: parts of the checkpoint that
    are not in the file.
    """

    out: Path
    format: str
    config: GeneratorConfig
    sha256: str
    assumed: tuple[str, ...]
    dropped: tuple[str, ...]


def import_checkpoint(checkpoint: str | Path, out: str | Path | None = None, *, half: bool = False) -> ImportReport:
    """Write the generator of a StyleGAN2 checkpoint as a generator file. Nothing in the checkpoint is executed.

    out: file to write, ending in .safetensors; None is the checkpoint's name with that suffix, in the current folder.
    half: store float16, which halves the file and rounds the network.

    Raises UserError for an unreadable or unsupported checkpoint, one that is already a generator file, and an `out`
    that cannot be written. No file is written then.
    """
    source = Path(checkpoint)
    target = Path(f"{source.stem}{SUFFIX}") if out is None else Path(out)
    if target.suffix != SUFFIX:
        raise UserError(f"`out={target}`: the name must end in {SUFFIX}")
    check_writable(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise UserError(f"`out={target}`: this is the checkpoint; choose another name for the new file")
    with open_checkpoint(source) as found:
        network = found.generator()
        notes = {"source": {"sha256": sha256_file(source), **found.notes()}}
    sha256 = save_generator(target, network, notes, torch.float16 if half else torch.float32)
    return ImportReport(target, found.format, network.config, sha256, tuple(found.assumed), tuple(found.dropped))
