"""Is a secret in what was said, in any spelling that it may have on its way?"""

import base64
import json
from collections.abc import Iterable, Mapping
from urllib.parse import quote, quote_from_bytes, quote_plus

SPELLING_CHARACTERS_MIN = 12
"""Shorter ones are found where no secret is."""


def leaked(said: str, secrets: Mapping[str, bytes]) -> list[str]:
    """The names of the secrets that are in it, with what is around them."""
    found = []
    for name, secret in secrets.items():
        for spelling in spellings(secret):
            at = said.find(spelling)
            if at >= 0:
                found.append(f"{name}: {said[max(0, at - 200) : at + len(spelling) + 50]!r}")
    return found


def spellings(secret: bytes) -> set[str]:
    """Raw, escaped, URL-encoded, hexadecimal and base64, the last at whichever place of a longer text it is encoded."""
    spelled = {secret.hex(), secret.hex().upper(), quote_from_bytes(secret), quote_from_bytes(secret, safe="")}
    spelled |= {part for shift in range(3) for part in _base64(secret, shift)}
    spelled.add(repr(secret)[2:-1])
    if secret.isascii():
        text = secret.decode()
        spelled |= {text, quote(text), quote_plus(text), repr(text)[1:-1]}
    # A line of JSON may quote any of them.
    spelled |= {json.dumps(each)[1:-1] for each in spelled}
    assert all(len(each) >= SPELLING_CHARACTERS_MIN for each in spelled), "too short to be told from anything else"
    return spelled


def _base64(secret: bytes, shift: int) -> Iterable[str]:
    """Those characters of it that do not depend on what stands before and after."""
    encoded = base64.b64encode(b"\0" * shift + secret).decode()
    sure = encoded[-(-shift * 8 // 6) : (shift + len(secret)) * 8 // 6]
    return sure, sure.replace("+", "-").replace("/", "_"), quote(sure, safe="")
