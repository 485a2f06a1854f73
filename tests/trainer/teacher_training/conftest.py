"""The rooms and the network of tests/tiny_rooms.py."""

from tiny_rooms import net, rooms, shape

__all__ = ["net", "rooms", "shape"]
