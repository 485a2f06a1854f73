"""Messages are one printable line of limited length."""

from __future__ import annotations

from sgi.engine.errors import MAX_LENGTH, UserError


def test_a_message_is_one_printable_line():
    assert str(UserError("a.pkl: no such file")) == "a.pkl: no such file"
    assert str(UserError("no \n\x1b[31m\ud800\r name ü")) == "no ��[31m�� name ü"


def test_a_long_message_is_shortened():
    assert str(UserError("x" * 5000)) == "x" * MAX_LENGTH + "..."
