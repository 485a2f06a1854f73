"""Gradients through the activation and the style of a convolution."""
