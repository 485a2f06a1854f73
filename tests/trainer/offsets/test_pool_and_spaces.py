"""Seeds, readout, spaces and pools."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from tolerances import STORED_CODE

from sgi.engine import intrinsics, offset_tensors
from sgi.engine.errors import UserError
from sgi.engine.generator import GeneratorConfig, random_generator
from sgi.trainer.device import find_device
from sgi.trainer.offsets.pool import Sampling, build_pool
from sgi.trainer.offsets.readout import clamped_readout, readout
from sgi.trainer.offsets.seed_splits import STREAM_LENGTH, STREAMS, describe, fitting_seeds, scoring_seeds
from sgi.trainer.offsets.spaces import SPACES

DEPTH, NORMAL = intrinsics.get("depth"), intrinsics.get("normal")


def test_splits_and_streams_of_seeds_are_disjoint():
    ranges = [scoring_seeds(STREAM_LENGTH, split) for split in ("holdout", "choosing")]
    ranges += [fitting_seeds(STREAM_LENGTH, stream) for stream in (0, 1, STREAMS - 1)]
    for one, other in itertools.combinations(ranges, 2):
        assert one.stop <= other.start or other.stop <= one.start
    assert ranges[-1].stop == 2**32
    assert describe(scoring_seeds(256)) == "0-255"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fitting_seeds(0, 0), "`images="),
        (lambda: fitting_seeds(STREAM_LENGTH + 1, 0), "`images="),
        (lambda: fitting_seeds(1, STREAMS), "`seed=2048`"),
        (lambda: scoring_seeds(1), "`holdout=1`"),
        (lambda: scoring_seeds(256, "test"), "`split=test`"),
        (lambda: Sampling(noise_mode="random"), "`noise_mode=random`"),
        (lambda: find_device("tpu"), "`device=tpu`"),
    ],
)
def test_errors_name_the_parameter(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_readout_averages_before_it_clamps():
    image = torch.tensor([3.0, -1.0, -1.0]).reshape(1, 3, 1, 1)
    assert readout(image, DEPTH).item() == pytest.approx(2 / 3)
    assert clamped_readout(image, DEPTH).item() == pytest.approx(2 / 3)
    assert readout(image, NORMAL).flatten().tolist() == [2, 0, 0]
    assert clamped_readout(image, NORMAL).flatten().tolist() == [1, 0, 0]


def test_spaces_are_those_of_the_offset_file():
    assert tuple(SPACES) == offset_tensors.SPACES


@pytest.mark.parametrize("space", SPACES)
def test_initial_tensors_leave_the_styles_unchanged(space, generator):
    ws = Sampling().ws(generator, range(3))
    styles = SPACES[space].styles(generator.synthesis, ws, SPACES[space].zeros(generator.config))
    for moved, plain in zip(styles, generator.synthesis.styles(ws), strict=True):
        assert torch.equal(moved, plain)


def test_a_sampling_has_no_more_truncated_rows_than_the_generator(generator):
    rows = generator.config.num_ws
    Sampling(psi=0.5, cutoff=rows).check(generator)
    with pytest.raises(UserError, match=rf"`cutoff={rows + 1}`: the generator has {rows} rows"):
        Sampling(psi=0.5, cutoff=rows + 1).check(generator)


def test_a_pool_contains_pictures_and_targets_of_its_seeds(generator, teacher):
    sampling = Sampling(psi=0.5, cutoff=2)
    counts: list[int] = []
    pool = build_pool(generator, teacher, ["depth", "normal"], range(40, 75), sampling, counts.append)
    assert counts == [24, 11]  # blocks of seeds end at multiples of 64
    assert len(pool) == 35
    z = torch.from_numpy(np.random.RandomState(74).randn(1, 8)).float()
    ws = generator.map(z, psi=0.5, cutoff=2)
    torch.testing.assert_close(pool.ws[-1:], ws)
    with torch.no_grad():
        u = (generator.synthesize(ws, "none") * 0.5 + 0.5).clamp(0, 1)
    torch.testing.assert_close(pool.images[-1:].float(), u, rtol=0, atol=STORED_CODE)
    torch.testing.assert_close(pool.codes["normal"][-1:].float(), 1 - u, rtol=0, atol=STORED_CODE)
    torch.testing.assert_close(pool.codes["depth"][-1:].float(), 1 - u.mean(1, keepdim=True), rtol=0, atol=STORED_CODE)


def test_a_pool_refuses_types_that_the_teacher_does_not_support(generator, teacher, monkeypatch):
    monkeypatch.setattr(type(teacher), "types", ("normal",))
    with pytest.raises(UserError, match="`types=depth`: teacher inverse supports only normal"):
        build_pool(generator, teacher, ["depth"], range(2), Sampling())


def test_class_index_is_required_for_conditional_generators(generator):
    config = GeneratorConfig(16, z_dim=4, w_dim=4, c_dim=3, mapping_layers=1, channel_base=64, channel_max=4)
    conditional = random_generator(config, seed=0)
    one, other = (Sampling(class_index=k).ws(conditional, range(2)) for k in (0, 2))
    assert not torch.allclose(one, other)
    for network, index in ((conditional, None), (conditional, 3), (generator, 0)):
        with pytest.raises(UserError, match="`class_index"):
            Sampling(class_index=index).check(network)


def test_every_map_type_has_a_readout():
    image = torch.zeros(1, 3, 2, 2)
    for name in intrinsics.MAP_TYPES:
        assert readout(image, intrinsics.get(name)).shape == (1, intrinsics.get(name).channels, 2, 2)
    assert math.isclose(readout(image, DEPTH).mean().item(), 0.5)
