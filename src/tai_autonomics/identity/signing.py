"""
Detached signatures over files of ours (RFC 7515, appendix F): the signature stands beside the bytes that it is of.

    header..signature     the payload, between the two dots, is left out: whoever verifies has the bytes
"""

from collections.abc import Mapping
from typing import Final

from jwt import PyJWK, PyJWS
from jwt.exceptions import InvalidTokenError
from jwt.utils import base64url_encode

from tai_autonomics.errors import Unauthenticated
from tai_autonomics.identity.keys import key_of
from tai_autonomics.identity.tokens import ALGORITHMS, NO_SUCH_KID

SIGNATURE_CHARACTERS_MAX: Final = 4096
_JWS: Final = PyJWS(ALGORITHMS)


def sign(payload: bytes, signing: PyJWK, *, purpose: str) -> str:
    """`purpose` is the header's `typ`, which keeps the signature from being taken for a token (RFC 8725, 3.11)."""
    whole = _JWS.encode(payload, signing, headers={"kid": signing.key_id, "typ": purpose})
    header, _, signature = whole.split(".")
    return f"{header}..{signature}"


def verify(payload: bytes, signature: str, keys: Mapping[str, PyJWK], *, purpose: str) -> str:
    """The kid of the key that signed these bytes for this purpose. Raises Unauthenticated(signature_invalid)."""
    try:
        header, between, rest = signature.strip().split(".")
        if between or len(signature) > SIGNATURE_CHARACTERS_MAX:
            raise Unauthenticated("signature_invalid", "it is no detached signature")
        claimed = _JWS.get_unverified_header(signature.strip())
        key = key_of(claimed.get("kid"), keys)
        if key is None:
            raise Unauthenticated("signature_invalid", NO_SUCH_KID)
        if claimed.get("typ") != purpose:
            raise Unauthenticated("signature_invalid", "it was made for another purpose")
        whole = f"{header}.{base64url_encode(payload).decode('ascii')}.{rest}"
        # The key names the algorithm, never the header (RFC 8725 section 3.1).
        _JWS.decode(whole, key, algorithms=[key.algorithm_name])
    except (ValueError, InvalidTokenError) as error:
        raise Unauthenticated("signature_invalid", "the signature does not verify") from error
    return str(key.key_id)
