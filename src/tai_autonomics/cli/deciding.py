"""What an operator tells a tenant's governors: said to the running service, or decided here while none runs."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw, Struct

from tai_autonomics.cli.ledgers import Place
from tai_autonomics.cli.loop import complete
from tai_autonomics.cli.output import Output
from tai_autonomics.cli.statuses import ExitStatus
from tai_autonomics.domain.identifiers import parse_name, parse_tenant_id
from tai_autonomics.ledger.lines import reply

if TYPE_CHECKING:
    from tai_autonomics.cli.served import Decided
    from tai_autonomics.domain.tenant import Command
    from tai_autonomics.settings import Settings

TOLD: Final = frozenset({"event", "rules", "refused", "next step"})
"""Of an explanation, what an operator wants to know at once; `receipts explain` has the rest."""


class Word(Struct, frozen=True):
    """
    `path` is its route below the tenant's, `body` what it takes besides a reason.

    `operation`, `of` (what the path names) and `body` are what the request's digest covers.

    `command` makes the command of whoever says it; None: only a caller with a token of their own may.
    """

    path: str
    operation: str
    command: "Callable[[str], Command] | None"
    of: dict[str, str] = {}
    body: Mapping[str, str | int] = {}


def tell(place: Place, tenant: str, word: Word, reason: str | None, output: Output) -> ExitStatus:
    """
    Say it, and show what came of it; WRONG where it was refused.

    Raises Malformed for what is no id, Unknown, Unavailable, and what a service answers besides.
    """
    parse_tenant_id(tenant)
    for named in word.of.values():
        parse_name(named)
    decided = complete(decide(place, tenant, word, reason))
    return _show(tenant, decided, output)


async def decide(place: Place, tenant: str, word: Word, reason: str | None) -> "Decided":
    """The receipt, accepted or refused. Raises Unknown, Unavailable, and what a service answers besides."""
    if place.url is None:
        return await _decide_here(place.settings, tenant, word, reason)
    from tai_autonomics.cli import served

    async with served.connect(place.url, place.token_file) as service:
        return await service.tell(tenant, word.path, word.body, reason)


def _show(tenant: str, decided: "Decided", output: Output) -> ExitStatus:
    from tai_autonomics.cli import explaining

    explained = explaining.explain(reply(bytes(decided.receipt), decided.hash, ()))
    sentences = [each for each in explained.sentences if each.about in TOLD]
    said = [line.strip() for line in explaining.lines_of(msgspec.structs.replace(explained, sentences=sentences))]
    output.show(decided, f"{tenant}: receipt {explained.seq} {explained.hash}", *said)
    refused = any(each.about == "refused" for each in sentences)
    return ExitStatus.WRONG if refused else ExitStatus.YES


async def _decide_here(settings: "Settings", tenant: str, word: Word, reason: str | None) -> "Decided":
    from tai_autonomics.application.codec import request_digest
    from tai_autonomics.application.corridor import Submission
    from tai_autonomics.cli.erasing import BY, house_here
    from tai_autonomics.cli.served import Decided
    from tai_autonomics.cli.stored import Stored, open_store

    assert word.command is not None
    # A reader first: neither a store nor a ledger is begun by a word about what is there.
    async with open_store(settings) as store:
        await Stored(store, settings).receipt(tenant, None)
    asked = {"operation": word.operation, **word.of, **word.body}
    async with house_here(settings) as house:
        answer = await house.corridor.submit(
            Submission(
                tenant=tenant,
                command=word.command(BY),
                command_id=f"cli:{BY}:{house.entropy.ulid()}",
                source="cli",
                by=BY,
                request=request_digest(asked),
                parts=() if reason is None else (("reason", msgspec.json.encode(reason)),),
            ),
            timeout_seconds=settings.request_seconds_max,
        )
    return Decided(Raw(answer.receipt.body), answer.receipt.hash)
