"""Every malicious file by name, with the text that its error must contain."""

from __future__ import annotations

from attacks.containers import safetensors_files, torch_files
from attacks.networks import nested_storages, shared_parts, tensorflow_arrays
from attacks.opcodes import Attack
from attacks.pickles import bombs, code_runners

from sgi.engine.generator import Generator


def every(generator: Generator, canary: str) -> dict[str, Attack]:
    """All malicious files; canary: path of a file that their code would create."""
    return {
        **code_runners(canary),
        **bombs(),
        **torch_files(),
        **nested_storages(generator, canary),
        **shared_parts(),
        **tensorflow_arrays(generator),
        **safetensors_files(),
    }
