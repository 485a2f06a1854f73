"""Offsets: fit them, score them beside baselines, add them up.

`train.train_offsets`, `rescore.score_offsets` and `combine.combine_offsets` work from files to files; `job` fits and
scores one offset on pools in memory.
"""
