"""Manifests of many lines: the index of lines, and lines that are accepted by how they begin."""

from __future__ import annotations

import random
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from sgi.engine.run.accepted_lines import AcceptedLines
from sgi.engine.run.line_index import LineIndex
from sgi.engine.run.manifest import LINES, Manifest
from sgi.engine.run.record import RunRecord
from sgi.engine.seeds import parse_seeds

RECORD = RunRecord("a" * 64, ("image", "depth"), 0.7, None, "png", 6, "fake", "cpu")


def line(record, number):
    hashes = dict.fromkeys(record.types, f"{number:064x}")
    return LINES[record.item](number, record.file_names(number), dict.fromkeys(record.types, 10), hashes)


def write(path, record, numbers):
    path.write_bytes(b"".join(msgspec.json.encode(line(record, number)) + b"\n" for number in numbers))


def test_the_index_is_a_dict(monkeypatch):
    monkeypatch.setattr("sgi.engine.run.line_index._MOST_RECENT", 8)
    choose = random.Random(0)
    index = LineIndex()
    wanted: dict[int, tuple[int, int]] = {}
    for step in range(600):
        number = choose.choice((step, choose.randrange(400), 2**32 - 1 - choose.randrange(3)))
        action = choose.randrange(20)
        if action == 0:
            index.remove(number)
            wanted.pop(number, None)
        elif action == 1:
            many = np.array([number, (number + 1) % 2**32, number])
            index.add_all(many, np.arange(3) + 100 * step, np.arange(3) + 1)
            wanted |= {int(many[place]): (100 * step + place, place + 1) for place in range(3)}
        else:
            index.add(number, 100 * step, action)
            wanted[number] = 100 * step, action
        probe = choose.randrange(600)
        assert index.find(probe) == wanted.get(probe)
        assert index.find(number) == wanted.get(number)
    numbers, starts, lengths = index.ordered()
    assert numbers.tolist() == sorted(wanted)
    assert list(zip(starts.tolist(), lengths.tolist(), strict=True)) == [wanted[number] for number in sorted(wanted)]


@pytest.mark.parametrize(
    "changes",
    [{}, {"digits": 10}, {"seeds_per_folder": 0}, {"seeds_per_folder": 7}, {"latents_sha256": "b" * 64, "digits": 4}],
)
def test_a_line_begins_as_it_is_accepted(tmp_path, monkeypatch, changes):
    """No line of a whole manifest is parsed to open it, in whatever order."""
    record = replace(RECORD, **changes)
    numbers = [*range(995, 1030), 3, 2, 99_999, 123_456, *range(9)]
    accept = AcceptedLines(record, parse_seeds("0-8,995-200000"))
    for number in numbers:
        assert msgspec.json.encode(line(record, number)).startswith(accept.head(number))
        assert not msgspec.json.encode(line(record, number + 1)).startswith(accept.head(number))
    write(tmp_path / "manifest.jsonl", record, range(995, 5000))
    parsed = []
    number_of = Manifest._number_of

    def counted(self, text):
        parsed.append(text)
        return number_of(self, text)

    monkeypatch.setattr(Manifest, "_number_of", counted)
    if record.item == "seed":
        with Manifest(tmp_path / "manifest.jsonl", accept=accept) as manifest:
            assert list(manifest.numbers) == list(range(995, 5000))
        assert len(parsed) == 1
    monkeypatch.undo()
    write(tmp_path / "manifest.jsonl", record, numbers)
    with Manifest(tmp_path / "manifest.jsonl", accept=accept, item=record.item) as manifest:
        assert list(manifest.numbers) == sorted(set(numbers))
        assert (manifest.wrong, manifest[123_456]) == (0, line(record, 123_456))


def test_seeds_of_no_run_are_wrong(tmp_path):
    write(tmp_path / "manifest.jsonl", RECORD, range(20))
    with Manifest(tmp_path / "manifest.jsonl", accept=AcceptedLines(RECORD, parse_seeds("3,5-9,15"))) as manifest:
        assert list(manifest.numbers) == [3, 5, 6, 7, 8, 9, 15]
        assert manifest.wrong == 13


@pytest.mark.parametrize("damage", [(b'"bytes":{"image":10', b'"bytes":{"image":-1'), (b'"sha256":{', b'"sha256":[')])
def test_a_damaged_end_is_found_when_the_line_is_asked_for(tmp_path, damage):
    path = tmp_path / "manifest.jsonl"
    write(path, RECORD, range(20))
    lines = path.read_bytes().splitlines(keepends=True)
    lines[7] = lines[7].replace(*damage)
    path.write_bytes(b"".join(lines))
    with Manifest(path, accept=AcceptedLines(RECORD, parse_seeds("0-19"))) as manifest:
        assert manifest.find(7) is None
        assert manifest.find(8) == line(RECORD, 8)
        assert (manifest.wrong, 7 in manifest, len(manifest.numbers)) == (1, False, 19)
        manifest.append(line(RECORD, 7))
        manifest.sort()
    assert path.read_bytes() == b"".join(msgspec.json.encode(line(RECORD, number)) + b"\n" for number in range(20))


def test_blocks_end_anywhere(tmp_path, monkeypatch):
    path = tmp_path / "manifest.jsonl"
    write(path, RECORD, range(12))
    data = path.read_bytes()
    accept = AcceptedLines(RECORD, parse_seeds("0-11"))
    for size in (1, 7, len(data) // 12, len(data) - 1, len(data)):
        monkeypatch.setattr("sgi.engine.run.line_file._BLOCK", size)
        path.write_bytes(data + b'{"seed":')
        with Manifest(path, accept=accept) as manifest:
            assert (len(manifest.numbers), manifest.wrong, manifest[11]) == (12, 0, line(RECORD, 11))
        assert path.read_bytes() == data
