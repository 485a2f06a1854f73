"""Kernels of StyleGAN2's synthesis network: `gpu` contains the Triton kernels."""
