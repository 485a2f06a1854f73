"""Files that TensorFlow 1.15 wrote, against the pictures of NVIDIA's reader (tests/checkpoint_files/data/README.md)."""

from __future__ import annotations

import functools
import io
import pickle
import pickletools
from pathlib import Path

import checkpoint_files as files
import numpy as np
import pytest
import torch
from tolerances import BACKEND_PARITY

from sgi.engine.generator import generator_sha256
from sgi.engine.generator.checkpoints import load

DATA = Path(files.__file__).parent / "data"
NAMES = ("stylegan2", "stylegan2-ada")


class Network:
    """Keeps the state of a tflib network, and pickles to it again."""

    def __setstate__(self, state):
        self.state = state

    def __getstate__(self):
        return self.state


class Unpickler(pickle.Unpickler):
    """Reads the genuine files, whose only class outside of NumPy is the network."""

    def find_class(self, module, name):
        if (module, name) == ("dnnlib.tflib.network", "Network"):
            return Network
        assert module.startswith("numpy")
        return super().find_class(module, name)


@functools.cache
def genuine(name):
    """The bytes of a file, and its reference pictures."""
    return (DATA / f"real-tf1-{name}.pkl").read_bytes(), dict(np.load(DATA / f"real-tf1-{name}.npz"))


@pytest.mark.parametrize("psi", [1.0, 0.5])
@pytest.mark.parametrize("name", NAMES)
def test_images_are_those_of_the_reference(written, name, psi):
    data, reference = genuine(name)
    z = np.concatenate([np.random.RandomState(seed).randn(1, 32) for seed in reference["seeds"]])
    found = load(written(data))(torch.from_numpy(z).float(), psi=psi).numpy()
    expected = reference[f"image_psi_{psi}"]
    assert np.sqrt(((found - expected) ** 2).mean() / (expected**2).mean()) < BACKEND_PARITY


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("name", NAMES)
def test_every_protocol_of_pickle(written, name, protocol):
    """Protocol 2 stores bytes as text, protocol 5 stores arrays as buffers."""
    data, _ = genuine(name)
    networks = Unpickler(io.BytesIO(data)).load()
    with files.modules(dnnlib__tflib__network={"Network": Network}):
        again = pickle.dumps(networks, protocol=protocol)
    assert generator_sha256(load(written(again))) == generator_sha256(load(written(data)))


@pytest.mark.parametrize("name", NAMES)
def test_our_writer_has_the_structure_of_the_genuine_file(name):
    """Keys of the states, variables in order, dtypes, and classes of all values are those of TensorFlow."""
    data, _ = genuine(name)
    assert structure(files.tensorflow(load(DATA / f"real-tf1-{name}.pkl"), flavour=name)) == structure(data)


def structure(data):
    """Everything in (G, D, Gs) but the numbers."""

    def of(value):
        if isinstance(value, Network):
            return {key: of(part) for key, part in value.state.items()}
        if isinstance(value, dict):
            return {key: of(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value).__name__, [of(part) for part in value]
        return f"{type(value).__name__} {getattr(value, 'dtype', '')}{getattr(value, 'shape', '')}"

    names = {str(arg).replace("_core", "core") for op, arg, _ in pickletools.genops(data) if op.name == "GLOBAL"}
    return {"names": names, "Gs": of(Unpickler(io.BytesIO(data)).load()[2])}
