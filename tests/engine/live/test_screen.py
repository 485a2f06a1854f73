"""Screens: JSON, and what is refused."""

from __future__ import annotations

import pytest

from sgi.engine.errors import UserError
from sgi.engine.live import Mix, Row, Screen, Towards


def test_missing_fields_have_defaults():
    assert Screen.from_json("{}") == Screen(seed=0, psi=None, alpha={}, types=None)


def test_every_field_is_read():
    found = Screen.from_json(
        '{"seed": 7, "psi": 0.5, "class": "3:0.7,5:0.3", "mix": {"seed": 9, "rows": "6-9"}, '
        '"towards": {"seed": 12, "share": 0.25}, "latents": {"id": "ab", "row": 2}, "alpha": {"depth": 0.5}, '
        '"types": ["image"]}'
    )
    assert found == Screen(
        7, 0.5, "3:0.7,5:0.3", Mix(9, "6-9"), Towards(12, 0.25), Row("ab", 2), {"depth": 0.5}, ("image",)
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "`screen`"),
        ("[]", "`screen`"),
        ('{"seed": 1.5}', r"\$\.seed"),
        ('{"seed": "7"}', r"\$\.seed"),
        ('{"seed": -1}', "`seed=-1`: a seed is an integer from 0 to 4294967295"),
        ('{"seed": 4294967296}', "`seed=4294967296`"),
        ('{"psi": 101}', "`psi=101.0`"),
        ('{"psi": NaN}', "`screen`"),
        ('{"alpha": {"depth": 1e9}}', "`alpha=1000000000.0`"),
        ('{"mix": {"seed": 1}}', "rows"),
        ('{"mix": {"seed": -1, "rows": "1"}}', "`mix_seed=-1`"),
        ('{"towards": {"seed": -1, "share": 0}}', "`towards_seed=-1`"),
        ('{"towards": {"seed": 1, "share": 1.5}}', "`towards_share=1.5`"),
        ('{"sed": 1}', "sed"),
        ('{"seed": "\xff', "`screen`"),
    ],
)
def test_wrong_screens_name_the_field(text, words):
    with pytest.raises(UserError, match=words):
        Screen.from_json(text)


def test_a_screen_in_words():
    assert Screen(seed=7, psi=1.0).words(1.0) == "seed 7"
    screen = Screen(7, 0.5, "0:0.7,2:0.3", Mix(9, "4-7"), Towards(12, 0.25), alpha={"depth": 0.5})
    words = "seed 7, psi 0.5, class 0:0.7,2:0.3, 0.25 of the way to seed 12, rows 4-7 of seed 9, alpha 0.5 of depth"
    assert screen.words(1.0) == words
    assert Screen(latents=Row("a", 3)).words(1.0) == "latent 3"
