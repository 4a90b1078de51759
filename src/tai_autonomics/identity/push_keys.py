"""
Google's certificates, which verify the tokens of a push subscription: kept fresh, and kept while Google is away.

    a kid that is known, of certificates that are young enough --> its certificate
    any other --> one fetch for everyone who asks, and not again for a while --> its certificate, or there is none
    none at all, or too old ones, and no answer --> KeysUnavailable

They are fetched at the start and every hour, and after a failure until Google is back. Where nothing runs between
requests, whoever finds certificates an hour old begins a fetch and waits for none: no request is late for it.
"""

import asyncio
import json
from collections.abc import Mapping
from math import inf
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from tai_autonomics.application.ports import Clock, Observer
from tai_autonomics.errors import KeysUnavailable
from tai_autonomics.identity.keys import KEYS_MAX, RSA_BITS_MIN
from tai_autonomics.identity.provider import Fetch

REFRESH_SECONDS: Final = 3600.0
"""A certificate that Google takes away verifies no longer than that."""
KEEP_SECONDS: Final = 86_400.0
"""Google announces its certificates days before it signs with them, and signs with one for days."""
FETCH_PAUSE_SECONDS: Final = 10.0
"""Between two fetches, so that nobody can make us ask Google as often as they like; also after one that failed."""


class GoogleCertificates:
    """By kid, in PEM. Close it with `aclose`."""

    def __init__(self, fetch: Fetch, clock: Clock, observer: Observer) -> None:
        self._fetch, self._clock, self._observer = fetch, clock, observer
        self._known: Mapping[str, str] = {}
        self._fetched_at = self._tried_at = -inf
        self._trouble = ""
        """Why the last fetch failed; empty where it did not, or none has ended yet."""
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> str | None:
        """The certificate of this kid, or None where Google has none. Raises KeysUnavailable."""
        certificate = self._fresh(kid)
        if certificate is None:
            if self._may_fetch():
                # Who stops waiting does not end it for the others.
                await asyncio.shield(self.refresh())
                certificate = self._fresh(kid)
            if certificate is None and self._trouble:
                # Perhaps Google has it by now: whoever asks may come again. The log says what went wrong.
                raise KeysUnavailable("Google's certificates cannot be had now")
        elif self._age() >= REFRESH_SECONDS and self._may_fetch():
            self.refresh()
        return certificate

    async def run(self) -> None:
        """Fetch, and again after each pause, until the task is cancelled."""
        while True:
            await asyncio.shield(self.refresh())
            await asyncio.sleep(FETCH_PAUSE_SECONDS if self._trouble else REFRESH_SECONDS)

    def result(self) -> str:
        """
        As a health check has it: "ok", or why no new push can be verified.

        It is "ok" as long as certificates are young enough, or no fetch has failed: then a push waits for one.
        """
        age = self._age()
        if not self._trouble or age <= KEEP_SECONDS:
            return "ok"
        kept = "there are none" if age == inf else f"those there are {age:.0f} s old"
        return f"Google's certificates: {self._trouble}; {kept}"

    def refresh(self) -> "asyncio.Task[None]":
        """The fetch that is under way, or a new one."""
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._fetch_once(), name="push_keys")
        return self._fetching

    async def aclose(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _fresh(self, kid: str) -> str | None:
        return self._known.get(kid) if self._age() <= KEEP_SECONDS else None

    def _age(self) -> float:
        return self._clock.monotonic() - self._fetched_at

    def _may_fetch(self) -> bool:
        return self._fetching is not None or self._clock.monotonic() - self._tried_at >= FETCH_PAUSE_SECONDS

    async def _fetch_once(self) -> None:
        self._tried_at = began = self._clock.monotonic()
        try:
            self._known = certificates_of(await self._fetch())
            self._fetched_at, self._trouble = began, ""
        except Exception as error:  # noqa: BLE001  # whatever it is, nobody may be waiting, and the next may be better
            # Whoever asks for /health reads it: of an error that nobody foresaw, no more than its kind.
            self._trouble = str(error) if isinstance(error, KeysUnavailable) else type(error).__name__
            self._observer.failed("push_keys", error)
        finally:
            self._fetching = None


def certificates_of(content: bytes) -> dict[str, str]:
    """
    The certificates of a JSON object of PEM by kid, as Google publishes it; those without an RSA key are passed over.

    Raises KeysUnavailable when none is left, or it is something else.
    """
    try:
        published = json.loads(content)
    except (ValueError, RecursionError):
        published = None
    if not isinstance(published, dict) or len(published) > KEYS_MAX:
        raise KeysUnavailable("the answer is no object of certificates by kid")
    found = {kid: pem for kid, pem in published.items() if isinstance(pem, str) and _verifies_rs256(pem)}
    if not found:
        raise KeysUnavailable(f"the answer holds no certificate with an RSA key of {RSA_BITS_MIN} bits or more")
    return found


def _verifies_rs256(pem: str) -> bool:
    try:
        key = x509.load_pem_x509_certificate(pem.encode()).public_key()
    except ValueError:
        return False
    return isinstance(key, rsa.RSAPublicKey) and key.key_size >= RSA_BITS_MIN
