"""The Frechet distance of the bundled generator by the features of different teachers, and its sampling part.

    python benchmarks/compare_teachers.py [--rooms FOLDER] [--teacher FILE ...] [--seeds N]

For the bundled teacher and each --teacher it measures the distance of generated images from held-out renders, that of
renders from renders, and the distance that is left when seeds are sampled with fitted probabilities. The probabilities
minimise the distance from one half of the renders by gradient descent and are measured on the other half. The images do
not change, so the difference is due to how often each room is sampled (Kynkaanniemi et al., arXiv 2203.06026, show this
for Inception features). Appends a line to results.jsonl.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import append

from sgi.engine import bundle
from sgi.engine.generator import Generator, load_generator
from sgi.engine.generator.file import read_header
from sgi.trainer.gan.frechet import frechet_distance, symmetric_root
from sgi.trainer.gan.quality import HELD_OUT_ROOMS, generated_features, held_out_rooms, real_features
from sgi.trainer.scenes.dataset import RoomDataset
from sgi.trainer.teachers.unet_teacher import UNetTeacher, load_unet_teacher

DESCENT_STEPS = 150
DESCENT_RATE = 0.05
DRAWS = 5


def main() -> None:
    """Measure the teachers of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--rooms", type=Path, default=Path("held-out"), help="folder of held-out rooms; rendered if missing"
    )
    parser.add_argument("--teacher", type=Path, nargs="+", default=[], help="teachers to compare with the bundled one")
    parser.add_argument("--seeds", type=int, default=16384, help="seeds that are sampled with fitted probabilities")
    options = parser.parse_args()
    if options.seeds < HELD_OUT_ROOMS // 2:
        parser.error(f"--seeds {options.seeds}: at least {HELD_OUT_ROOMS // 2}, the number of renders in one half")
    if len({path.stem for path in options.teacher} | {"bundled"}) <= len(options.teacher):
        parser.error("--teacher: give the files different names; the table has a row for each name")
    torch.set_flush_denormal(True)
    generator = load_generator(bundle.GENERATOR)
    variety = read_header(bundle.GENERATOR).notes["training"]["variety"]
    rooms = held_out_rooms(options.rooms, generator.config.resolution, variety)
    figures = {}
    for path in (bundle.TEACHER, *options.teacher):
        name = "bundled" if path == bundle.TEACHER else path.stem
        figures[name] = distances(generator, load_unet_teacher(path), rooms, options.seeds)
    append("judge", figures)


def distances(generator: Generator, teacher: UNetTeacher, rooms: RoomDataset, seeds: int) -> dict[str, Any]:
    """Relative Frechet distances by one teacher, and the effective number of seeds of the fitted probabilities."""
    first, second = real_features(teacher, rooms)
    count = len(first)
    generated = generated_features(generator, teacher, seeds)
    chances = fitted_probabilities(second, generated)
    draw = np.random.default_rng(0)
    drawn = [generated[draw.choice(seeds, count, p=chances)] for _ in range(DRAWS)]
    return {
        "frechet": round(frechet_distance(first, generated[:count]).relative, 4),
        "floor": round(frechet_distance(first, second).relative, 4),
        "unequal_chances": round(float(np.mean([frechet_distance(first, one).relative for one in drawn])), 4),
        "seeds": seeds,
        "effective_seeds": round(1 / float(np.square(chances).sum())),
    }


def fitted_probabilities(real: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """Probabilities [M] float64 under which generated [M, F] is nearest to real [N, F] by Frechet distance."""
    target, features = torch.from_numpy(real).double(), torch.from_numpy(generated).double()
    mean, covariance = target.mean(0), target.T.cov()
    root = torch.from_numpy(symmetric_root(covariance.numpy()))
    logits = torch.zeros(len(features), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([logits], lr=DESCENT_RATE)
    for _ in range(DESCENT_STEPS):
        chances = logits.softmax(0)
        centre = chances @ features
        apart = features - centre
        spread = (apart * chances[:, None]).T @ apart
        # The derivative of the root is not finite at an eigenvalue of 0.
        cross = torch.linalg.eigvalsh(root @ spread @ root).clamp(min=1e-12).sqrt().sum()
        distance = (mean - centre).square().sum() + covariance.trace() + spread.trace() - 2 * cross
        optimiser.zero_grad()
        (distance / covariance.trace()).backward()
        optimiser.step()
    return logits.detach().softmax(0).numpy()


if __name__ == "__main__":
    main()
