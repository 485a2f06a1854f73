"""The choice between torch and the kernels, and fits, scores and searches by either."""

from __future__ import annotations

import pytest
import torch
from tolerances import OPTIMISED, STORED_CODE

from sgi.engine import bundle, intrinsics
from sgi.engine.backends.triton import kernel_synthesis
from sgi.engine.backends.triton.kernel_synthesis import KernelSynthesis, with_kernels
from sgi.engine.errors import UserError
from sgi.trainer.offsets import preconditioner
from sgi.trainer.offsets.fit import FitSettings, fit
from sgi.trainer.offsets.held_out_score import OFFSET, evaluate
from sgi.trainer.offsets.open_generator import backend_of, choose_backend, open_generator, with_backend_of
from sgi.trainer.offsets.pool import Sampling, build_pool
from sgi.trainer.offsets.seed_splits import fitting_seeds
from sgi.trainer.offsets.spaces import SPACES
from sgi.trainer.studies.relighting.directions import DirectionSettings, find_directions
from sgi.trainer.studies.truth.latent_search import SearchSettings, find_latents

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def references(monkeypatch):
    """The kernels' torch references; tests/engine/backends runs the kernels themselves."""
    monkeypatch.setenv("TRITON_INTERPRET", "0")


@pytest.fixture
def gpu(monkeypatch):
    """A GPU of compute capability 9.0, and Triton installed, as far as the choice asks."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (9, 0))
    monkeypatch.setattr(kernel_synthesis, "find_spec", lambda name: name)


def test_auto_takes_the_kernels_on_a_gpu_only(gpu):
    assert choose_backend("auto", CPU) == "torch"
    assert choose_backend("auto", CUDA) == "triton"
    assert choose_backend("torch", CUDA) == "torch"
    assert choose_backend("triton", CUDA) == "triton"


def test_auto_falls_back_to_torch_without_triton_or_on_an_old_gpu(gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: (7, 5))
    assert choose_backend("auto", CUDA) == "torch"
    with pytest.raises(UserError, match=r"`backend=triton`: the kernels need a GPU of compute capability 8\.0"):
        choose_backend("triton", CUDA)
    monkeypatch.setattr(kernel_synthesis, "find_spec", lambda name: None)
    assert choose_backend("auto", CUDA) == "torch"
    with pytest.raises(UserError, match="`backend=triton`: Triton is not installed: pip install"):
        choose_backend("triton", CUDA)


def test_wrong_choices_are_refused(gpu):
    with pytest.raises(UserError, match="`backend=jax`: choose from auto, torch, triton"):
        choose_backend("jax", CPU)
    with pytest.raises(UserError, match="`backend=triton`: the kernels need `device=cuda`"):
        choose_backend("triton", CPU)


def test_a_generator_is_opened_with_the_chosen_backend(gpu, monkeypatch):
    assert backend_of(open_generator(None, CPU)) == "torch"
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    ours = open_generator(bundle.GENERATOR, CPU, "triton")
    assert isinstance(ours.synthesis, KernelSynthesis)
    assert backend_of(ours) == "triton"


def test_another_generator_takes_the_backend_of_the_first(generator):
    assert backend_of(with_backend_of(generator, with_kernels(generator))) == "triton"
    assert with_backend_of(generator, generator) is generator


@pytest.mark.parametrize("space", SPACES)
def test_fit_and_score_by_kernels_are_those_of_torch(generator, teacher, space):
    kind, settings = intrinsics.get("depth"), FitSettings(space, steps=30, batch=4)
    found = {}
    for network in (generator, with_kernels(generator)):
        pool = build_pool(network, teacher, ["depth"], fitting_seeds(8, 0), Sampling(0.7, 4, "const"))
        tensors = fit(network, pool, kind, settings)
        fvu = evaluate(network, kind, space, tensors, pool, pool)[OFFSET]["fvu"]
        found[backend_of(network)] = pool, tensors, fvu
    (pool, tensors, fvu), (our_pool, ours, our_fvu) = found["torch"], found["triton"]
    assert (our_pool.images - pool.images).abs().max() <= STORED_CODE
    assert our_fvu == pytest.approx(fvu, rel=OPTIMISED)
    for key, tensor in tensors.items():
        assert (ours[key] - tensor).norm() <= OPTIMISED * tensor.norm(), key


def test_preconditioned_fit_by_kernels_is_that_of_torch(generator, known_pools, monkeypatch):
    monkeypatch.setattr(preconditioner, "SCHEDULE", (10,))
    monkeypatch.setattr(preconditioner, "PROBES", 20)
    kind, settings, pool = intrinsics.get("depth"), FitSettings(steps=20, batch=4), known_pools.fitting
    first, second = (fit(g, pool, kind, settings)["offset"] for g in (generator, with_kernels(generator)))
    assert (second - first).norm() <= OPTIMISED * first.norm()


def test_inversion_by_kernels_is_that_of_torch(generator):
    images = (generator.synthesize(Sampling().ws(generator, [1, 2]), "none") * 0.5 + 0.5).clamp(0, 1)
    settings = SearchSettings(steps=20, candidates=16)
    first, second = (find_latents(g, images, None, settings) for g in (generator, with_kernels(generator)))
    assert (second.psnr - first.psnr).abs().max() < 0.05


def test_search_for_directions_by_kernels_is_that_of_torch(generator, teacher):
    settings = DirectionSettings(count=2, steps=5, batch=2)
    first, second = (find_directions(g, teacher, None, settings) for g in (generator, with_kernels(generator)))
    assert (second - first).norm() <= OPTIMISED * first.norm()
