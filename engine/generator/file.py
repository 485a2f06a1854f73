"""The generator file: safetensors, with the config, the hash and notes in the header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import torch

from sgi.engine.errors import UserError
from sgi.engine.generator.config import GeneratorConfig
from sgi.engine.generator.layers import ModulatedConv
from sgi.engine.generator.model import Generator
from sgi.engine.tensor_file import FileKind, tensors_sha256


class GeneratorHeader(msgspec.Struct):
    """The header of a generator file.

    config: the fields of `GeneratorConfig`. sha256: `generator_sha256` of the stored network. notes: source, licence,
    training and other facts.
    """

    config: dict[str, Any]
    sha256: str = ""
    notes: dict[str, Any] = {}


GENERATOR_FILE = FileKind("sgi_generator", 1, GeneratorHeader, "a generator", "convert it with `sgi-engine import`")


def generator_sha256(generator: Generator) -> str:
    """SHA-256 of a network: its config as JSON with sorted keys, then its tensors as float32 (`tensors_sha256`)."""
    state = {name: tensor.detach().float().cpu().numpy() for name, tensor in generator.state_dict().items()}
    return tensors_sha256(state, prefix=json.dumps(generator.config.to_dict(), sort_keys=True))


def save_generator(
    path: str | Path,
    generator: Generator,
    notes: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> str:
    """Write a generator and `notes` (source, licence, training ...); returns the sha256 of the stored network.

    dtype: of the stored tensors; float16 halves the file. The hash is that of the rounded network.
    """
    state = {k: v.detach().to("cpu", dtype).contiguous() for k, v in generator.state_dict().items()}
    stored = materialise(generator.config, {k: v.float() for k, v in state.items()})
    header = GeneratorHeader(generator.config.to_dict(), generator_sha256(stored), notes or {})
    GENERATOR_FILE.write(path, state, header)
    return header.sha256


def read_header(path: str | Path) -> GeneratorHeader:
    """Header of a generator file; raises UserError if the file is not one."""
    return GENERATOR_FILE.read_header(path)


def load_generator(path: str | Path, device: str | torch.device = "cpu") -> Generator:
    """The network of a generator file, float32, in eval mode, without gradients.

    Raises UserError for a file that is not a generator file or is truncated, and for tensors that do not match its
    config.
    """
    header, state = GENERATOR_FILE.read(path, "pt")
    const = state.get("synthesis.b4.const")
    if const is not None and const.ndim == 3 and const.shape[1] != const.shape[2]:
        raise UserError(
            f"{path}: a network of non-square pictures (its constant has {const.shape[2]} x {const.shape[1]}); use a "
            "generator of square pictures"
        )
    try:
        config = GeneratorConfig.from_dict(header.config)
        generator = materialise(config, {name: tensor.float() for name, tensor in state.items()})
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{path}: tensors do not match the config ({reason})") from None
    return generator.to(device)


def materialise(config: GeneratorConfig, state: dict[str, torch.Tensor]) -> Generator:
    """A generator in eval mode, without gradients, that uses the float32 tensors of `state` without copying them."""
    with torch.device("meta"):
        generator = Generator(config)
    generator.load_state_dict(state, assign=True)
    for parameter in generator.parameters():
        parameter.requires_grad_(False)
    return generator.eval()


def random_generator(config: GeneratorConfig, seed: int) -> Generator:
    """A generator with random weights, noise strengths and biases, so that tests exercise every term."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Generator(config)
        with torch.no_grad():
            generator.mapping.w_avg.normal_()
            for dense in generator.mapping.layers:
                torch.nn.init.normal_(dense.bias, std=0.2 / config.mapping_lr_multiplier)
            if config.c_dim:
                torch.nn.init.normal_(generator.mapping.embed.bias, std=0.2)
            for layer in generator.synthesis.styled_layers():
                layer.module.bias.normal_(std=0.2)
                if isinstance(layer.module, ModulatedConv):
                    layer.module.noise_strength.normal_(std=0.2)
    for parameter in generator.parameters():
        parameter.requires_grad_(False)
    return generator.eval()
