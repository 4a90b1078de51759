"""Which keys verify tokens here, and the token that a first start leaves behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tai_autonomics.application.ports import Clock, Observer
from tai_autonomics.identity.keys import Keys, first_start_key, load_keys, provider_keys, write_admin_token
from tai_autonomics.identity.provider import ProviderKeys
from tai_autonomics.identity.tokens import Issuance, mint
from tai_autonomics.settings import Settings

ADMIN: Final = "first-start-admin"
"""Subject of the token that a service on the embedded store leaves in its data directory."""


def keys(settings: Settings) -> Keys | None:
    """
    The keys that verify tokens: JWT_KEYS, or the data directory's own, made on first start.

    None where an identity provider has them. Raises InvalidSetting.
    """
    if settings.jwt_jwks_url is not None:
        return None
    return first_start_key(settings.data_dir) if settings.jwt_keys is None else load_keys(settings.jwt_keys)


@asynccontextmanager
async def provider(settings: Settings, clock: Clock, observer: Observer) -> AsyncIterator[ProviderKeys | None]:
    """The keys of JWT_JWKS_URL, fetched as long as this is open; None where there is none."""
    if settings.jwt_jwks_url is None:
        yield None
        return
    # Imported only where it is named: the client takes a tenth of a second.
    from tai_autonomics.identity.fetching import fetching

    async with fetching(settings.jwt_jwks_url) as fetch:
        found = ProviderKeys(
            fetch,
            clock,
            observer,
            refresh_seconds=settings.jwt_jwks_refresh_seconds,
            keep_seconds=settings.jwt_jwks_keep_seconds,
        )
        await found.refresh()
        refreshing = asyncio.get_running_loop().create_task(found.run())
        try:
            yield found
        finally:
            refreshing.cancel()
            await asyncio.gather(refreshing, return_exceptions=True)


async def provided_kids(settings: Settings) -> tuple[str, ...]:
    """What JWT_JWKS_URL gives now. Raises KeysUnavailable, and InvalidSetting where no key of it can be used."""
    assert settings.jwt_jwks_url is not None, "there is a provider"
    from tai_autonomics.identity.fetching import fetching

    async with fetching(settings.jwt_jwks_url) as fetch:
        return tuple(provider_keys(await fetch())[0])


def issuance(settings: Settings) -> Issuance:
    """Whose tokens are good, and for how long."""
    return Issuance(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        leeway_seconds=settings.jwt_leeway_seconds,
        lifetime_seconds_max=settings.token_seconds_max,
        subject_claim=settings.jwt_subject_claim,
        roles_claim=settings.jwt_roles_claim,
        tenants_claim=settings.jwt_tenants_claim,
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
