"""Texts and targets stay within what a receipt holds."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tai_autonomics.actuators.telling import detail, within_bounds
from tai_autonomics.application.ports import NotDone


@given(st.text())
def test_a_detail_is_one_short_printable_line(text: str) -> None:
    line = detail(text)
    assert len(line) <= 200
    assert line.isprintable()


def test_a_detail_that_is_cut_says_so() -> None:
    assert (detail("a\n\tb"), detail("x" * 200), detail("x" * 201)) == ("a b", "x" * 200, "x" * 199 + "…")


@pytest.mark.parametrize("size", [4_096, 4_097])
def test_a_target_that_a_receipt_cannot_hold_is_none(size: int) -> None:
    target = {"url": "x" * (size - len(msgspec.json.encode({"url": ""})))}
    bounded = within_bounds(target)  # type: ignore[arg-type]
    assert bounded == (target if size == 4_096 else NotDone("the target has 4097 bytes; a receipt holds 4096", False))
