"""Containers of the image that `make image` built; they are of the embedded store's journeys, and long."""

from collections.abc import Iterator

import pytest
from tests.engines.containers import Container, image

HARDENED = ("--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--memory=512m")


@pytest.fixture(scope="session", autouse=True)
def is_there() -> None:
    """Before any engine of another kind is started for a test of it."""
    image()


@pytest.fixture(scope="package")
def container() -> Iterator[Container]:
    """With a root that nobody writes, no capability and 512 MiB; what it holds is the tests' together."""
    with Container(*HARDENED, environ={"GCP_PROJECT_ID": "acme-prod"}) as started:
        yield started
