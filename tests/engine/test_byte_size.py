"""Numbers of bytes for people."""

from sgi.engine.byte_size import byte_size


def test_sizes_for_people():
    assert [byte_size(count) for count in (0, 999, 1000, 12_400_000, 999_960_000)] == [
        "0 B", "999 B", "1.0 kB", "12.4 MB", "1.0 GB",
    ]  # fmt: skip
