"""Fetches a provider's JWKS (RFC 7517) or Google's certificates: one GET, no redirect, bounded in time and size."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NoReturn

import httpx

from tai_autonomics.errors import KeysUnavailable
from tai_autonomics.identity.keys import KEY_FILE_BYTES_MAX
from tai_autonomics.identity.provider import Fetch

FETCH_SECONDS_MAX: Final = 5.0


@asynccontextmanager
async def fetching(url: str) -> AsyncIterator[Fetch]:
    """Fetches what is at `url`, by the machine's own trust (SSL_CERT_FILE) and proxies. Raises KeysUnavailable."""
    async with httpx.AsyncClient(timeout=FETCH_SECONDS_MAX, follow_redirects=False) as client:

        async def fetch() -> bytes:
            try:
                async with asyncio.timeout(FETCH_SECONDS_MAX):
                    return await _read(client, url)
            except TimeoutError:
                _refuse(f"no answer within {FETCH_SECONDS_MAX:g} s")
            except httpx.HTTPError as error:
                _refuse(f"{type(error).__name__}: {error}")

        yield fetch


async def _read(client: httpx.AsyncClient, url: str) -> bytes:
    async with client.stream("GET", url, headers={"accept": "application/jwk-set+json, application/json"}) as answer:
        if answer.status_code != httpx.codes.OK:
            _refuse(f"status {answer.status_code}")
        content = bytearray()
        async for part in answer.aiter_bytes():
            content += part
            if len(content) > KEY_FILE_BYTES_MAX:
                _refuse(f"more than {KEY_FILE_BYTES_MAX} bytes")
        return bytes(content)


def _refuse(reason: str) -> NoReturn:
    raise KeysUnavailable(reason)
