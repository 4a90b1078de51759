"""`python -m tests.journey.imported …` is the program, and says at its end whether OpenTelemetry's SDK was imported."""

import atexit
import sys

from tai_autonomics.__main__ import main


def say() -> None:
    found = sorted(name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter")))
    print(f"imported: {found[:1]}", flush=True)


if __name__ == "__main__":
    atexit.register(say)
    main()
