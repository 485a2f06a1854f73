"""Fit offsets, score them beside baselines, and combine them.

`train.train_offsets`, `rescore.score_offsets` and `combine.combine_offsets` read and write files; `job` fits and scores
one offset on pools in memory.
"""
