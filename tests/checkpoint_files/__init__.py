"""Writes checkpoints in the formats of other projects, with classes of our own that pickle to the same opcodes.

Each writer takes a generator and returns the bytes that NVIDIA's persistence module, tflib, or torch.save in another
project writes for the same network. Its module says where each detail comes from: the project's code that writes the
file, never the reader that is tested.
"""

from checkpoint_files.basicsr import basicsr, basicsr_state
from checkpoint_files.nvidia import (
    Persistent,
    module_state,
    nvidia,
    nvidia_object,
    nvidia_state_dict,
    nvidia_states,
    saved_nvidia,
)
from checkpoint_files.pickling import FIR, PRIVATE_PATH, modules, saved
from checkpoint_files.rosinality import encoder, rosinality, rosinality_state, rosinality_training
from checkpoint_files.tensorflow import tensorflow

__all__ = [
    "FIR",
    "PRIVATE_PATH",
    "Persistent",
    "basicsr",
    "basicsr_state",
    "encoder",
    "module_state",
    "modules",
    "nvidia",
    "nvidia_object",
    "nvidia_state_dict",
    "nvidia_states",
    "rosinality",
    "rosinality_state",
    "rosinality_training",
    "saved",
    "saved_nvidia",
    "tensorflow",
]
