"""Train a small network that predicts depth from pictures, on the shards of a run.

    sgi-engine run --seeds 0-9999 --format webdataset --outdir pairs
    python docs/examples/train_on_shards.py pairs --steps 100

The folder has shards of the format webdataset or parquet, of the dtype codes. Needs torch, and webdataset or datasets.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

TYPES = ("image", "depth")


def from_webdataset(shards: list[str], shuffled: int) -> Iterable[dict[str, Any]]:
    """Pictures of Pillow by type, of each seed; each worker of a loader reads other shards."""
    import webdataset

    def decoded(sample: dict[str, Any]) -> dict[str, Any]:
        return {name: Image.open(io.BytesIO(sample[f"{name}.png"])) for name in TYPES}

    samples = webdataset.WebDataset(shards, shardshuffle=len(shards), empty_check=False).shuffle(shuffled)
    return samples.map(decoded)  # `decode` of webdataset converts pictures to 8 bits


def from_parquet(shards: list[str], shuffled: int) -> Iterable[dict[str, Any]]:
    """The same of rows; without `streaming`, `datasets` would first copy all shards into its cache."""
    from datasets import load_dataset

    rows = load_dataset("parquet", data_files=shards, split="train", streaming=True)
    return rows.select_columns(list(TYPES)).shuffle(seed=0, buffer_size=shuffled)


class Pairs(IterableDataset):
    """Pairs of a picture [3, R, R] and its depth [1, R, R], float32 from 0 to 1."""

    def __init__(self, folder: str | Path, shuffled: int = 1000) -> None:
        tar, parquet = (sorted(map(str, Path(folder).glob(f"shard-*.{suffix}"))) for suffix in ("tar", "parquet"))
        if not tar and not parquet:
            raise SystemExit(f"{folder}: no shards of the format webdataset or parquet")
        self.samples = from_webdataset(tar, shuffled) if tar else from_parquet(parquet, shuffled)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for sample in self.samples:
            codes = [np.array(sample[name]) for name in TYPES]
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
            raise SystemExit(f"{folder}: fewer than {batch} samples")
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
