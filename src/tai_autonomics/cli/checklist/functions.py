"""Functional Tests: both endpoints with good and bad input, validation, the form of errors, repeats, receipts."""

import base64
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from tai_autonomics.cli.checklist.asking import Answer
from tai_autonomics.cli.checklist.lines import Found, Row, Section, Wrong, failed, left_open, shown
from tai_autonomics.cli.checklist.run import ENTITLEMENT, Run
from tai_autonomics.cli.verifying import TrustedHeads, verify_lines
from tai_autonomics.errors import BrokenChain, TaiError
from tai_autonomics.ledger.lines import parse_line

RECEIPTS_MAX: Final = 200_000
"""Of one tenant; a load makes fewer."""
SUBSCRIPTION: Final = "projects/checklist/subscriptions/checklist"
MEMBERS: Final = ("type", "title", "detail", "instance", "reason", "next_step")
"""Strings that every problem has; its status is a number."""
USAGE_WITHOUT_KEY: Final = {"operation": "consume", "quota": "q", "amount": 1}


class Bad(Struct, frozen=True):
    """A request that is to be refused, and how."""

    says: str
    method: str
    path: str
    body: Any
    status: int
    content_type: str = "application/json"


def bad_requests(run: Run) -> tuple[Bad, ...]:
    tenant = run.names.first
    good = run.verify(tenant)
    return (
        Bad("a body that is not JSON", "POST", "/marketplace", b"{", 400),
        Bad("a member that is unknown", "POST", "/marketplace", {**good, "actoin": "grant"}, 400),
        Bad("a member that is missing", "POST", "/marketplace", {"tenant_id": tenant}, 400),
        Bad("a tenant id that is none", "POST", "/marketplace", {**good, "tenant_id": "~"}, 400),
        Bad("an entitlement id that is none", "POST", "/marketplace", {**good, "entitlement_id": "!"}, 400),
        Bad("an action that is unknown", "POST", "/marketplace", {**good, "action": "gift"}, 400),
        Bad("a member twice", "POST", "/marketplace", b'{"tenant_id":"x","tenant_id":"x","entitlement_id":"e"}', 400),
        Bad("a body of another type", "POST", "/marketplace", good, 415, "text/plain"),
        Bad("a push without a messageId", "POST", "/pubsub", {"message": {"data": "dGVzdA=="}}, 400),
        Bad("a check of a quota below 0", "POST", f"/v1/tenants/{tenant}/check", {"quota": "q", "amount": -1}, 400),
        Bad("usage without a key", "POST", f"/v1/tenants/{tenant}/usage", USAGE_WITHOUT_KEY, 400),
        Bad("a path that is not there", "GET", "/v1/nothing", None, 404),
        Bad("a method that is not there", "DELETE", "/marketplace", None, 405),
    )


async def pubsub_decides(run: Run) -> Found:
    tenant = run.names.pushed
    data = base64.b64encode(msgspec.json.encode(run.grant(tenant))).decode()
    push = {"message": {"data": data, "messageId": run.key("push")}, "subscription": SUBSCRIPTION}
    first = (await run.ask.post("/pubsub", push)).expect(200)
    run.entitled.append(tenant)
    sealed = _pushed(first)
    again = _pushed((await run.ask.post("/pubsub", push)).expect(200))
    if again != sealed:
        return failed(f"the second delivery of a message got {again}, the first {sealed}", first=sealed, second=again)
    return shown(f"a message was decided once: receipt {sealed}", receipt=sealed)


def _pushed(answer: Answer) -> str:
    match answer.members:
        case {"items": [{"status": 200, "hash": str(hash_)}]}:
            return hash_
        case {"quarantined": quarantined}:
            raise Wrong(f"the message was quarantined: {quarantined}")
        case _:
            raise Wrong(f"{answer.call} answered 200 and did not decide: {answer.content[:200]!r}")


class _Receipt(Struct):
    receipt: Raw
    hash: str


async def marketplace_decides(run: Run) -> Found:
    tenant = run.names.first
    (await run.ask.post("/marketplace", run.verify(tenant), good=False)).expect(403, "entitlement_inactive")
    granted = (await run.ask.post("/marketplace", run.grant(tenant), key=run.key("grant"))).expect(200)
    run.entitled.append(tenant)
    receipt = granted.read(_Receipt)
    own = sha256(bytes(receipt.receipt)).hexdigest()
    if not own == receipt.hash == granted.headers.get("receipt-hash"):
        return failed(f"the receipt's bytes hash to {own}, the answer says {receipt.hash}")
    verified = (await run.ask.post("/marketplace", run.verify(tenant))).expect(200).read(_Receipt)
    return shown(
        f"refused before the grant, in service after it: receipts {receipt.hash} and {verified.hash}",
        granted=receipt.hash,
        verified=verified.hash,
        plan=run.granted_plan.name,
    )


