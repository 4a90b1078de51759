"""Ledgers asked of a running service, with a bearer token."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
import typer
from msgspec import Raw, Struct

from tai_autonomics.errors import Forbidden, Malformed, StoreUnavailable, Unauthenticated, Unknown

TIMEOUT_SECONDS: Final = 30.0
PAGE: Final = 1000
TOKEN_BYTES_MAX: Final = 16 * 1024
COMPLIANCE_MEMBERS: Final = ("tenant_id", "as_of", "stale", "compliance")
GOVERNOR_MEMBERS: Final = ("tenant_id", "as_of", "stale", "governor", "action")
"""Of what is shown of a tenant."""

T = TypeVar("T")


class _Problem(Struct):
    """What the service says of a request that it did not carry out (RFC 9457, the members we show)."""

    reason: str
    detail: str
    next_step: str = ""


class _Receipts(Struct):
    items: list[Raw]
    next: str | None


class _Documents(Struct):
    items: list[dict[str, Any]]
    next: str | None
    unreadable: list[str] = []


class Erased(Struct):
    """The receipt of an erasure, and whether the part is gone from the store's journal too."""

    receipt: Raw
    hash: str
    journal: str


class Decided(Struct):
    """The receipt of an operator's word, accepted or refused."""

    receipt: Raw
    hash: str


