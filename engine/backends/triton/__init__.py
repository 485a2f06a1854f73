"""The Triton backend: torch, a CUDA graph and our fused kernels."""

from sgi.engine.backends.triton.backend import TritonBackend

__all__ = ["TritonBackend"]
