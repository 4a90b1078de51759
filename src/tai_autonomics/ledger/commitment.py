"""
Salted digests of erasable parts: a receipt proves what a part said while it exists, and nothing once it is gone.

With its salt deleted, a digest cannot be tried against guesses of the part's text.
"""

from hashlib import sha256
from typing import Final

SALT_BYTES: Final = 32
_DOMAIN: Final = b"tai/commit/v1\x00"


def commit(salt: bytes, text: bytes) -> str:
    """SHA-256("tai/commit/v1" 0x00 || salt || text), 64 lowercase hex digits. `salt` is 32 fresh random bytes."""
    return sha256(_DOMAIN + salt + text).hexdigest()


def opens(commitment: str, *, salt: bytes, text: bytes) -> bool:
    """Whether `commitment` was made of this salt and text. A salt of another length opens nothing."""
    return len(salt) == SALT_BYTES and commit(salt, text) == commitment
