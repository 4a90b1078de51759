"""The tables of docs/SCALING.md from results/*.json, each between two markers; the rest is written by hand."""

from typing import Any, Final

import msgspec

from benchmarks.instances import SIDES
from benchmarks.measure import HERE, RESULTS
from benchmarks.stores import EMULATOR, POSTGRESQL, RATES, SQLITE
from benchmarks.table import Result, Row, machine_of, result_of

DOCUMENT: Final = HERE.parent / "docs" / "SCALING.md"
NOT_MEASURED: Final = "Not measured yet.\n"


def with_tables(text: str) -> str:
    """The document with each table as the results have it. Raises ValueError where a marker is missing."""
    for name, made in tables().items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
        before, found, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not (found and ended):
            raise ValueError(f"{DOCUMENT.name} lacks the markers of {name}")
        text = f"{before}{begin}{made}{end}{after}"
    return text


def write_document() -> None:
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text()))


def tables() -> dict[str, str]:
    made = {"stores": ("STORES", _stores), "instances": ("P11", _instances)}
    written = {}
    for name, (result, table) in made.items():
        path = RESULTS / f"{result}.json"
        written[name] = table(result_of(path)) if path.exists() else NOT_MEASURED
    path = RESULTS / "SIMULATION.json"
    notes = msgspec.json.decode(path.read_bytes())["notes"] if path.exists() else None
    written["ladder"] = _ladder(notes["ladder"]) if notes else NOT_MEASURED
    written["one tenant"] = _one_tenant(notes["one_tenant"]) if notes else NOT_MEASURED
    return written


def _stores(result: Result) -> str:
    lines = [f"| | {SQLITE} | {POSTGRESQL} | of {SQLITE} | {EMULATOR} | of {SQLITE} |", "|---|---|---|---|---|---|"]
    for what, (unit, _) in RATES.items():
        cells = [f"{what}, {unit}", _figure(result.row(f"{SQLITE}: {what}"))]
        for engine in (POSTGRESQL, EMULATOR):
            share = result.row(f"{engine} / {SQLITE}: {what}")
            cells += [_figure(result.row(f"{engine}: {what}")), f"**{share.median:.3g}** ({_spread(share)})"]
        lines.append(_line(cells))
    return _ended(lines, result)


def _instances(result: Result) -> str:
    lines = [
        "| | commands/s | of 1 instance | p99 | each instance | PostgreSQL | all cores |",
        "|---|---|---|---|---|---|---|",
    ]
    one = next(iter(SIDES))
    for name in SIDES:
        share = (
            ""
            if name == one
            else f"**{result.row(f'{name} / {one}').median:.2f}** ({_spread(result.row(f'{name} / {one}'))})"
        )
        used = [
            result.row(f"{name}, {what}").median
            for what in ("each one's share of a core", "PostgreSQL's share of a core")
        ]
        busy = result.row(f"{name}, all cores busy").median
        p99 = f"{result.row(f'{name}, p99').median:.0f} ms"
        cores = [f"{share:.0%} of a core" for share in used]
        lines.append(_line([name, _figure(result.row(name)), share, p99, *cores, f"{busy:.0%} busy"]))
    return _ended(lines, result)


def _ladder(rungs: list[dict[str, Any]]) -> str:
    lines = ["| step | commands/s | tenants | p99 at 0.8 of it | what binds | next |", "|---|---|---|---|---|---|"]
    for rung in rungs:
        rate, tenants = rung["commands_per_second"], rung["tenants"]
        cells = [
            rung["name"],
            _two_digits(rate),
            _two_digits(tenants),
            f"{rung['p99_ms']:.0f} ms",
            rung["limit"],
            rung["next"],
        ]
        lines.append(_line(cells))
    return "".join(f"{line}\n" for line in lines)


def _one_tenant(rungs: list[dict[str, Any]]) -> str:
    lines = ["| store | commands/s of one tenant | p99 at 0.8 of it | what binds | next |", "|---|---|---|---|---|"]
    for rung in rungs:
        rate = _two_digits(rung["commands_per_second"])
        lines.append(_line([rung["name"], rate, f"{rung['p99_ms']:.0f} ms", rung["limit"], rung["next"]]))
    return "".join(f"{line}\n" for line in lines)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _ended(lines: list[str], result: Result) -> str:
    """With on which machine and from which commit."""
    said = f"{result.name}, {result.time}, commit {result.commit}, {machine_of(result)}"
    idle = result.machine["load_average_before"]
    return "".join(f"{line}\n" for line in lines) + f"\n{said}; load average before {idle}.\n"


def _figure(row: Row) -> str:
    return f"{row.median:,.0f}" if row.median >= 100 else f"{row.median:.3g}"


def _spread(row: Row) -> str:
    low, high = row.spread
    return f"{low:.3g} to {high:.3g}"


def _two_digits(figure: float) -> str:
    return f"{float(f'{figure:.2g}'):,.0f}"
