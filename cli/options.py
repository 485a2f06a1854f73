"""Flags that several commands share: one name, one meaning, one line of help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TypeFiles = Annotated[
    list[Path] | None,
    typer.Option("--type-file", help="Describe a type of your own in YAML (name, channels, meaning, ...)."),
]
GeneratorFile = Annotated[Path | None, typer.Option(help="Generator file. Default: the bundled rooms.")]
Trunc = Annotated[float, typer.Option("--trunc", help="Truncation psi of the pictures.")]
Cutoff = Annotated[int | None, typer.Option("--trunc-cutoff", min=0, help="Truncate only the first rows.")]
NoiseMode = Annotated[
    str | None, typer.Option(help="none or const. Default: none for the bundled generator, else const.")
]
ClassIndex = Annotated[int | None, typer.Option("--class", help="Class, of a conditional generator.")]
Batch = Annotated[int, typer.Option(min=1, help="Pictures a step.")]
Holdout = Annotated[int, typer.Option(help="Held-out pictures to score on.")]
Split = Annotated[str, typer.Option(help="Score on `holdout` seeds, or on those for `choosing` settings.")]
TeacherCache = Annotated[
    Path | None, typer.Option("--cache", help="Folder that keeps the teacher's maps, so that it runs once per picture.")
]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; one is best beside other work.")]
Precision = Annotated[str | None, typer.Option(help="fp32 or bf16. Default: bf16 where the hardware has it.")]
