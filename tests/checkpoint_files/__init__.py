"""Writes checkpoints as the code bases of the field write them, with classes of our own that pickle to their opcodes.

Each writer takes a generator of ours and gives bytes: what NVIDIA's persistence module, tflib, or torch.save in
rosinality's and the encoders' trainers would have left on disk for the same network.
"""

from checkpoint_files.nvidia import Persistent, module_state, nvidia
from checkpoint_files.pickling import FIR, PRIVATE_PATH, modules, saved
from checkpoint_files.rosinality import encoder, rosinality
from checkpoint_files.tensorflow import tensorflow

__all__ = [
    "FIR",
    "PRIVATE_PATH",
    "Persistent",
    "encoder",
    "module_state",
    "modules",
    "nvidia",
    "rosinality",
    "saved",
    "tensorflow",
]
