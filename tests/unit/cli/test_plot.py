"""The picture of a run: everything that was given is in it, at its place."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from xml.etree import ElementTree as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tai_autonomics.cli.plot import (
    BOTTOM,
    COLUMNS,
    HEIGHT,
    LEFT,
    LETTERS,
    TOP,
    Band,
    Mark,
    Picture,
    Sample,
    Threshold,
    nice,
    svg,
    times,
)

START = datetime(2026, 11, 24, tzinfo=UTC)
SPACE = "{http://www.w3.org/2000/svg}"


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def drawn(picture: Picture) -> Xml.Element:
    return Xml.fromstring(svg(picture))


def points(root: Xml.Element) -> list[tuple[float, float]]:
    polyline = root.find(f"{SPACE}polyline")
    assert polyline is not None
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in polyline.attrib["points"].split())]


def picture(**given: object) -> Picture:
    samples = [Sample(at(0), 0.0), Sample(at(30), 100.0), Sample(at(60), 50.0)]
    return Picture(**{"title": "cpu of acme", "unit": "%", "samples": samples, **given})  # type: ignore[arg-type]


def test_values_lie_between_the_axes_in_proportion() -> None:
    bottom, height = HEIGHT - BOTTOM, HEIGHT - TOP - BOTTOM
    assert points(drawn(picture())) == [
        (LEFT, bottom),
        (LEFT + COLUMNS / 2, TOP),
        (LEFT + COLUMNS, bottom - height / 2),
    ]


def test_states_are_bands_as_wide_as_they_lasted() -> None:
    bands = [Band("stable", at(-10), at(30)), Band("refusing", at(30), at(90))]
    rects = [
        rect
        for rect in drawn(picture(bands=bands)).iter(f"{SPACE}rect")
        if rect.attrib["height"] == f"{HEIGHT - TOP - BOTTOM}"
    ]
    assert [(float(rect.attrib["x"]), float(rect.attrib["width"])) for rect in rects] == [
        (LEFT, COLUMNS / 2),
        (LEFT + COLUMNS / 2, COLUMNS / 2),
    ]
    assert rects[0].attrib["fill"] != rects[1].attrib["fill"]


def test_thresholds_and_actions_are_named_at_their_places() -> None:
    root = drawn(picture(thresholds=[Threshold("act_when 80", 80.0)], marks=[Mark(at(30), "cpu-high: webhook")]))
    dashed = [line.attrib for line in root.iter(f"{SPACE}line") if "stroke-dasharray" in line.attrib]
    assert float(dashed[0]["y1"]) == pytest.approx(HEIGHT - BOTTOM - 0.8 * (HEIGHT - TOP - BOTTOM), abs=0.1)
    assert float(dashed[1]["x1"]) == LEFT + COLUMNS / 2
    said = {element.text for element in root.iter() if element.text and element.text.strip()}
    assert {"cpu of acme", "act_when 80", "cpu-high: webhook", "action"} <= said


def test_labels_of_thresholds_that_lie_close_do_not_cover_each_other() -> None:
    values = (80.0, 3.0, 2.0, 1.0)
    root = drawn(picture(thresholds=[Threshold(f"at {value}", value) for value in reversed(values)]))
    labels = [text.attrib for text in root.iter(f"{SPACE}text") if (text.text or "").startswith("at ")]
    places = [float(label["y"]) for label in labels]
    assert all(lower - upper >= LETTERS for upper, lower in pairwise(places))
    assert [element.text for element in root.iter(f"{SPACE}text") if (element.text or "").startswith("at ")] == [
        f"at {value}" for value in values
    ]


def test_what_is_given_as_text_stays_text() -> None:
    text = svg(picture(title="<script>alert(1)</script>"))
    assert "<script" not in text
    assert Xml.fromstring(text).find(f"{SPACE}title").text == "<script>alert(1)</script>"  # type: ignore[union-attr]


def test_of_many_values_each_column_keeps_its_lowest_and_highest() -> None:
    samples = [Sample(START + timedelta(seconds=second), float(second % 60)) for second in range(86_400)]
    found = points(drawn(picture(samples=samples)))
    assert len(found) <= 2 * (COLUMNS + 1)
    assert {y for _, y in found} >= {points(drawn(picture(samples=samples[:60])))[0][1]}
    assert sorted(x for x, _ in found) == [x for x, _ in found]


def test_one_value_makes_a_picture() -> None:
    assert points(drawn(picture(samples=[Sample(START, 5.0)])))[0][0] == LEFT


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_ticks_enclose_the_values_in_round_steps(one: float, other: float) -> None:
    low, high = sorted((round(one, 3), round(other, 3)))
    ticks = nice(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 10


@pytest.mark.parametrize(
    ("minutes", "first", "step"),
    [(2, "00:00:00", 15), (60, "00:00", 900), (1440, "00:00", 3 * 3_600), (60 * 24 * 20, "24 Nov", 7 * 86_400)],
)
def test_times_are_round_and_fit_the_length(minutes: float, first: str, step: int) -> None:
    found = times(START, at(minutes))
    assert found[0][1] == first
    assert (found[1][0] - found[0][0]).total_seconds() == step
    assert len(found) <= 9


def test_times_begin_at_the_first_round_one() -> None:
    assert [label for _, label in times(at(7), at(67))][:2] == ["00:15", "00:30"]
