"""An issuer of tokens for the tests: signs anything, as an attacker's tool would."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import PyJWK
from jwt.algorithms import get_default_algorithms

from tai_autonomics.identity.keys import Keys
from tai_autonomics.identity.tokens import Issuance, TokenVerifier

NOW = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)
NOW_SECONDS = int(NOW.timestamp())
ISSUANCE = Issuance(issuer="https://issuer.example", audience="tai", leeway_seconds=30, lifetime_seconds_max=86_400)
CLAIMS: dict[str, Any] = {
    "iss": "https://issuer.example",
    "aud": "tai",
    "sub": "robot",
    "roles": ["integration"],
    "tenants": ["acme"],
    "iat": NOW_SECONDS,
    "exp": NOW_SECONDS + 3600,
}
PRIVATE = {
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
}
ABSENT = object()


class MovableClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.wall = NOW

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return (self.wall - NOW).total_seconds()

    def move(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)


def public(algorithm: str, kid: str = "k1") -> PyJWK:
    private = PRIVATE[algorithm]
    jwk = get_default_algorithms()[algorithm].to_jwk(private.public_key(), as_dict=True)
    return PyJWK({**jwk, "kid": kid}, algorithm)


def verifier(*algorithms: str, clock: MovableClock | None = None) -> TokenVerifier:
    """One that knows a key of each algorithm, k1, k2 and so on."""
    keys = {f"k{n}": public(algorithm, f"k{n}") for n, algorithm in enumerate(algorithms or ("EdDSA",), start=1)}
    return TokenVerifier(Keys(keys), ISSUANCE, clock or MovableClock())


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def json_of(members: dict[str, Any]) -> bytes:
    return json.dumps({name: value for name, value in members.items() if value is not ABSENT}).encode()


def signed(header: bytes, payload: bytes, algorithm: str = "EdDSA") -> str:
    """Any bytes, signed with the key of `algorithm`."""
    signing_input = f"{b64(header)}.{b64(payload)}"
    return (
        f"{signing_input}.{b64(get_default_algorithms()[algorithm].sign(signing_input.encode(), PRIVATE[algorithm]))}"
    )


def token(algorithm: str = "EdDSA", header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A good token, but for what is said here; ABSENT leaves a member out."""
    return signed(json_of({"alg": algorithm, "kid": "k1", **(header or {})}), json_of({**CLAIMS, **claims}), algorithm)
