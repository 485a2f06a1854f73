"""Bake offsets into a generator, lower it to static tensors, write it for other runtimes, verify it."""
