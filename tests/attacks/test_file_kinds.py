"""Attacks on files of every kind: each is read or refused with one line, within 5 s and 500 MB.

A sample of the generated attacks; `fuzz.py` draws from all of them.
"""

from __future__ import annotations

import random

import pytest
from attacks.file_kinds import all_kinds
from attacks.generated import SPECIAL, attacks, special_attack
from attacks.reader import ReaderProcess

PER_KIND = 2
SLOW = ("filled with", "zeros", "wide", "20,000", "bomb", "20,000 nodes", "pickle")
"""Words in the names of attacks that take more than a tenth of a second; the sample has one of them for each kind."""


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    return all_kinds(tmp_path_factory.mktemp("kinds") / "good")


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    with ReaderProcess(tmp_path_factory.mktemp("reader")) as process:
        yield process


def test_attacked_files_are_read_or_refused_with_one_line(kinds, reader):
    dice = random.Random(0)
    defects = []
    for name, kind in kinds.items():
        every = attacks(kind)
        slow = [what for what in every if any(word in what for word in SLOW)]
        quick = sorted(every.keys() - slow - SPECIAL.keys())
        chosen = [*dice.sample(quick, PER_KIND), dice.choice(slow), *dice.sample(sorted(SPECIAL), 1)]
        for what in chosen:
            answer = reader.attack(name, kind, every[what])
            if answer.defect:
                defects.append(f"{name}, {what}: {answer.defect}")
    assert not defects, "\n".join(defects)


@pytest.mark.parametrize("special", ["a pipe", "a link to zeros", "a folder"])
def test_special_files_are_refused_by_every_reader_without_waiting(kinds, reader, special):
    # A run makes files of its own folder again.
    for name, kind in kinds.items():
        if not kind.folder:
            answer = reader.attack(name, kind, special_attack(kind, SPECIAL[special]))
            assert (answer.outcome, answer.defect) == ("refused", None), name
