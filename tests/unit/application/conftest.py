"""The fixtures of instances.py."""

from tests.unit.application.instances import (  # noqa: F401
    anyio_backend,
    deadlines_are_looked_at_often,
    no_error_goes_unheard,
    one,
    store,
)
