"""Options that several commands share: one name, one meaning, one line of help.

The Python parameter that takes an option has the name of the library's parameter (`psi: Trunc` for --trunc), because
error messages name parameters and sgi.cli.errors replaces them with flags. Each type states its flag for that reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sgi.engine.backends import BACKENDS, DEVICES
from sgi.engine.errors import UserError, one_line
from sgi.engine.shards import SHARD_FORMATS
from sgi.engine.writers import FORMATS

_SHOWN = 40  # characters of a wrong value


def split_types(values: list[str] | None) -> list[str] | None:
    """Type names of all values of --type; each value is one name or a list such as `depth,normal`."""
    if not values:
        return None
    names = [name.strip() for value in values for name in value.split(",")]
    if not all(names):
        raise UserError(f"`types={','.join(values)}`: a name is empty; write names such as depth,normal")
    return names


def types_option(text: str) -> Any:
    """The option --type of a command with its own help; every command parses it with `split_types`."""
    return typer.Option("--type", callback=split_types, help=text)


def one_class(text: str | int) -> int:
    """The class of an option that takes one; raises UserError for other text, such as a mix of classes."""
    try:
        return int(text)
    except ValueError:
        raise UserError(
            f"`class_index={one_line(str(text), _SHOWN)}`: fits and scores take one class, such as 3; lists and mixes "
            "of classes are for `sgi-engine run`"
        ) from None


def folder_or_url(text: str | Path) -> Path | str:
    """The value of an option that takes a folder, or a URL of an object store."""
    from sgi.engine.run.stores.opening import check_outdir

    found = check_outdir(text)
    if str(found).startswith("memory:"):
        raise UserError(f"`outdir={text}`: memory:// ends with the command; choose a folder or an object store")
    return found


def class_option(text: str) -> Any:
    """The option --class of a command that takes one class, with its own help."""
    return typer.Option("--class", parser=one_class, metavar="INTEGER", help=text)


# What to compute: parameters `types`, `type_files`, `generator`, `offsets`, `teacher`.
Types = Annotated[
    list[str] | None, types_option("Map types, such as depth,normal; the option can be repeated. `all`: every one.")
]
TypeFiles = Annotated[
    list[Path] | None,
    typer.Option("--type-file", help="YAML file that describes a type of your own (name, channels, meaning, ...)."),
]
GeneratorFile = Annotated[
    Path | None,
    typer.Option(
        "--generator", help="Generator file or StyleGAN2 checkpoint (--network also). Default: the bundled rooms."
    ),
]
OffsetFiles = Annotated[
    list[Path] | None, typer.Option("--offset", help="Offset file; repeat it for several. Default: the bundled ones.")
]
Teacher = Annotated[
    str,
    typer.Option(
        "--teacher",
        help="`bundled`, a teacher file, analytic:NAME (sobel, canny, luminance, retinex), onnx:FILE.yaml, or "
        "transformers: or diffusers: with a Hugging Face name or folder; A+B: B for the types that A does not have.",
    ),
]

# How images are generated: parameters `psi`, `cutoff`, `noise_mode`, `class_index`.
Trunc = Annotated[float, typer.Option("--trunc", help="Truncation psi of the images.")]
Cutoff = Annotated[
    int | None,
    typer.Option("--trunc-cutoff", min=0, help="Truncate only the first rows of w+, this many. Default: all."),
]
NoiseMode = Annotated[
    str | None, typer.Option("--noise-mode", help="none or const. Default: none for the bundled generator, else const.")
]
ClassIndices = Annotated[
    str | None,
    typer.Option(
        "--class",
        help="Class of a conditional model, or a mix of classes, as 3:0.7,5:0.3. Of several, as 0,3,5-7, each has a "
        "folder class0, class3, ...",
    ),
]
ClassIndex = Annotated[int | None, class_option("Class index, for a conditional generator; one, not a mix.")]

# What runs: a model, or a generator that becomes one. Parameters `model`, `generator`, `alpha`, `cutoff`, `noise_mode`,
# `cache`, `backend`, `device`.
RunModel = Annotated[Path | None, typer.Option("--model", help="Exported model. Default: the bundled rooms.")]
RunGenerator = Annotated[
    str | None,
    typer.Option(
        "--generator",
        help="Instead of a model: a generator file or StyleGAN2 checkpoint (--network also), or `bundled`. It runs "
        "on the Triton kernels on a GPU; elsewhere it is exported once, and the export is kept.",
    ),
]
RunAlpha = Annotated[
    float | None, typer.Option("--alpha", help="With --generator: factor of every offset. Default: 1, the map.")
]
RunCutoff = Annotated[
    int | None,
    typer.Option(
        "--trunc-cutoff", min=0, help="With --generator: truncate only the first rows of w+. Default: the offsets'."
    ),
]
RunNoise = Annotated[
    str | None,
    typer.Option(
        "--noise-mode",
        help="none, const or random. Of a model: stop unless it was exported with this noise. Default with "
        "--generator: that of the offsets.",
    ),
]
RunCache = Annotated[
    bool,
    typer.Option(
        "--cache/--no-cache", help="With --generator: keep the export for later runs (`sgi-engine doctor`: where)."
    ),
]
RunBackend = Annotated[
    str,
    typer.Option(
        "--backend",
        help=f"{', '.join(BACKENDS)}, triton (for --generator) or auto: the fastest; a run that continues uses "
        "that of its folder.",
    ),
]
RunDevice = Annotated[str, typer.Option("--device", help=f"{', '.join(DEVICES)} or auto.")]

# How offsets are fitted and scored.
Batch = Annotated[int, typer.Option("--batch", min=1, help="Images per optimiser step.")]
Holdout = Annotated[int, typer.Option("--holdout", help="Held-out images to score on.")]
Split = Annotated[
    str,
    typer.Option("--split", help="Score on the `holdout` seeds, or on the `choosing` seeds for choosing settings."),
]
Seed = Annotated[int, typer.Option("--seed", help="Selects the images to fit on, and their order.")]
TeacherCache = Annotated[
    Path | None, typer.Option("--cache", help="Folder that keeps the teacher's maps, so that they are computed once.")
]
Resume = Annotated[bool, typer.Option("--resume/--no-resume", help="Continue an interrupted run of the same settings.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the work and its estimated time, and stop.")]

# Where work runs: parameters `device`, `backend`, `threads`, `precision`.
Device = Annotated[str, typer.Option("--device", help="cpu or cuda.")]
PictureBackend = Annotated[
    str,
    typer.Option(
        "--backend",
        help="What computes the generator's pictures: torch, triton (the fused kernels, on a GPU), or auto, which is "
        "triton on a GPU where it is installed.",
    ),
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads. Default: all cores.")]
Precision = Annotated[
    str | None, typer.Option("--precision", help="fp32 or bf16. Default: bf16 where the hardware supports it.")
]

# Results: parameters `file_format`, `preview`, `quiet`, `as_json`.
MapFormat = Annotated[
    str,
    typer.Option(
        "--format",
        help=f"{' or '.join(FORMATS)}: a file for each map. {', '.join(SHARD_FORMATS)}: shards of many seeds. "
        "dummy: nothing is written, which measures generation alone.",
    ),
]
Preview = Annotated[bool, typer.Option("--preview/--no-preview", help="Also write a picture of the first results.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print progress and results as JSON, one object a line. With --quiet: only results."),
]
