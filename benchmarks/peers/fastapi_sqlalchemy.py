"""
The plain peer: POST /marketplace as a good engineer would write it with FastAPI, SQLAlchemy 2 and SQLite.

    token checked -> Pydantic model -> one transaction (state row, decision, chained receipt row) -> reply

It keeps the promises that cost: WAL with synchronous=FULL, one hash-chained row for each request in the transaction of
the state that it changes, a unique idempotency key, one log line a request. It leaves out what it does not need: gates,
roles, metrics, timers, quotas, erasable parts, problems with next steps. Its transactions run in FastAPI's thread pool
or on the event loop (`--transactions`); statements are built once, and SQLAlchemy's Core is used, because its ORM made
half as many requests a second.
"""

import argparse
import hashlib
import json
import logging
import sys
import time
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    create_engine,
    event,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

AUDIENCE: Final = "tai"
GENESIS: Final = "0" * 64
TOKENS_MAX: Final = 10_000
TOKEN_SECONDS_MAX: Final = 60
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$")]

STATUS_OF: Final = {None: 200, "entitlement_inactive": 403, "invalid_transition": 409}

log = logging.getLogger("peer")


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tenant_id: Identifier
    entitlement_id: Identifier
    action: Literal["verify", "grant", "suspend", "resume", "revoke"] = "verify"
    plan: str | None = None
    expires_at: datetime | None = None
    metadata: dict[str, Any] | None = None


