"""What a test does where an engine is absent: skip, and say how to get it; in CI fail."""

import os
from typing import NoReturn

import pytest


def absent(engine: str, remedy: str) -> NoReturn:
    """Skip with the one command that brings the engine; with REQUIRE_ALL_STORES set, fail."""
    message = f"{engine} is not on this machine. To get it: {remedy}"
    if os.environ.get("REQUIRE_ALL_STORES"):
        pytest.fail(message, pytrace=False)
    pytest.skip(message)
