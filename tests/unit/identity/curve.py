"""Edwards25519 (RFC 8032 section 5.1), written out for the tests: enough to make what no honest signer would."""

import hashlib
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

PRIME: Final = 2**255 - 19
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
IDENTITY: Final = (1).to_bytes(32, "little")
IDENTITY_AGAIN: Final = (PRIME + 1).to_bytes(32, "little")
"""The identity once more: y = p + 1 is y = 1, but not canonical."""
ORDER_TWO: Final = (PRIME - 1).to_bytes(32, "little")
_D: Final = -121665 * pow(121666, -1, PRIME) % PRIME
_I: Final = pow(2, (PRIME - 1) // 4, PRIME)


def small_order_heights() -> set[int]:
    """
    The y of each of the eight points whose order divides 8.

    Those of order 8 double to one of order 4, whose y is 0; doubling gives y = 0 where x^2 = -y^2, and on the curve
    that is d y^4 + 2 y^2 - 1 = 0.
    """
    root = _root((1 + _D) % PRIME)
    squares = [(sign * root - 1) * pow(_D, -1, PRIME) % PRIME for sign in (1, -1)]
    eighths = [each for square in squares if (each := _root_or_none(square)) is not None]
    return {0, 1, PRIME - 1, *eighths, *(PRIME - each for each in eighths)}


def scalar(key: Ed25519PrivateKey) -> int:
    """The secret scalar that the key's seed stands for."""
    digest = hashlib.sha512(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())).digest()
    return int.from_bytes(digest[:32], "little") & ((1 << 254) - 8) | (1 << 254)


def challenge(commitment: bytes, public: bytes, message: bytes, *, domain: bytes = b"") -> int:
    """h of the verification S B = R + h A."""
    return int.from_bytes(hashlib.sha512(domain + commitment + public + message).digest(), "little") % ORDER


def _root(square: int) -> int:
    found = _root_or_none(square)
    assert found is not None
    return found


def _root_or_none(square: int) -> int | None:
    candidate = pow(square, (PRIME + 3) // 8, PRIME)
    for each in (candidate, candidate * _I % PRIME):
        if each * each % PRIME == square % PRIME:
            return each
    return None
