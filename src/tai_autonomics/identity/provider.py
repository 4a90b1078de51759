"""
The keys of an identity provider, from its JWKS URL: kept fresh, and kept for a while when the provider is away.

    a kid that is known, of keys that are young enough --> its key
    any other --> one fetch for everyone who asks, and not again for a while --> its key, or there is none
    no keys, or too old ones, and no answer --> KeysUnavailable

A key that the provider takes away is gone with the next refresh.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from jwt import PyJWK

from tai_autonomics.application.ports import Clock, Observer
from tai_autonomics.errors import InvalidSetting, KeysUnavailable
from tai_autonomics.identity.keys import key_of, provider_keys

FETCH_PAUSE_SECONDS: Final = 10.0
"""Between two fetches that unknown kids cause, so that nobody can make us ask the provider as often as they like."""
RETRY_SECONDS: Final = 5.0
"""After a refresh that failed."""

Fetch = Callable[[], Awaitable[bytes]]


class ProviderKeys:
    """`refresh_seconds` after a fetch comes the next; keys older than `keep_seconds` verify nothing."""

    def __init__(
        self, fetch: Fetch, clock: Clock, observer: Observer, *, refresh_seconds: float, keep_seconds: float
    ) -> None:
        self._fetch, self._clock, self._observer = fetch, clock, observer
        self._refresh_seconds, self._keep_seconds = refresh_seconds, keep_seconds
        self._keys: Mapping[str, PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._trouble = "not fetched yet"
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str | None) -> PyJWK | None:
        """The key of this kid, or without a kid the only one; None where there is none. Raises KeysUnavailable."""
        key = self._known(kid)
        if key is None and self._may_try():
            await self.refresh()
            key = self._known(kid)
        if key is None and (not self._are_fresh() or self._trouble):
            # Perhaps it has been added since: whoever asks may come again.
            raise KeysUnavailable(f"the identity provider's keys: {self._trouble}")
        return key

    async def run(self) -> None:
        """Refresh, after each pause, until the task is cancelled."""
        while True:
            await asyncio.sleep(RETRY_SECONDS if self._trouble else self._refresh_seconds)
            await self.refresh()

    async def refresh(self) -> None:
        """Fetch now; one fetch for everyone, and whoever stops waiting does not end it for the others."""
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._fetch_once())
        await asyncio.shield(self._fetching)

    def result(self) -> str:
        """As a health check has it: "ok", or why no new token can be verified."""
        if self._are_fresh():
            return "ok"
        return self._trouble or f"older than {self._keep_seconds:g} s"

    def _known(self, kid: str | None) -> PyJWK | None:
        return key_of(kid, self._keys) if self._are_fresh() else None

    def _are_fresh(self) -> bool:
        return self._fetched_at is not None and self._clock.monotonic() - self._fetched_at <= self._keep_seconds

    def _may_try(self) -> bool:
        return self._fetching is not None or (
            self._tried_at is None or self._clock.monotonic() - self._tried_at >= FETCH_PAUSE_SECONDS
        )

    async def _fetch_once(self) -> None:
        self._tried_at = began = self._clock.monotonic()
        try:
            self._keys, unusable = provider_keys(await self._fetch())
            self._fetched_at, self._trouble = began, ""
            for reason in unusable:
                self._observer.failed("jwks_key", InvalidSetting(reason))
        except (KeysUnavailable, InvalidSetting) as error:
            self._trouble = str(error)
            self._observer.failed("jwks", error)
        finally:
            self._fetching = None
