"""Every figure that the design promises, measured: `python -m benchmarks [P1 P2 …] [--short] [--table]`."""
