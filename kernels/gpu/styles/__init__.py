"""Normalised styles and demodulation of all layers."""
