"""Settings of fits and searches out of range are refused with the same messages."""

from __future__ import annotations

import math
import re

import pytest

from sgi.engine.errors import UserError
from sgi.trainer.offsets.fit import FitSettings
from sgi.trainer.studies.relighting.directions import DirectionSettings
from sgi.trainer.studies.truth.latent_search import SearchSettings


@pytest.mark.parametrize("settings", [FitSettings, DirectionSettings, SearchSettings])
def test_steps_and_precision_are_checked(settings):
    with pytest.raises(UserError, match="^`steps=0`: must be at least 1$"):
        settings(steps=0)
    with pytest.raises(UserError, match="^`precision=fp16`: choose from fp32, bf16$"):
        settings(precision="fp16")


@pytest.mark.parametrize(("settings", "name"), [(DirectionSettings, "keep"), (SearchSettings, "rows")])
@pytest.mark.parametrize("value", [-0.1, math.inf, math.nan])
def test_weights_are_numbers_of_at_least_0(settings, name, value):
    with pytest.raises(UserError, match=f"^`{name}={re.escape(str(value))}`: must be a number of at least 0$"):
        settings(**{name: value})
    settings(**{name: 0.0})
