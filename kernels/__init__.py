"""Kernels of StyleGAN2's synthesis: `gpu` (Triton)."""
