"""The modulated 3x3 convolution."""
