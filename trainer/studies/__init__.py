"""Studies of offsets: evaluation, ablations, relighting, truth."""
