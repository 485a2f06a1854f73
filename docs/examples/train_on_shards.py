"""Train a small network that predicts depth from pictures, on the shards of a run.

    sgi-engine run --seeds 0-9999 --format webdataset --outdir pairs
    python docs/examples/train_on_shards.py pairs --steps 100

The folder has shards of the format webdataset or parquet, of the dtype codes. Needs torch, and webdataset or pyarrow.
Seeds are independent of each other, so a first pass in their order is as good as one in a random order.
"""

from __future__ import annotations

import argparse
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

TYPES = ("image", "depth")


def from_webdataset(shards: list[str]) -> Iterator[dict[str, bytes]]:
    """PNG files by type, of each seed; each worker of a loader reads other shards."""
    try:
        import webdataset
    except ModuleNotFoundError:
        raise SystemExit("shards of the format webdataset need its package: pip install webdataset") from None

    for sample in webdataset.WebDataset(shards, shardshuffle=len(shards), empty_check=False):
        # Not by `decode` of webdataset, which converts pictures to 8 bits.
        yield {name: sample[f"{name}.png"] for name in TYPES}


def from_parquet(shards: list[str]) -> Iterator[dict[str, bytes]]:
    """The same of rows."""
    import pyarrow.parquet

    worker = get_worker_info()
    own = shards[worker.id :: worker.num_workers] if worker else shards
    for shard in random.sample(own, len(own)):
        with pyarrow.parquet.ParquetFile(shard) as file:
            for rows in file.iter_batches(64, columns=list(TYPES)):
                for row in rows.to_pylist():
                    yield {name: row[name]["bytes"] for name in TYPES}


class Pairs(IterableDataset):
    """Pairs of a picture [3, R, R] and its depth [1, R, R], float32 from 0 to 1."""

    def __init__(self, folder: str | Path) -> None:
        tar, parquet = (sorted(map(str, Path(folder).glob(f"shard-*.{suffix}"))) for suffix in ("tar", "parquet"))
        if not tar and not parquet:
            raise SystemExit(f"{folder}: no shards of the format webdataset or parquet")
        about = Path(folder) / "run.json"
        if about.is_file() and (dtype := json.loads(about.read_text())["dtype"]) != "codes":
            raise SystemExit(f"{folder}: shards of the dtype {dtype}; this example reads codes")
        self.shards, self.read = (tar, from_webdataset) if tar else (parquet, from_parquet)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for sample in self.read(self.shards):
            codes = [np.array(Image.open(io.BytesIO(sample[name]))) for name in TYPES]
            # README.md, "Map types": codes of these types are values times the largest code.
            image, depth = (code / np.float32(np.iinfo(code.dtype).max) for code in codes)
            yield torch.from_numpy(image).movedim(-1, 0), torch.from_numpy(depth)[None]


def train(folder: str | Path, steps: int, batch: int = 32, workers: int = 0) -> list[float]:
    """The losses of the steps of a network of two convolutions."""
    loader = DataLoader(Pairs(folder), batch_size=batch, num_workers=workers, drop_last=True)
    model = nn.Sequential(nn.Conv2d(3, 32, 5, padding=2), nn.ReLU(), nn.Conv2d(32, 1, 5, padding=2))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses: list[float] = []
    while len(losses) < steps:
        seen = len(losses)
        for image, depth in loader:
            loss = nn.functional.l1_loss(model(image), depth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == steps:
                break
        if len(losses) == seen:
            raise SystemExit(
                f"{folder}: fewer than {batch} samples for a worker; choose a smaller --batch or --workers"
            )
    return losses


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("folder")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    found = train(options.folder, options.steps, options.batch, options.workers)
    print(f"mean error of depth: {found[0]:.4f} at the first step, {found[-1]:.4f} at step {len(found)}")
