"""The modulated up-convolution."""
