"""Logs, metrics and traces of one process: what an operator sees. The ledger, not the log, is the record."""

import sys


def _import_structlog_without_rich() -> None:
    """
    structlog imports rich, where it is installed, to draw tracebacks with the locals of every frame in them.

    That must not happen here, and the import would be 140 ms of every start (230 ms instead of 330 for this package and
    identity beside the server). Elsewhere in the process rich works as ever.
    """
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


_import_structlog_without_rich()
