"""Malicious files raise one clear line, and nothing in them is executed, with limited memory and time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import checkpoint_files as files
import pytest
from attacks import hostile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save as safetensors_bytes

from sgi.engine.errors import UserError
from sgi.engine.generator import Generator, GeneratorConfig, random_generator, save_generator
from sgi.engine.generator.checkpoints import load

SMALL = GeneratorConfig(16, z_dim=8, w_dim=8, mapping_layers=2, channel_base=128, channel_max=8)
FOLDER = Path(__file__).parent
KIBIBYTE = 1024

MESSAGES = {name: message for name, (_, message) in hostile.every(random_generator(SMALL, seed=0), "canary").items()}
NAMES = list(MESSAGES)


def good_files(generator: Generator) -> dict[str, bytes]:
    """One file of every format."""
    return {
        "nvidia": files.nvidia(generator),
        "nvidia, protocol 4": files.nvidia(generator, protocol=4),
        "tensorflow": files.tensorflow(generator),
        "rosinality": files.rosinality(generator),
        "rosinality, old torch": files.rosinality(generator, zipped=False),
        "flat": safetensors_bytes(dict(generator.state_dict())),
    }


@pytest.fixture(scope="module")
def generator():
    return random_generator(SMALL, seed=0)


@pytest.fixture(scope="module")
def canary(tmp_path_factory):
    return tmp_path_factory.mktemp("canary") / "alive"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, generator, canary):
    """The result of every attack, in a separate process."""
    folder = tmp_path_factory.mktemp("attacks")
    for i, data in enumerate(good_files(generator).values()):
        (folder / f"good{i}").write_bytes(data)
    save_generator(folder / "good.safetensors", generator)
    for i, (data, _) in enumerate(hostile.every(generator, str(canary)).values()):
        (folder / f"attack{i:04d}").write_bytes(data)
    done = subprocess.run([sys.executable, FOLDER / "victim.py", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(NAMES)
    return dict(zip(NAMES, lines, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_malicious_file_raises_one_line_and_executes_nothing(name, outcomes, canary):
    outcome = outcomes[name]
    message = MESSAGES[name]
    assert re.search(f"^UserError: .*/attack\\d+: .*({message})", outcome["load"]), outcome["load"]
    assert outcome["load"].isprintable()
    assert len(outcome["load"]) < 500
    # `inspect` reports the same line, or lists the reason for a recognised network.
    assert outcome["report"] in (outcome["load"], "accepted")
    assert outcome["events"] == []
    assert not canary.exists()


@pytest.mark.parametrize("form", [*good_files(random_generator(SMALL, seed=0)), "generator file"])
def test_a_file_truncated_at_every_kibibyte_is_refused(tmp_path, generator, form):
    path = tmp_path / "cut"
    if form == "generator file":
        save_generator(path, generator)
        data = path.read_bytes()
    else:
        data = good_files(generator)[form]
        path.write_bytes(data)
    load(path)
    for length in [*range(0, len(data), KIBIBYTE), len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises(UserError, match="/cut: "):
            load(path)


GOOD = list(good_files(random_generator(SMALL, seed=0)).values())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(GOOD),
    st.lists(st.tuples(st.floats(0, 1, allow_subnormal=False), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_randomly_changed_bytes_give_a_network_or_one_line(tmp_path, data, changes):
    changed = bytearray(data)
    for place, value in changes:
        changed[int(place * (len(changed) - 1))] = value
    path = tmp_path / "flipped"
    path.write_bytes(changed)
    try:
        result = type(load(path)).__name__
    except UserError as error:
        result = str(error)
    assert result == "Generator" or (result.startswith(f"{path}: ") and result.isprintable())
