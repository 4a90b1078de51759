"""Runs the benchmarks that are named, all of them when none is, and writes the tables that show their results."""

import argparse
from pkgutil import resolve_name
from typing import Final

from benchmarks.measure import FULL, SHORT, say
from benchmarks.table import write_table

BENCHMARKS: Final = {
    "P1": "throughput:measure_orders",
    "P2": "throughput:measure_against_plain",
    "P3": "latency:measure_latencies",
    "P4": "latency:measure_latencies",
    "P5": "throughput:measure_checks",
    "P6": "loop:measure_loop",
    "P7": "append:measure_append",
    "P8": "verify:measure_verify",
    "P9": "large:measure_large",
    "P10": "start:measure_start",
    "P11": "instances:measure_instances",
    "P12": "replay:measure_replay",
    "SIGNALS": "signals:measure_signals",
    "FLOOD": "flood:measure_flood",
    "TELEMETRY": "throughput:measure_telemetry",
    "STORES": "stores:measure_stores",
    "SIMULATION": "ladder:measure_simulation",
    "MOVE": "move:measure_move",
    "DRILL": "drill:measure_drill",
    "CEILINGS": "ceiling:measure_ceilings",
}
"""Each a function of a Size; a module is imported when it is asked for, as some need all of the service."""


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("numbers", nargs="*", metavar="P1", help=f"of {', '.join(BENCHMARKS)}; none is all")
    options.add_argument("--short", action="store_true", help="see that everything works; the figures mean nothing")
    options.add_argument("--table", action="store_true", help="only write the tables from the results")
    chosen = options.parse_args()
    numbers = [number.upper() for number in chosen.numbers] or list(BENCHMARKS)
    if unknown := [number for number in numbers if number not in BENCHMARKS]:
        options.error(f"no such benchmark: {', '.join(unknown)}")
    if not chosen.table:
        for name in dict.fromkeys(BENCHMARKS[number] for number in numbers):
            say(name)
            resolve_name(f"benchmarks.{name}")(SHORT if chosen.short else FULL)
    if not chosen.short:
        write_table()
        resolve_name("benchmarks.scaling").write_document()


if __name__ == "__main__":
    main()
