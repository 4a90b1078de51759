"""Hands a command to the corridor, and brings its decision back to the caller."""

from asyncio import CancelledError
from collections.abc import Sequence
from typing import Any, Final

from tai_autonomics.application.codec import request_digest
from tai_autonomics.application.corridor import Answer, Submission
from tai_autonomics.application.ports import Caller
from tai_autonomics.domain.identifiers import TenantId, parse_ledger, parse_tenant_id
from tai_autonomics.domain.tenant import Command
from tai_autonomics.ingress.authentication import require_tenant
from tai_autonomics.ingress.exchange import Exchange, Reply
from tai_autonomics.ingress.front_door import Entered, FrontDoor
from tai_autonomics.ingress.parsing import command_id
from tai_autonomics.ingress.replies import Item, is_ours, item_of, problem_of, reply_of
from tai_autonomics.ledger.records import Part

EVERY_TENANT: Final = "*"
"""How the log names the tenants of a list: those that the caller reaches. No tenant's id begins so."""
MARGIN_SECONDS: Final = 0.25
"""The corridor answers this long before the request is over, because its answer says more than a time-out."""
_COMMITS: Final = b'"commits":{'


def caller_of(exchange: Exchange) -> Caller:
    """The caller of a route that asks for one."""
    assert exchange.caller is not None
    return exchange.caller


def admit(exchange: Exchange, tenant: str) -> None:
    """The caller must reach the tenant, and the tenant have rate left. Raises Forbidden, Overloaded."""
    # First, so that the log says whose data was asked for by who may not have it, too.
    exchange.tenant = tenant
    require_tenant(caller_of(exchange), tenant)
    rates = exchange.rates
    exchange.first_in = rates.tenants.admit(tenant, 1, rates.clock.monotonic())


def tenant_of(exchange: Exchange) -> TenantId:
    """The tenant that the path names, admitted. Raises Malformed, Forbidden, Overloaded."""
    tenant = parse_tenant_id(exchange.parameters["tenant"])
    admit(exchange, tenant)
    return tenant


def ledger_of(exchange: Exchange) -> TenantId:
    """The same, where the fleet's own ledger may be read too: by whoever reaches every tenant."""
    name = parse_ledger(exchange.parameters["tenant"])
    admit(exchange, name)
    return name


def count_more(exchange: Exchange, tenant: str, count: int, *, paid: int = 0) -> None:
    """
    So many items more are asked for a tenant, and the caller owes them. Raises Overloaded(rate_limited).

    `paid`: so many of them are what the caller's bucket has already given for the request.
    """
    rates, caller = exchange.rates, caller_of(exchange)
    now = rates.clock.monotonic()
    rates.tenants.admit(tenant, count, now, first_in=exchange.first_in)
    if caller.rated:
        rates.callers.owe(caller.subject, count - paid, now)


def own_command_id(exchange: Exchange, door: FrontDoor, key: str | None) -> str:
    """The id of a direct call: its key, or a new ULID, which makes the call unrepeatable."""
    return command_id("http", caller_of(exchange).subject, key if key is not None else door.entropy.ulid())


def submission_of(
    exchange: Exchange,
    *,
    tenant: str,
    command: Command,
    id: str,
    source: str,
    asked: dict[str, Any],
    parts: tuple[tuple[str, bytes], ...] = (),
) -> Submission:
    """`asked` are the members that the request's digest covers."""
    return Submission(
        tenant=tenant,
        command=command,
        command_id=id,
        source=source,
        by=caller_of(exchange).subject,
        request=request_digest(asked),
        trace=exchange.trace,
        parts=parts,
        span=exchange.span,
    )


def reached_of(exchange: Exchange) -> Caller:
    """The caller of a list over tenants; the log says that it was of every tenant that the caller reaches."""
    exchange.tenant = EVERY_TENANT
    return caller_of(exchange)


async def decide(exchange: Exchange, door: FrontDoor, submission: Submission) -> Answer:
    """One command's receipt, durable. Raises what the corridor raises."""
    exchange.command_id = submission.command_id
    exchange.submitted = True
    answer = await door.corridor.submit(submission, timeout_seconds=seconds_left(exchange, door))
    exchange.receipt = answer.receipt.hash
    return answer


async def decide_all(
    exchange: Exchange, door: FrontDoor, submissions: Sequence[Submission]
) -> list[Answer | BaseException]:
    """Every command's receipt or error, in order. None waits for another, so they share few appends."""
    exchange.submitted = True
    return await submit_all(door, submissions, timeout_seconds=seconds_left(exchange, door))


async def submit_all(
    door: FrontDoor, submissions: Sequence[Submission], *, timeout_seconds: float
) -> list[Answer | BaseException]:
    """
    As `decide_all`, for whoever has so much time: a request, or the quarantine, which no request waits for.

    Submitting a long list takes some of it; the last one still has MARGIN_SECONDS.
    """
    entered: list[Entered | Exception] = []
    until = door.clock.monotonic() + timeout_seconds
    try:
        async for submission in door.turns.of(submissions):
            seconds = max(until - door.clock.monotonic(), MARGIN_SECONDS)
            try:
                entered.append(door.corridor.enter(submission, timeout_seconds=seconds))
            except Exception as error:  # noqa: BLE001  # one command's error is its own answer
                entered.append(error)
        return [await _outcome(each) for each in entered]
    except CancelledError:
        for each in entered:
            if not isinstance(each, Exception):
                each.leave()
        raise


async def _outcome(entered: Entered | Exception) -> Answer | BaseException:
    if isinstance(entered, Exception):
        return entered
    try:
        return await entered.answer()
    except Exception as error:  # noqa: BLE001  # one command's error is its own answer
        return error


async def reply_with(exchange: Exchange, door: FrontDoor, answer: Answer) -> Reply:
    """A decision's own response, with the parts of its receipt that still exist."""
    receipt = answer.receipt
    parts: tuple[Part, ...] = ()
    if _COMMITS in receipt.body:
        shown = await door.queries.receipt(receipt.tenant, receipt.seq)
        parts = () if shown is None else shown.parts
    reply, exchange.reason = reply_of(answer, parts, door.clock)
    return reply


async def items_with(exchange: Exchange, door: FrontDoor, outcomes: Sequence[Answer | BaseException]) -> list[Item]:
    """Each command's own answer among several."""
    return [item_with(exchange, door, outcome) async for outcome in door.turns.of(outcomes)]


def item_with(exchange: Exchange, door: FrontDoor, outcome: Answer | BaseException) -> Item:
    """One command's answer among several; an error of ours is told to the observer."""
    if isinstance(outcome, BaseException):
        if is_ours(outcome):
            tell_of(exchange, door, outcome)
        return problem_of(outcome, exchange.id)
    return item_of(outcome, door.clock)


def tell_of(exchange: Exchange, door: FrontDoor, error: BaseException) -> None:
    """Tell the observer of an error of ours; the request's id goes with its traceback."""
    error.add_note(f"request {exchange.id}")
    door.observer.failed(f"{exchange.method} {exchange.route}", error)


def seconds_left(exchange: Exchange, door: FrontDoor) -> float:
    """How long a request may still wait for the corridor."""
    return max(exchange.deadline - door.clock.monotonic() - MARGIN_SECONDS, MARGIN_SECONDS)
