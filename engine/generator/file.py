"""The native generator file: safetensors, with the config and its history in the header."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sgi.engine.errors import UserError
from sgi.engine.files import atomic_write
from sgi.engine.generator.config import GeneratorConfig
from sgi.engine.generator.layers import ModulatedConv
from sgi.engine.generator.model import Generator

FORMAT = 1
HEADER_KEY = "sgi_generator"


def generator_sha256(generator: Generator) -> str:
    """Hash of a network: its config and float32 tensors, the same whatever file held them."""
    digest = hashlib.sha256(json.dumps(generator.config.to_dict(), sort_keys=True).encode())
    for name, tensor in sorted(generator.state_dict().items()):
        digest.update(f"{name}:{list(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def save_generator(
    path: str | Path,
    generator: Generator,
    notes: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> str:
    """Write a generator and `notes` (source, licence, training ...); returns its sha256 as stored.

    dtype float16 halves the file; the network is then the rounded one, and so is its hash.
    """
    state = {k: v.detach().to("cpu", dtype).contiguous() for k, v in generator.state_dict().items()}
    stored = materialise(generator.config, {k: v.float() for k, v in state.items()})
    sha256 = generator_sha256(stored)
    header = {
        "format": FORMAT,
        "config": generator.config.to_dict(),
        "sha256": sha256,
        "notes": notes or {},
    }
    with atomic_write(path) as temporary:
        # save_file makes a file that only its owner can read; `save` would need the network's size in memory twice.
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(state, temporary, metadata={HEADER_KEY: json.dumps(header, sort_keys=True)})
        temporary.chmod(mode)
    return sha256


def read_header(path: str | Path) -> dict[str, Any]:
    """Header of a native generator file; raises UserError if the file is not one."""
    try:
        with safe_open(str(path), framework="pt") as file:
            text = (file.metadata() or {}).get(HEADER_KEY)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not a readable safetensors file ({error})") from None
    if text is None:
        raise UserError(f"{path}: a safetensors file without a generator header; convert with `sgi-engine import`")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or not isinstance(header.get("config"), dict):
        raise UserError(f"{path}: its generator header is damaged; fetch or import the file again")
    if header.get("format") != FORMAT:
        raise UserError(f"{path}: generator format {header.get('format')}, expected {FORMAT}: upgrade sgi-engine")
    return header


def load_generator(path: str | Path, device: str | torch.device = "cpu") -> Generator:
    """The generator of a native file, float32, in eval mode and frozen.

    Raises UserError when the file is no generator, is cut short, or its tensors do not fit its config.
    """
    header = read_header(path)
    with safe_open(str(path), framework="pt") as file:
        state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    try:
        generator = materialise(GeneratorConfig.from_dict(header["config"]), state)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (RuntimeError, KeyError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{path}: tensors do not fit the config ({reason})") from None
    return generator.to(device)


def materialise(config: GeneratorConfig, state: dict[str, torch.Tensor]) -> Generator:
    """A frozen generator in eval mode that takes over the float32 tensors of `state` without a copy."""
    with torch.device("meta"):
        generator = Generator(config)
    generator.load_state_dict(state, assign=True)
    for parameter in generator.parameters():
        parameter.requires_grad_(False)
    return generator.eval()


def random_generator(config: GeneratorConfig, seed: int) -> Generator:
    """A generator of random weights, noise strengths and biases, so that every term matters in a test."""
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
