"""The shard format `parquet`: a file with one row a seed, which `datasets.load_dataset("parquet", ...)` decodes.

Codes are columns of pictures: PNG files in structs {bytes, path}, the feature `Image` of Hugging Face `datasets`.
Values are nested lists, its feature `Array3D`. The schema contains the features and the types.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sgi.engine.intrinsics import Intrinsic
from sgi.engine.seeds import Seeds, seed_stem
from sgi.engine.shards.semantics import KEY, check_columns, require, semantics
from sgi.engine.shards.shard_format import (
    CODES,
    NO_COMPRESSION,
    ShardSettings,
    Stored,
    array_encoding,
    dtype_of,
    shape_of,
)
from sgi.engine.writers.png_format import Png

if TYPE_CHECKING:
    import pyarrow

_PNG = Png()
_GROUP_BYTES = 1 << 26
_GROUP_ROWS = 100
"""Most rows of a row group, the unit that readers load; also the number that `datasets` writes for pictures."""
_ARRAY_3D = "datasets.features.features.Array3DExtensionType"
_SCALARS: dict[type, str] = {bool: "bool", int: "int64", float: "float64", str: "string"}
"""Types of facts that become columns -> names of Arrow's types, which are those of the features `Value`."""


class Parquet:
    """Parquet with one row a seed; compression is of the columns, of which PNG files gain nothing."""

    name = "parquet"
    suffix = ".parquet"
    extra = "parquet"
    dtypes: tuple[str, ...] = (CODES, "float16", "float32")
    compressions: tuple[str, ...] = ("zstd", "snappy", NO_COMPRESSION)

    def check(self, settings: ShardSettings) -> None:
        """See `ShardFormat.check`."""
        require("pyarrow", self)

    def open(self, path: Path, kinds: Sequence[Intrinsic], numbers: Seeds, settings: ShardSettings) -> _Writer:
        """See `ShardFormat.open`; raises UserError for a type with the name of another column."""
        check_columns(kinds, (settings.item, *_columns_of(settings.facts)), self)
        return _Writer(path, kinds, settings)

    def read(self, path: Path, number: int, kinds: Sequence[Intrinsic], settings: ShardSettings) -> Stored:
        """See `ShardFormat.read`."""
        import pyarrow.parquet as parquet

        with parquet.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                numbers = file.read_row_group(group, [settings.item]).column(0).to_numpy()
                found = np.flatnonzero(numbers == number)
                if len(found):
                    columns = file.read_row_group(group, [kind.name for kind in kinds]).slice(found[0], 1)
                    return {kind.name: _read_cell(kind, columns.column(kind.name), settings) for kind in kinds}
        raise KeyError(number)

    def encoding(self, kind: Intrinsic, dtype: str) -> str:
        """See `ShardFormat.encoding`."""
        return array_encoding(kind, dtype)


