"""Tokens that a service of the journeys takes, signed with the key in its data directory."""

from datetime import UTC, datetime
from pathlib import Path

from tai_autonomics.identity.keys import KEY_FILE, TOKEN_FILE, first_start_key
from tai_autonomics.identity.tokens import Issuance, mint
from tai_autonomics.wiring.credentials import ADMIN

ISSUER = "tai-autonomics"
"""Also the audience: the defaults of a service with a key of its own."""


def own_keys(data_dir: Path) -> dict[str, str]:
    """The environment of a service on a shared store, whose key and admin token are made here."""
    (data_dir / TOKEN_FILE).write_text(minted(data_dir, "admin", subject=ADMIN))
    return {"JWT_KEYS": str(data_dir / KEY_FILE), "JWT_ISSUER": ISSUER, "JWT_AUDIENCE": ISSUER}


def minted(data_dir: Path, *roles: str, tenants: frozenset[str] | None = None, subject: str = "caller") -> str:
    """An hour's token; `tenants` None is all of them. The key is made if there is none."""
    signing = first_start_key(data_dir).signing
    assert signing is not None
    return mint(
        signing,
        subject=subject,
        roles=frozenset(roles),
        tenants=tenants,
        issuance=Issuance(issuer=ISSUER, audience=ISSUER, leeway_seconds=30, lifetime_seconds_max=86400),
        now=datetime.now(UTC),
        lifetime_seconds=3600,
    )
