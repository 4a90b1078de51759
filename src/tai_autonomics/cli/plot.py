"""
A picture of how a governor went through a run of signals: the values, the thresholds, its states, its actions, as SVG.

One file that any browser shows: no script, no font and no address of its own.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import floor, log10
from typing import Final
from xml.etree import ElementTree as Xml  # nosec B405  # it only writes

from msgspec import Struct

WIDTH: Final = 960
HEIGHT: Final = 380
LEFT, RIGHT, TOP, BOTTOM = 64, 20, 40, 44
COLUMNS: Final = WIDTH - LEFT - RIGHT
"""Pixels of the drawing; of the values that fall into one, the lowest and the highest are drawn."""
TICKS: Final = 6
LETTERS: Final = 12
"""How high a line of text is."""

BANDS: Final = {
    "boot": "#eef0f2",
    "stable": "#e3f4e6",
    "warning": "#fdf2cc",
    "intervening": "#dbe9fb",
    "refusing": "#fadcd9",
}
STEPS: Final = tuple(
    timedelta(seconds=seconds)
    for seconds in (1, 5, 15, 60, 300, 900, 3_600, 3 * 3_600, 6 * 3_600, 12 * 3_600, 86_400, 7 * 86_400, 30 * 86_400)
)


class Sample(Struct, frozen=True):
    at: datetime
    value: float


class Threshold(Struct, frozen=True):
    label: str
    value: float


class Band(Struct, frozen=True):
    """The governor was `status` from `start` until `end`."""

    status: str
    start: datetime
    end: datetime


class Mark(Struct, frozen=True):
    """Something was done, or would have been, at `at`."""

    at: datetime
    label: str


class Picture(Struct, frozen=True):
    """`samples` in the order of time, at least one."""

    title: str
    unit: str
    samples: Sequence[Sample]
    thresholds: Sequence[Threshold] = ()
    bands: Sequence[Band] = ()
    marks: Sequence[Mark] = ()


def svg(picture: Picture) -> str:
    """The picture as a file's text (SVG 1.1)."""
    drawing = _Drawing(picture)
    drawing.bands()
    drawing.axes()
    drawing.values()
    drawing.thresholds()
    drawing.marks()
    drawing.legend()
    Xml.indent(drawing.root)
    return Xml.tostring(drawing.root, encoding="unicode") + "\n"


