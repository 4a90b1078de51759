"""A secret that rests elsewhere: `gsm://` and the resource that Secret Manager knows it by."""

import re
from collections.abc import Callable
from typing import Final

from msgspec import Struct

GSM: Final = "gsm://"
ALLOWED: Final = "gsm://projects/PROJECT/secrets/SECRET, and perhaps /versions/NUMBER or an alias (latest without it)"

_REFERENCE: Final = re.compile(
    r"gsm://(projects/(?:[a-z0-9.-]{1,64}:)?[a-z0-9-]{1,30}/secrets/[A-Za-z0-9_-]{1,255})(/versions/[A-Za-z0-9_-]{1,63})?",
    re.ASCII,
)


class Fetched(Struct, frozen=True):
    """What a secret is now, and which version of it that is. It has no text."""

    content: bytes
    version: str

    def __repr__(self) -> str:
        return f"Fetched(version={self.version!r})"


Fetch = Callable[[str], Fetched]
"""
Reads what a secret's version, by its resource name, holds now, within a bounded time.

Raises InvalidSetting with why it cannot, without naming the variable.
"""


def resource(reference: str) -> str:
    """The name of the secret's version. Raises ValueError with what is wrong, without naming the value."""
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise ValueError(f"is no secret of Secret Manager; allowed: {ALLOWED}")
    return found[1] + (found[2] or "/versions/latest")
