import json
from pathlib import Path

import numpy as np
import pytest
import torch
from recorded_progress import RecordedProgress

from sgi.engine.errors import UserError
from sgi.trainer.scenes import dataset, render
from sgi.trainer.scenes.dataset import RoomDataset, load_or_render
from sgi.trainer.scenes.maps import TYPES


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "BLOCK", 4)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_reading_returns_the_rendered_maps(tmp_path: Path) -> None:
    rooms = load_or_render(tmp_path / "a", 6, 16, seed=3)
    assert len(rooms) == 6
    maps = render(dataset.block_rooms(3, 0), 16)
    for name in TYPES:
        codes = rooms.codes(name, [1, 2])
        assert codes.dtype == torch.float32
        assert torch.equal(codes, (maps.codes(name)[1:3] * 255.0).round() / 255.0)
    assert torch.equal(rooms.images(slice(1, 3)), rooms.codes("image", np.array([1, 2])))
    assert torch.equal(rooms.segmentation(torch.tensor([0])), maps.segmentation[:1])
    with pytest.raises(UserError, match="`name=flow`"):
        rooms.codes("flow", [0])


def test_a_continued_rendering_has_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_or_render(tmp_path / "whole", 10, 16, seed=0)
    calls = 0

    def fail_in_the_second_block(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return render(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(dataset, "render", fail_in_the_second_block)
        with pytest.raises(KeyboardInterrupt):
            load_or_render(tmp_path / "part", 10, 16, seed=0)
    assert json.loads((tmp_path / "part" / "header.json").read_text())["finished"] == 4
    with pytest.raises(UserError, match="not a finished set"):
        RoomDataset(tmp_path / "part")
    # an interrupted write after the last finished block
    torn = np.load(tmp_path / "part" / "image.npy", mmap_mode="r+")
    torn[4:7] = 99
    torn.flush()

    def count_calls(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        return render(*arguments)  # type: ignore[arg-type]

    calls = 0
    monkeypatch.setattr(dataset, "render", count_calls)
    load_or_render(tmp_path / "part", 10, 16, seed=0)
    assert calls == 2
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")
    load_or_render(tmp_path / "part", 10, 16, seed=0)
    assert calls == 2


def test_a_larger_set_begins_with_the_smaller_one(tmp_path: Path) -> None:
    small = load_or_render(tmp_path / "small", 6, 16, seed=0)
    large = load_or_render(tmp_path / "large", 9, 16, seed=0)
    other = load_or_render(tmp_path / "other", 6, 16, seed=1)
    assert torch.equal(small.images(slice(None)), large.images(slice(0, 6)))
    assert not torch.equal(small.images(slice(None)), other.images(slice(None)))


def test_folder_of_a_larger_set_serves_its_first_rooms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = load_or_render(tmp_path, 9, 16, seed=0)
    small = load_or_render(tmp_path, 6, 16, seed=0)
    assert len(small) == 6
    assert torch.equal(small.images(slice(None)), large.images(slice(0, 6)))
    assert len(RoomDataset(tmp_path)) == 9
    # Of a stopped rendering, the finished blocks are enough.
    header = json.loads((tmp_path / "header.json").read_text())
    (tmp_path / "header.json").write_text(json.dumps(header | {"finished": 4}))
    monkeypatch.setattr(dataset, "render", None)
    assert len(load_or_render(tmp_path, 4, 16, seed=0)) == 4
    with pytest.raises(UserError, match="not a finished set"):
        RoomDataset(tmp_path)
    monkeypatch.undo()
    assert len(load_or_render(tmp_path, 5, 16, seed=0)) == 5
    assert torch.equal(load_or_render(tmp_path, 9, 16, seed=0).images(slice(None)), large.images(slice(None)))


def test_rooms_of_worker_processes_have_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the processes have blocks of the usual size
    for workers in (0, 1):
        load_or_render(tmp_path / str(workers), dataset.BLOCK + 4, 8, seed=0, workers=workers)
    assert contents(tmp_path / "0") == contents(tmp_path / "1")


def test_blocks_differ() -> None:
    assert not torch.equal(dataset.block_rooms(0, 0).size, dataset.block_rooms(0, 1).size)


@pytest.mark.parametrize(
    ("count", "size", "seed", "word"), [(5, 16, 0, "count"), (4, 8, 0, "size"), (4, 16, 1, "seed")]
)
def test_folder_of_another_set_is_refused(tmp_path: Path, count: int, size: int, seed: int, word: str) -> None:
    load_or_render(tmp_path, 4, 16, seed=0)
    with pytest.raises(UserError, match=f"another {word}"):
        load_or_render(tmp_path, count, size, seed)


def test_missing_folder_and_invalid_counts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a finished set"):
        RoomDataset(tmp_path / "none")
    with pytest.raises(UserError, match="`count=0`: must be at least 1"):
        load_or_render(tmp_path / "a", 0, 16, seed=0)
    assert not (tmp_path / "a").exists()


def test_progress_counts_the_missing_rooms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    progress = RecordedProgress()
    for _ in range(2):
        load_or_render(tmp_path / "a", 5, 8, seed=0, progress=progress)
    assert progress.done == progress.totals == {"rooms": 5}
    assert capsys.readouterr().out == ""
