"""StyleGAN2 in torch, the generator file, and readers of the checkpoints of other projects."""

from sgi.engine.generator.config import GeneratorConfig
from sgi.engine.generator.file import generator_sha256, load_generator, random_generator, save_generator
from sgi.engine.generator.model import Generator

__all__ = [
    "Generator",
    "GeneratorConfig",
    "generator_sha256",
    "load_generator",
    "random_generator",
    "save_generator",
]