class _Drawing:
    """Layers, from the back to the front."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        samples = picture.samples
        self._start, self._end = samples[0].at, max(samples[-1].at, samples[0].at + timedelta(seconds=1))
        drawn = [sample.value for sample in samples] + [threshold.value for threshold in picture.thresholds]
        self._ticks = nice(min(drawn), max(drawn))
        self.root = Xml.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {WIDTH} {HEIGHT}",
                "width": str(WIDTH),
                "height": str(HEIGHT),
                "font-family": "sans-serif",
                "font-size": "12",
                "role": "img",
            },
        )
        Xml.SubElement(self.root, "title").text = picture.title
        self._add("rect", x=0, y=0, width=WIDTH, height=HEIGHT, fill="#ffffff")
        self._text(LEFT, 18, picture.title, weight="bold")

    def bands(self) -> None:
        for band in self._picture.bands:
            left, right = self._x(max(band.start, self._start)), self._x(min(band.end, self._end))
            if right > left:
                height = HEIGHT - TOP - BOTTOM
                rect = self._add("rect", x=left, y=TOP, width=right - left, height=height, fill=BANDS[band.status])
                Xml.SubElement(rect, "title").text = f"{band.status} from {band.start.isoformat()}"

    def axes(self) -> None:
        for tick in self._ticks:
            y = self._y(tick)
            self._line(LEFT, y, WIDTH - RIGHT, y, stroke="#d0d4d9")
            self._text(LEFT - 6, y + 4, f"{tick:g}", anchor="end")
        self._text(LEFT - 6, TOP - 10, self._picture.unit, anchor="end", fill="#5b6570")
        for at, label in times(self._start, self._end):
            x = self._x(at)
            self._line(x, HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 5, stroke="#5b6570")
            self._text(x, HEIGHT - BOTTOM + 18, label, anchor="middle")
        self._line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, stroke="#5b6570")

    def thresholds(self) -> None:
        """From the top; a label lies over its line, or under it where it would lie on the one before."""
        label_y = 0.0
        for threshold in sorted(self._picture.thresholds, key=lambda each: -each.value):
            y = self._y(threshold.value)
            self._line(LEFT, y, WIDTH - RIGHT, y, stroke="#b3261e", dash="6 4")
            label_y = y - 4 if y - 4 >= label_y + LETTERS else max(y, label_y) + LETTERS
            self._text(WIDTH - RIGHT - 4, label_y, threshold.label, anchor="end", fill="#b3261e")

    def values(self) -> None:
        points = " ".join(f"{self._x(each.at)},{self._y(each.value)}" for each in self._thinned())
        self._add("polyline", points=points, fill="none", stroke="#1a3f6b", stroke_width=1.5)

    def marks(self) -> None:
        for mark in self._picture.marks:
            x, y = self._x(mark.at), TOP
            self._line(x, y, x, HEIGHT - BOTTOM, stroke="#6a1b9a", dash="2 3")
            points = f"{x - 5},{y - 8} {x + 5},{y - 8} {x},{y}"
            Xml.SubElement(self._add("polygon", points=points, fill="#6a1b9a"), "title").text = mark.label

    def legend(self) -> None:
        x = LEFT
        for status in dict.fromkeys(band.status for band in self._picture.bands):
            self._add("rect", x=x, y=HEIGHT - 16, width=12, height=12, fill=BANDS[status], stroke="#9aa3ad")
            self._text(x + 17, HEIGHT - 6, status)
            x += 34 + 7 * len(status)
        if self._picture.marks:
            self._add(
                "polygon", points=f"{x},{HEIGHT - 14} {x + 10},{HEIGHT - 14} {x + 5},{HEIGHT - 6}", fill="#6a1b9a"
            )
            self._text(x + 16, HEIGHT - 6, "action")

    def _thinned(self) -> list[Sample]:
        samples = self._picture.samples
        if len(samples) <= 2 * COLUMNS:
            return list(samples)
        kept: list[Sample] = []
        column: list[Sample] = []
        for sample in samples:
            if column and int(self._x(sample.at)) != int(self._x(column[0].at)):
                kept += _extremes(column)
                column = []
            column.append(sample)
        return kept + _extremes(column)

    def _x(self, at: datetime) -> float:
        return round(LEFT + COLUMNS * ((at - self._start) / (self._end - self._start)), 1)

    def _y(self, value: float) -> float:
        low, high = self._ticks[0], self._ticks[-1]
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low), 1)

    def _line(self, x1: float, y1: float, x2: float, y2: float, *, stroke: str, dash: str = "") -> None:
        line = self._add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke)
        if dash:
            line.set("stroke-dasharray", dash)

    def _text(
        self, x: float, y: float, text: str, *, anchor: str = "start", fill: str = "#202428", weight: str = "normal"
    ) -> None:
        self._add("text", x=x, y=y, text_anchor=anchor, fill=fill, font_weight=weight).text = text

    def _add(self, tag: str, **attributes: str | float) -> Xml.Element:
        named = {name.replace("_", "-"): str(value) for name, value in attributes.items()}
        return Xml.SubElement(self.root, tag, named)


def _extremes(column: Sequence[Sample]) -> list[Sample]:
    ends = {min(column, key=lambda each: each.value), max(column, key=lambda each: each.value)}
    return sorted(ends, key=lambda each: each.at)


def nice(low: float, high: float) -> list[float]:
    """Round numbers at equal distances, the first not over `low` and the last not under `high`."""
    spread = (high - low) or abs(high) or 1.0
    rough = spread / TICKS
    power = 10.0 ** floor(log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough)
    first = floor(low / step)
    ticks = [first * step]
    while ticks[-1] < high or len(ticks) == 1:
        ticks.append((first + len(ticks)) * step)
    return [round(tick, 9) for tick in ticks]


def times(start: datetime, end: datetime) -> list[tuple[datetime, str]]:
    """Round times at equal distances between the two, and how to write them."""
    rough = (end - start) / (TICKS + 2)
    step = next((step for step in STEPS if step >= rough), STEPS[-1])
    form = "%H:%M:%S" if step < timedelta(minutes=1) else "%H:%M" if step < timedelta(days=1) else "%d %b"
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + step * -((midnight - start) // step)
    found = []
    while at <= end:
        found.append((at, at.strftime(form)))
        at += step
    return found
