"""Who asks, for locust: a token that was given, or tokens signed with a private key of the load's own."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

TOKEN: Final = os.environ.get("LOAD_TOKEN", "").strip()
"""May command and read; else tokens are signed with the private key (PEM) in LOAD_KEY_FILE."""
KEY_FILE: Final = os.environ.get("LOAD_KEY_FILE", "")
ISSUER: Final = os.environ.get("LOAD_ISSUER", "tai-autonomics")
AUDIENCE: Final = os.environ.get("LOAD_AUDIENCE", "tai-autonomics")

TOKEN_SECONDS: Final = 3_600
RENEWED_SECONDS: Final = 300
"""A token is signed anew so long before it ends."""
ALGORITHMS: Final[Mapping[type, str]] = {
    Ed25519PrivateKey: "EdDSA",
    EllipticCurvePrivateKey: "ES256",
    RSAPrivateKey: "RS256",
}


class NobodyAsks(SystemExit):
    """Neither a token nor a key was given; what to do is its message."""


class Credential:
    """An `Authorization` header that is always in force, for one subject in one role on all tenants."""

    def __init__(self, *, subject: str, role: str) -> None:
        self._claims = claims(subject, role)
        self._header, self._ends = "", 0.0

    def header(self) -> str:
        now = time.time()
        if now > self._ends - RENEWED_SECONDS:
            self._header = f"Bearer {TOKEN or signed(self._claims, Path(KEY_FILE), int(now))}"
            self._ends = now + TOKEN_SECONDS
        return self._header


def check_credentials() -> None:
    """Raises NobodyAsks, which says what to set, before anything is asked."""
    if not TOKEN and not KEY_FILE:
        raise NobodyAsks(
            "Who asks? Set LOAD_TOKEN, or LOAD_KEY_FILE to a private key whose public half is in JWT_KEYS."
        )


def claims(subject: str, role: str) -> dict[str, Any]:
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "roles": [role], "tenants": "*"}


def signed(claims: Mapping[str, Any], key_file: Path, now: int) -> str:
    """A token that ends TOKEN_SECONDS after `now`, in seconds since 1970."""
    key = load_pem_private_key(key_file.read_bytes(), password=None)
    algorithm = next(name for kind, name in ALGORITHMS.items() if isinstance(key, kind))
    return jwt.encode({**claims, "iat": now, "exp": now + TOKEN_SECONDS}, key, algorithm=algorithm)