METADATA: Final = MetaData()
TENANTS: Final = Table(
    "tenants",
    METADATA,
    Column("id", String, primary_key=True),
    Column("seq", Integer, nullable=False),
    Column("head", String, nullable=False),
    Column("entitlements", JSON, nullable=False),
)
RECEIPTS: Final = Table(
    "receipts",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("tenant_id", String, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("key", String, nullable=False),
    Column("hash", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("tenant_id", "seq"),
    UniqueConstraint("tenant_id", "key"),
)
FIND_TENANT: Final = select(TENANTS).where(TENANTS.c.id == bindparam("id"))
FIND_RECEIPT: Final = select(RECEIPTS.c["status", "hash", "body"]).where(
    RECEIPTS.c.tenant_id == bindparam("tenant_id"), RECEIPTS.c.key == bindparam("key")
)
ADD_TENANT: Final = insert(TENANTS)
ADD_RECEIPT: Final = insert(RECEIPTS).inline()
MOVE_HEAD: Final = (
    update(TENANTS).where(TENANTS.c.id == bindparam("of")).values(seq=bindparam("seq"), head=bindparam("head"))
)
CHANGE_TENANT: Final = MOVE_HEAD.values(entitlements=bindparam("entitlements"))


class Answer(NamedTuple):
    """What a request gets: its receipt's bytes, unchanged, and their hash."""

    status: int
    hash: str
    body: bytes
    replayed: bool = False


class Tokens:
    """Verified tokens by digest, until they expire, at most a minute: the service caches its own in the same way."""

    def __init__(self, key: Ed25519PublicKey) -> None:
        self.key = key
        self.verified: OrderedDict[bytes, tuple[float, dict[str, Any]]] = OrderedDict()

    def claims(self, token: str) -> dict[str, Any]:
        digest = hashlib.sha256(token.encode()).digest()
        until, claims = self.verified.get(digest, (0.0, {}))
        if time.time() < until:
            return claims
        claims = jwt.decode(
            token, self.key, algorithms=["EdDSA"], audience=AUDIENCE, options={"require": ["exp", "sub"]}
        )
        self.verified[digest] = (min(claims["exp"], time.time() + TOKEN_SECONDS_MAX), claims)
        while len(self.verified) > TOKENS_MAX:
            self.verified.popitem(last=False)
        return claims


def decide(state: dict[str, Any] | None, order: Order) -> tuple[dict[str, Any] | None, str | None]:
    """The entitlement's new state, and the reason when it is refused."""
    match order.action, state and state["status"]:
        case "verify", "active":
            return state, None
        case "verify", _:
            return state, "entitlement_inactive"
        case "grant", None if order.plan:
            return {"status": "active", "plan": order.plan}, None
        case "suspend", "active":
            return {**(state or {}), "status": "suspended"}, None
        case "resume", "suspended":
            return {**(state or {}), "status": "active"}, None
        case "revoke", "active" | "suspended":
            return {**(state or {}), "status": "revoked"}, None
        case _:
            return state, "invalid_transition"


def apply(engine: Engine, order: Order, key: str, caller: str) -> Answer:
    """A new receipt together with the state it changes, or the receipt that the key already has."""
    try:
        with engine.begin() as connection:
            return decide_and_insert(connection, order, key, caller)
    except IntegrityError:
        with engine.begin() as connection:
            first = connection.execute(FIND_RECEIPT, {"tenant_id": order.tenant_id, "key": key}).one()
            return Answer(*first, replayed=True)


def decide_and_insert(connection: Connection, order: Order, key: str, caller: str) -> Answer:
    tenant = connection.execute(FIND_TENANT, {"id": order.tenant_id}).one_or_none()
    seq, head, entitlements = (tenant.seq, tenant.head, tenant.entitlements) if tenant else (0, GENESIS, {})
    was = entitlements.get(order.entitlement_id)
    becomes, refusal = decide(was, order)
    body = receipt_body(order, key, caller, seq + 1, head, was, becomes, refusal)
    answer = Answer(STATUS_OF[refusal], hashlib.sha256(body).hexdigest(), body)
    moved = {"seq": seq + 1, "head": answer.hash}
    row = {
        "tenant_id": order.tenant_id,
        "seq": seq + 1,
        "key": key,
        "hash": answer.hash,
        "status": answer.status,
        "body": body,
    }
    connection.execute(ADD_RECEIPT, row)
    changed = entitlements if becomes == was else {**entitlements, order.entitlement_id: becomes}
    if tenant is None:
        connection.execute(ADD_TENANT, {"id": order.tenant_id, "entitlements": changed, **moved})
    elif becomes == was:
        connection.execute(MOVE_HEAD, {"of": order.tenant_id, **moved})
    else:
        connection.execute(CHANGE_TENANT, {"of": order.tenant_id, "entitlements": changed, **moved})
    return answer


def receipt_body(
    order: Order,
    key: str,
    caller: str,
    seq: int,
    prev: str,
    was: dict[str, Any] | None,
    becomes: dict[str, Any] | None,
    refusal: str | None,
) -> bytes:
    body = {
        "v": 1,
        "seq": seq,
        "prev": prev,
        "time": datetime.now(UTC).isoformat(),
        "type": "transition" if refusal is None else "refusal",
        "tenant": order.tenant_id,
        "subject": {"kind": "entitlement", "id": order.entitlement_id},
        "cause": {"kind": "marketplace", "id": key, "by": caller, "action": order.action},
        "decision": {"from": was, "to": becomes},
        "refusal": refusal,
    }
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


class RequestLog:
    """One line a request; plain ASGI, because FastAPI's own @app.middleware costs several times as much."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), 0

        async def noting_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await self.app(scope, receive, noting_status)
        milliseconds = (time.perf_counter() - started) * 1e3
        log.info("%s %s %d %.1f ms", scope["method"], scope["path"], status, milliseconds)


def application(engine: Engine, tokens: Tokens, transactions: str) -> FastAPI:
    app = FastAPI()

    async def caller(authorization: Annotated[str, Header()]) -> dict[str, Any]:
        try:
            return tokens.claims(authorization.removeprefix("Bearer "))
        except jwt.InvalidTokenError as error:
            raise HTTPException(401, str(error)) from error

    def reply(claims: dict[str, Any], order: Order, key: str) -> Response:
        if claims["tenants"] != "*" and order.tenant_id not in claims["tenants"]:
            raise HTTPException(403, "tenant_forbidden")
        answer = apply(engine, order, key, claims["sub"])
        headers = {"Receipt-Hash": answer.hash} | ({"Idempotent-Replayed": "true"} if answer.replayed else {})
        content = b'{"receipt":' + answer.body + b',"hash":"' + answer.hash.encode() + b'"}'
        return Response(content, answer.status, headers, "application/json")

    Key = Annotated[str, Header(alias="Idempotency-Key", min_length=1, max_length=255)]  # noqa: N806

    def in_threads(claims: Annotated[dict[str, Any], Depends(caller)], order: Order, key: Key) -> Response:
        return reply(claims, order, key)

    async def in_loop(claims: Annotated[dict[str, Any], Depends(caller)], order: Order, key: Key) -> Response:
        return reply(claims, order, key)

    app.post("/marketplace")(in_threads if transactions == "threads" else in_loop)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    app.add_middleware(RequestLog)
    return app


def open_engine(path: Path) -> Engine:
    """One pooled connection: SQLite has one writer, and waiting for it in the pool beats SQLITE_BUSY."""
    engine = create_engine(
        f"sqlite:///{path}", pool_size=1, max_overflow=0, connect_args={"check_same_thread": False, "timeout": 30}
    )

    @event.listens_for(engine, "connect")
    def set_pragmas(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")

    METADATA.create_all(engine)
    return engine


def first_token(directory: Path, key: Ed25519PrivateKey) -> None:
    now = int(time.time())
    claims = {"sub": "admin", "aud": AUDIENCE, "iat": now, "exp": now + 86_400, "roles": ["admin"], "tenants": "*"}
    (directory / "admin.token").write_text(jwt.encode(claims, key, algorithm="EdDSA"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--data-dir", type=Path, required=True)
    options.add_argument("--transactions", choices=["threads", "loop"], required=True)
    chosen = options.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(asctime)s %(levelname)s %(message)s")
    key = Ed25519PrivateKey.generate()
    first_token(chosen.data_dir, key)
    app = application(open_engine(chosen.data_dir / "peer.db"), Tokens(key.public_key()), chosen.transactions)
    uvicorn.run(
        app, host="127.0.0.1", port=chosen.port, loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )


if __name__ == "__main__":
    main()
