"""Measures of predicted maps: errors, figures of each type, and confidence intervals."""