async def bad_input_is_refused(run: Run) -> Found:
    statuses, wrong = {}, []
    for bad in bad_requests(run):
        body = bad.body if isinstance(bad.body, bytes | None) else msgspec.json.encode(bad.body)
        headers = {} if body is None else {"content-type": bad.content_type}
        answer = await run.ask.call(bad.method, bad.path, body, headers=headers, good=False)
        statuses[bad.says] = answer.status
        if answer.status != bad.status:
            wrong.append(f"{bad.says}: {answer.status}, not {bad.status}")
    if wrong:
        return failed("; ".join(wrong), statuses=statuses)
    return shown(f"{len(statuses)} bad requests were refused, each with its status", statuses=statuses)


async def errors_have_their_form(run: Run) -> Found:
    errors = [each for each in run.ask.answers if each.status >= 400]
    wrong = {f"{each.call} {each.status}: {why}" for each in errors if (why := malformed(each))}
    if wrong:
        return failed("; ".join(sorted(wrong)[:5]), wrong=len(wrong), errors=len(errors))
    if not errors:
        return left_open("no request was refused")
    reasons = sorted({str(each.reason) for each in errors})
    return shown(f"{len(errors)} errors were problems (RFC 9457) of {len(reasons)} reasons", reasons=reasons)


def malformed(answer: Answer) -> str:
    """What of an error is not as docs/ENDPOINTS.md has it; "" for nothing."""
    if answer.path == "/health":
        return ""
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return f"content-type is {answer.headers.get('content-type')}"
    members = answer.members
    if lacking := [name for name in MEMBERS if not isinstance(members.get(name), str)]:
        return f"it lacks {', '.join(lacking)}"
    if members.get("status") != answer.status:
        return f"its member status is {members.get('status')}"
    if members.get("hash") != answer.headers.get("receipt-hash"):
        return f"its hash is {members.get('hash')}, the header's {answer.headers.get('receipt-hash')}"
    return ""


async def repeats_get_the_first_receipt(run: Run) -> Found:
    tenant, key = run.names.first, run.key("repeated")
    body = run.verify(tenant)
    first = (await run.ask.post("/marketplace", body, key=key)).expect(200)
    again = (await run.ask.post("/marketplace", body, key=key)).expect(200)
    hashes = [each.read(_Receipt).hash for each in (first, again)]
    if hashes[0] != hashes[1]:
        return failed(f"the repeat got receipt {hashes[1]}, the first call {hashes[0]}", receipts=hashes)
    if again.headers.get("idempotent-replayed") != "true":
        return failed("the repeat's answer does not say Idempotent-Replayed: true")
    other = await run.ask.post("/marketplace", run.grant(tenant, f"{ENTITLEMENT}-2"), key=key, good=False)
    other.expect(422, "idempotency_key_reused")
    return shown(f"a repeat got receipt {hashes[0]} again; other content under its key was refused", receipt=hashes[0])


async def receipts_verify(run: Run) -> Found:
    heads, receipts = {}, 0
    for tenant in run.tenants:
        head = (await run.ask.get(f"/v1/tenants/{tenant}/receipts/head")).expect(200).read(_Receipt)
        lines = [line async for line in _lines(run, tenant)]
        try:
            (verified,) = verify_lines(iter(lines), TrustedHeads({tenant: head.hash}))
        except BrokenChain as error:
            return failed(str(error), tenant=tenant)
        held = {parse_line(line).hash for line in lines}
        if lost := [each for each in run.ask.sealed if each.tenant == tenant and each.hash not in held]:
            return failed(f"receipt {lost[0].hash} of {tenant} was acknowledged and is not in its ledger")
        heads[tenant] = {"seq": verified.head.seq, "hash": verified.head.hash}
        receipts += verified.receipts
    if not heads:
        return left_open("no receipt was made")
    detail = f"{receipts:,} receipts of {len(heads)} tenants verify, and every acknowledged one is among them"
    return shown(detail, heads=heads, acknowledged=len(run.ask.sealed))


async def _lines(run: Run, tenant: str) -> AsyncIterator[bytes]:
    try:
        async for line in run.ask.ledgers.receipts(tenant, after=0, limit=RECEIPTS_MAX, type=None, subject=None):
            yield line
    except TaiError as error:
        raise Wrong(f"the receipts of {tenant} cannot be read: {error}") from error


SECTION: Final = Section(
    "Functional Tests",
    (
        Row("marketplace", "Marketplace endpoint accessible", marketplace_decides),
        Row("pubsub", "Pub/Sub endpoint accessible", pubsub_decides),
        Row("validation", "Request validation working", bad_input_is_refused),
        Row("error-format", "Error responses correct format", errors_have_their_form, late=True),
        Row(
            "idempotency",
            "A repeat gets the first receipt",
            repeats_get_the_first_receipt,
            needs=("marketplace",),
        ),
        Row("receipts", "Receipts verify", receipts_verify, late=True),
    ),
)
