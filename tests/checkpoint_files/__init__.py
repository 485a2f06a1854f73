"""Writes checkpoints in the formats of other projects, with classes of our own that pickle to the same opcodes.

Each writer takes a generator and returns the bytes that NVIDIA's persistence module, tflib, or torch.save in the
trainers of rosinality and of the encoders writes for the same network.
"""

from checkpoint_files.nvidia import Persistent, module_state, nvidia, nvidia_object, nvidia_states, saved_nvidia
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
    "nvidia_object",
    "nvidia_states",
    "rosinality",
    "saved",
    "saved_nvidia",
    "tensorflow",
]
