"""Which keys verify tokens here, and the token that a first start leaves behind."""

from pathlib import Path
from typing import Final

from tai_autonomics.application.ports import Clock
from tai_autonomics.identity.keys import Keys, first_start_key, load_keys, write_admin_token
from tai_autonomics.identity.tokens import Issuance, mint
from tai_autonomics.settings import Settings

ADMIN: Final = "first-start-admin"
"""Subject of the token that a service on the embedded store leaves in its data directory."""


def keys(settings: Settings) -> Keys:
    """The keys that verify tokens: JWT_KEYS, or the data directory's own, made on first start."""
    return first_start_key(settings.data_dir) if settings.jwt_keys is None else load_keys(settings.jwt_keys)


def issuance(settings: Settings) -> Issuance:
    """Whose tokens are good, and for how long."""
    return Issuance(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        leeway_seconds=settings.jwt_leeway_seconds,
        lifetime_seconds_max=settings.token_seconds_max,
    )


def leave_admin_token(settings: Settings, own: Keys, clock: Clock) -> Path:
    """A fresh admin token at every start, for whoever can read the data directory."""
    assert own.signing is not None, "a key of our own is private"
    token = mint(
        own.signing,
        subject=ADMIN,
        roles=frozenset({"admin"}),
        tenants=None,
        issuance=issuance(settings),
        now=clock.now(),
        lifetime_seconds=settings.token_seconds_max,
    )
    return write_admin_token(settings.data_dir, token)
