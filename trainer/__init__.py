"""Fit offsets, and train all that the bundle needs: rooms, generator, teacher."""
