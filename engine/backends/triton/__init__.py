"""The Triton backend: torch, CUDA graphs and the fused kernels of `sgi.kernels.gpu`."""

from sgi.engine.backends.triton.triton_backend import TritonBackend

__all__ = ["TritonBackend"]
