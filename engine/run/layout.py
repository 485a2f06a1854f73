"""The settings of a run that say how maps are put into files: subfolders, or shards."""

from __future__ import annotations

from dataclasses import dataclass

from sgi.engine.errors import UserError, refuse_ignored
from sgi.engine.run.record import SEEDS_PER_FOLDER, RunRecord
from sgi.engine.seeds import SEED_MAX
from sgi.engine.shards import SHARD_FORMATS
from sgi.engine.shards.shard_format import DEFAULT_SHARD_SIZE, MAX_SHARD_SIZE


@dataclass(frozen=True)
class Layout:
    """What a user asks for. file_format: a known name. shard_size, dtype, compression: None where not given."""

    file_format: str
    shard_size: int | None = None
    dtype: str | None = None
    compression: str | None = None

    def check(self, seeds_per_folder: int | None) -> None:
        """Raise UserError for settings that have no effect with the format, and for a wrong shard size."""
        if self.file_format not in SHARD_FORMATS:
            given = {"shard_size": self.shard_size, "dtype": self.dtype, "compression": self.compression}
            formats = ", ".join(SHARD_FORMATS)
            refuse_ignored(given, f"with `file_format={self.file_format}`; it is for {formats}")
            return
        refuse_ignored(
            {"seeds_per_folder": seeds_per_folder}, f"with `file_format={self.file_format}`; choose a `shard_size`"
        )
        if self.shard_size is not None and not 1 <= self.shard_size <= MAX_SHARD_SIZE:
            raise UserError(f"`shard_size={self.shard_size}`: choose 1 to {MAX_SHARD_SIZE}")

    def check_url(self) -> None:
        """Raise UserError for a format that is not for object stores."""
        if self.file_format not in SHARD_FORMATS:
            raise UserError(
                f"`file_format={self.file_format}`: a file for each map is for folders only; with a URL choose "
                f"{', '.join(SHARD_FORMATS)}"
            )

    def recorded(self, found: RunRecord | None) -> tuple[int | None, str | None, str | None]:
        """The fields shard_size, dtype and compression of a record. found: the record of the folder, which counts next.

        A name that the format does not have is refused later, by `check_settings`.
        """
        form = SHARD_FORMATS.get(self.file_format)
        if form is None:
            return None, None, None
        same = found if found and found.file_format == self.file_format else None
        return (
            self.shard_size or (same.shard_size if same else None) or DEFAULT_SHARD_SIZE,
            self.dtype or (same.dtype if same else None) or form.dtypes[0],
            self.compression or (same.compression if same else None) or form.compressions[0],
        )

    def per_folder(self, asked: int | None, found: RunRecord | None) -> int:
        """The field seeds_per_folder of a record; 0 for shards. Raises UserError for a wrong number."""
        if self.file_format in SHARD_FORMATS:
            return 0
        if asked is None:
            return found.seeds_per_folder if found and found.shard_size is None else SEEDS_PER_FOLDER
        if not 0 <= asked <= SEED_MAX:
            raise UserError(f"`seeds_per_folder={asked}`: choose 1 to {SEED_MAX}, or 0 for no subfolders")
        return asked
