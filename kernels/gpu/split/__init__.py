"""Convolutions of few pixels, whose inner axis is divided between blocks."""
