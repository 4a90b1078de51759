"""
The bare echo: the same uvicorn, Starlette and msgspec decode the same bodies and reply as many bytes; nothing else.
"""

import argparse
from typing import Final

import msgspec
import uvicorn
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class Order(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The body of POST /marketplace."""

    tenant_id: str
    entitlement_id: str
    action: str | None = None
    plan: str | None = None
    effective_at: str | None = None
    expires_at: str | None = None
    observed_at: str | None = None
    reason: str | None = None
    metadata: msgspec.Raw = msgspec.Raw()
    request_id: str | None = None


class Question(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One bare check of POST /v1/tenants/{tenant}/check."""

    entitlement_id: str | None = None
    feature: str | None = None
    quota: str | None = None
    amount: int = 1


class Reply(Struct):
    received: Order | Question
    filler: str


ORDER: Final = msgspec.json.Decoder(Order)
QUESTION: Final = msgspec.json.Decoder(Question)
ENCODER: Final = msgspec.json.Encoder()


def application(reply_bytes: int) -> Starlette:
    async def marketplace(request: Request) -> Response:
        return reply(ORDER.decode(await request.body()), after_order)

    async def check(request: Request) -> Response:
        return reply(QUESTION.decode(await request.body()), after_question)

    async def health(_: Request) -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    def reply(received: Order | Question, filler: str) -> Response:
        return Response(ENCODER.encode(Reply(received, filler)), media_type="application/json")

    after_order = filler_of(reply_bytes, beside=Order("tenant-000001", "ent_1", "verify"))
    after_question = filler_of(reply_bytes, beside=Question("ent_1", "health", "api_calls"))
    return Starlette(
        routes=[
            Route("/health", health),
            Route("/marketplace", marketplace, methods=["POST"]),
            Route("/v1/tenants/{tenant}/check", check, methods=["POST"]),
        ]
    )


def filler_of(reply_bytes: int, *, beside: Order | Question) -> str:
    return "x" * max(0, reply_bytes - len(ENCODER.encode(Reply(beside, ""))))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, required=True)
    options.add_argument("--reply-bytes", type=int, required=True)
    options.add_argument("--data-dir", help="taken so that every peer is started alike; nothing is kept")
    chosen = options.parse_args()
    uvicorn.run(
        application(chosen.reply_bytes),
        host="127.0.0.1",
        port=chosen.port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
