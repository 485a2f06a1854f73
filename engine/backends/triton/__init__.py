"""The Triton backend: torch, CUDA graphs and the fused kernels of `sgi.kernels.gpu`."""

from sgi.engine.backends.triton.backend import TritonBackend

__all__ = ["TritonBackend"]