class _Writer:
    """Batches are cut to row groups of one size, so that bytes do not depend on the batch."""

    def __init__(self, path: Path, kinds: Sequence[Intrinsic], settings: ShardSettings) -> None:
        import pyarrow
        import pyarrow.parquet as parquet

        self._arrow = pyarrow
        self._kinds = {kind.name: kind for kind in kinds}
        self._settings = settings
        self._facts = _columns_of(settings.facts)
        self._schema = _schema(kinds, settings, self._facts)
        of_row = sum(math.prod(shape_of(kind, settings)) * dtype_of(kind, settings.dtype).itemsize for kind in kinds)
        self._rows = max(1, min(_GROUP_ROWS, _GROUP_BYTES // of_row))
        self._waiting: list[pyarrow.Table] = []
        # Dictionaries of pictures are tried in vain, and take as much memory as the pictures.
        constant = list(self._facts)
        self._file = parquet.ParquetWriter(
            path,
            self._schema,
            compression=settings.compression,
            use_dictionary=constant,
            write_statistics=[settings.item],
        )

    def encode(self, numbers: Sequence[int], maps: Stored) -> pyarrow.Table:
        """See `ShardWriter.encode`: rows of the table."""
        pa = self._arrow
        settings = self._settings
        columns = [pa.array(np.asarray(numbers, np.int64))]
        columns += [pa.array([value] * len(numbers), _SCALARS[type(value)]) for value in self._facts.values()]
        for name, kind in self._kinds.items():
            if settings.dtype == CODES:
                names = [f"{seed_stem(number, settings.digits, settings.item)}_{name}.png" for number in numbers]
                pictures = pa.array(_PNG.encode_batch(kind, maps[name]), pa.binary())
                columns.append(pa.StructArray.from_arrays([pictures, pa.array(names, pa.string())], ["bytes", "path"]))
            else:
                columns.append(_nested(pa, maps[name]))
        return pa.Table.from_arrays(columns, schema=self._schema)

    def write(self, encoded: pyarrow.Table) -> None:
        """See `ShardWriter.write`."""
        self._waiting.append(encoded)
        while sum(map(len, self._waiting)) >= self._rows:
            table = self._arrow.concat_tables(self._waiting)
            self._file.write_table(table.slice(0, self._rows), self._rows)
            self._waiting = [table.slice(self._rows)]

    def close(self) -> None:
        """See `ShardWriter.close`."""
        with self._file as file:
            if sum(map(len, self._waiting)):
                file.write_table(self._arrow.concat_tables(self._waiting), self._rows)
            self._waiting = []


def _schema(kinds: Sequence[Intrinsic], settings: ShardSettings, facts: Mapping[str, Any]) -> pyarrow.Schema:
    """Fields of the columns, with the features that `datasets` reads and the description of the types."""
    import pyarrow as pa

    fields = [pa.field(settings.item, pa.int64())]
    features: dict[str, Any] = {settings.item: {"dtype": "int64", "_type": "Value"}}
    for name, value in facts.items():
        fields.append(pa.field(name, _SCALARS[type(value)]))
        features[name] = {"dtype": _SCALARS[type(value)], "_type": "Value"}
    for kind in kinds:
        if settings.dtype == CODES:
            fields.append(pa.field(kind.name, pa.struct([("bytes", pa.binary()), ("path", pa.string())])))
            features[kind.name] = {"_type": "Image"}
            continue
        shape = list(shape_of(kind, settings))
        lists = pa.from_numpy_dtype(settings.dtype)
        for _ in shape:
            lists = pa.list_(lists)
        extension = {
            "ARROW:extension:name": _ARRAY_3D,
            "ARROW:extension:metadata": json.dumps([shape, settings.dtype]),
        }
        fields.append(pa.field(kind.name, lists, metadata=extension))
        features[kind.name] = {"shape": shape, "dtype": settings.dtype, "_type": "Array3D"}
    metadata = {
        "huggingface": json.dumps({"info": {"features": features}}),
        KEY: json.dumps(semantics(Parquet(), kinds, settings), sort_keys=True),
    }
    return pa.schema(fields, metadata=metadata)


def _columns_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that become columns: numbers and texts."""
    return {name: value for name, value in facts.items() if type(value) in _SCALARS}


def _nested(pa: Any, stack: NDArray[Any]) -> Any:
    """Lists of lists [N][C][R][R] of an array, without a copy of its numbers."""
    values = pa.array(stack.reshape(-1))
    for length in stack.shape[:0:-1]:
        ends = pa.array(np.arange(0, len(values) + 1, length, dtype=np.int32))
        values = pa.ListArray.from_arrays(ends, values)
    return values


def _read_cell(kind: Intrinsic, column: Any, settings: ShardSettings) -> NDArray[Any]:
    """The array of one seed of a column with one row."""
    cell = column.combine_chunks()
    if settings.dtype == CODES:
        return _PNG.decode_codes(kind, cell[0]["bytes"].as_py())
    if hasattr(cell, "storage"):  # `datasets` was imported, which registers the type of its arrays
        cell = cell.storage
    for _ in range(3):
        cell = cell.flatten()
    return np.asarray(cell.to_numpy().reshape(shape_of(kind, settings)))
