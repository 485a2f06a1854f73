"""Ablations: how the map depends on where the offset lives, on its rows, on the pictures seen, and on its length."""