@asynccontextmanager
async def connect(url: str, token_file: Path) -> AsyncIterator["Served"]:
    """Raises what a look at the options can tell: BadParameter, OSError."""
    place = urlsplit(url)
    if place.scheme not in ("http", "https") or not place.hostname:
        raise typer.BadParameter(f"--url {url!r} is not http(s)://host:port")
    with token_file.open("rb") as opened:
        token = opened.read(TOKEN_BYTES_MAX).decode("ascii", "replace").strip()
    if not token.isascii() or not token.isprintable() or not token:
        raise typer.BadParameter(f"--token-file {token_file} does not hold a token")
    async with httpx.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {token}"},
        timeout=TIMEOUT_SECONDS,
        # A proxy cannot reach this machine's own loopback.
        trust_env=not is_loopback(place.hostname),
    ) as client:
        yield Served(client)


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Served:
    """What `Stored` answers, from a service. Lines are as an export has them, without the line feed."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def receipts(
        self, tenant: str, *, after: int, limit: int, type: str | None, subject: str | None
    ) -> AsyncIterator[bytes]:
        asked = {"after": str(after), "type": type, "subject": subject}
        query = {name: value for name, value in asked.items() if value is not None}
        while limit > 0:
            query["limit"] = str(min(limit, PAGE))
            page = await self._ask(f"/v1/tenants/{tenant}/receipts", query, _Receipts)
            for item in page.items:
                yield bytes(item)
            limit -= len(page.items)
            if page.next is None:
                return
            query.pop("after", None)
            query["cursor"] = page.next

    async def receipt(self, tenant: str, seq: int | None) -> bytes:
        """The receipt, or the newest for None. Raises Unknown."""
        return bytes(await self._ask(f"/v1/tenants/{tenant}/receipts/{'head' if seq is None else seq}", {}, Raw))

    async def tenants(self) -> AsyncIterator[dict[str, Any]]:
        async for item in self._documents("/v1/tenants", {"limit": str(PAGE)}):
            yield item

    async def tenant(self, tenant: str) -> dict[str, Any]:
        """What is in force for the tenant. Raises Unknown."""
        document: dict[str, Any] = await self._ask(f"/v1/tenants/{tenant}", {}, dict)
        return document

    async def compliance(self, tenant: str) -> dict[str, Any]:
        """The tenant's holds and controls, and what they close. Raises Unknown."""
        document = await self.tenant(tenant)
        if "compliance" not in document:
            raise Unknown(f"{self._client.base_url} is of a release that has no holds")
        return {name: document[name] for name in COMPLIANCE_MEMBERS if name in document}

    async def governor(self, tenant: str) -> dict[str, Any]:
        """How the tenant's governor stands, and its action in flight. Raises Unknown."""
        document = await self.tenant(tenant)
        if "governor" not in document:
            raise Unknown(f"{self._client.base_url} is of a release that shows no governor")
        return {name: document[name] for name in GOVERNOR_MEMBERS if name in document}

    async def actions(self, tenant: str | None, state: str | None, limit: int) -> AsyncIterator[dict[str, Any]]:
        """
        The tenant's, the newest first, or those in flight of every tenant that the token reaches.

        Raises StoreUnavailable at the end where the service could not read some of them.
        """
        path = "/v1/actions" if tenant is None else f"/v1/tenants/{tenant}/actions"
        query = {"limit": str(min(limit, PAGE))} | ({} if state is None else {"state": state})
        left = limit
        unreadable: list[str] = []
        async with aclosing(self._documents(path, query, unreadable)) as items:
            async for item in items:
                yield item
                left -= 1
                if not left:
                    break
        if unreadable:
            raise StoreUnavailable(f"{self._client.base_url} cannot read {', '.join(unreadable)}: not listed")

    async def action(self, tenant: str, action_id: str) -> dict[str, Any]:
        """With everything that happened to it. Raises Unknown."""
        document: dict[str, Any] = await self._ask(f"/v1/tenants/{tenant}/actions/{action_id}", {}, dict)
        return document

    async def tell(self, tenant: str, word: str, said: Mapping[str, str | int], reason: str | None) -> Decided:
        """An operator's word, as "governor/pause"; a refusal that was sealed is an answer. Raises what else hinders."""
        body = {**said} if reason is None else {**said, "reason": reason}
        response = await self._call(self._client.build_request("POST", f"/v1/tenants/{tenant}/{word}", json=body))
        return self._read(response, Decided, is_answer="receipt-hash" in response.headers)

    async def erase(self, tenant: str, *, seq: int, part: str, reason: str | None, key: str) -> Erased:
        """Raises Unknown when there is no such receipt, or no such part of it."""
        body: dict[str, Any] = {"seq": seq, "part": part}
        if reason is not None:
            body["reason"] = reason
        request = self._client.build_request(
            "POST", f"/v1/tenants/{tenant}/erasures", json=body, headers={"Idempotency-Key": key}
        )
        return await self._send(request, Erased)

    async def _ask(self, path: str, query: dict[str, str], type: type[T]) -> T:
        return await self._send(self._client.build_request("GET", path, params=query), type)

    async def _documents(
        self, path: str, query: dict[str, str], unreadable: list[str] | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Every item of a list, page by page; a page may be empty and not be the last. Fills `unreadable`."""
        while True:
            page = await self._ask(path, query, _Documents)
            if unreadable is not None:
                unreadable += page.unreadable
            for item in page.items:
                yield item
            if page.next is None:
                return
            query["cursor"] = page.next

    async def _send(self, request: httpx.Request, type: type[T]) -> T:
        response = await self._call(request)
        return self._read(response, type, is_answer=response.is_success)

    async def _call(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._client.send(request)
        except httpx.HTTPError as error:
            why = str(error) or error.__class__.__name__
            raise StoreUnavailable(f"{self._client.base_url} does not answer: {why}") from error

    def _read(self, response: httpx.Response, type: type[T], *, is_answer: bool) -> T:
        """What was asked for, or the error that the problem in its place is."""
        try:
            if is_answer:
                return msgspec.json.decode(response.content, type=type)
            problem = msgspec.json.decode(response.content, type=_Problem)
        except msgspec.DecodeError as error:
            raise StoreUnavailable(
                f"{self._client.base_url} answered {response.status_code}, and not as this service does"
            ) from error
        raise _error_of(response.status_code, problem)


def _error_of(status: int, problem: _Problem) -> Exception:
    match status, problem:
        case 401, _:
            return Unauthenticated(problem.reason, problem.detail)
        case 403, _Problem(reason="role_forbidden" | "tenant_forbidden"):
            return Forbidden(problem.reason, problem.detail)
        case 404, _:
            return Unknown(problem.detail)
        case ((400 | 409 | 413 | 422), _):
            return Malformed(problem.reason, problem.detail)
        case 403, _:
            return Unknown(f"refused: {problem.reason}: {problem.detail}")
        case _:
            return StoreUnavailable(f"{problem.reason}: {problem.detail}")
