"""The search for latents: it finds pictures of the generator, and its penalties act."""

from __future__ import annotations

import pytest
import torch
from recorded_progress import RecordedProgress
from tolerances import OPTIMISED, SAMPLED_COVARIANCE

from sgi.engine.errors import UserError
from sgi.trainer.offsets.pool import Sampling
from sgi.trainer.offsets.seed_splits import scoring_seeds
from sgi.trainer.offsets.whitening import whitening
from sgi.trainer.studies.truth.latent_search import SearchSettings, find_latents, psnr


@pytest.fixture
def prediction(generator):
    """Pictures of the generator, of latents that are hidden from the search."""
    with torch.no_grad():
        ws = Sampling().ws(generator, scoring_seeds(3))
        return (generator.synthesize(ws, "none") * 0.5 + 0.5).clamp(0, 1)


def test_finds_pictures_of_the_generator(generator, prediction):
    progress = RecordedProgress()
    found = find_latents(
        generator,
        prediction,
        settings=SearchSettings(steps=100, prior=0, rows=0, candidates=64),
        progress=progress,
    )
    assert progress.counts["inversion"] == [3] * 100
    assert found.ws.shape == (3, 6, 8)
    assert found.psnr.min() > 32
    torch.testing.assert_close(psnr(found.images, prediction), found.psnr)
    with torch.no_grad():
        again = (generator.synthesize(found.ws, "none") * 0.5 + 0.5).clamp(0, 1)
    torch.testing.assert_close(again, found.images)


def test_pictures_are_inverted_independently(generator, prediction):
    quick = SearchSettings(steps=10, candidates=0)
    together, alone = (find_latents(generator, pictures, settings=quick) for pictures in (prediction, prediction[1:2]))
    torch.testing.assert_close(together.ws[1:2], alone.ws, rtol=OPTIMISED, atol=OPTIMISED)


def test_starts_at_w_avg_or_at_the_most_similar_sample(generator, prediction):
    still = SearchSettings(steps=1, lr=0, candidates=0)
    cloud = whitening(generator, Sampling())
    found = find_latents(generator, prediction, settings=still)
    expected = cloud.point(cloud.coordinates(generator.mapping.w_avg))
    torch.testing.assert_close(found.ws, expected.expand_as(found.ws), rtol=OPTIMISED, atol=OPTIMISED)
    near = find_latents(generator, prediction, settings=SearchSettings(steps=1, lr=0, candidates=64))
    assert (near.psnr > found.psnr).all()
    assert not torch.equal(near.ws[0], near.ws[1])


def test_penalty_on_rows_keeps_latents_in_w(generator, prediction):
    def disagreement(rows):
        ws = find_latents(generator, prediction, settings=SearchSettings(steps=40, prior=0, rows=rows)).ws
        return ws.std(dim=1).mean()

    assert disagreement(10.0) < 0.2 * disagreement(0.0)


def test_prior_keeps_latents_near_those_of_samples(generator, prediction):
    cloud = whitening(generator, Sampling())

    def length(prior):
        ws = find_latents(generator, 1 - prediction, settings=SearchSettings(steps=40, prior=prior)).ws
        return cloud.coordinates(ws).square().mean()

    assert length(1.0) < 0.5 * length(0.0)


def test_whitened_samples_have_unit_covariance(generator):
    cloud = whitening(generator, Sampling(), samples=512)
    w = Sampling().ws(generator, scoring_seeds(512))[:, -1]
    coordinates = cloud.coordinates(w)
    torch.testing.assert_close(cloud.point(coordinates), w, rtol=OPTIMISED, atol=OPTIMISED)
    covariance = torch.cov(coordinates.T)
    assert (covariance - torch.eye(8)).abs().max() < SAMPLED_COVARIANCE


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "`steps=0`"),
        ({"prior": -1.0}, "`prior=-1.0`"),
        ({"rows": float("nan")}, "`rows=nan`"),
        ({"candidates": -1}, "`candidates=-1`"),
        ({"precision": "fp16"}, "`precision=fp16`"),
    ],
)
def test_settings_refuse(values, message):
    with pytest.raises(UserError, match=message):
        SearchSettings(**values)


def test_pictures_of_another_shape_or_range_are_refused(generator):
    for images in (torch.zeros(1, 3, 8, 8), torch.full((1, 3, 16, 16), 1.5), torch.zeros(3, 16, 16)):
        with pytest.raises(ValueError, match="expected pictures"):
            find_latents(generator, images)
