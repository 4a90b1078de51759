"""
Delivers again what rests in the quarantine.

    its time has come --> understood --> every command decided, now or before --> released
                            |              +-- not yet: again later, the pause doubles
                            +-- not understood, not allowed: waits for an operator

A message takes the way of POST /pubsub, so a command that an earlier delivery decided is a duplicate, and a crash
between deciding and releasing costs one more delivery. The door's rates are for callers and do not count here: one
message at a time is delivered, and a rate counted a command would never let a long message end.
"""

import asyncio
from datetime import timedelta
from typing import Final

from tai_autonomics.application.ports import Caller, Store
from tai_autonomics.domain.moments import moment_of
from tai_autonomics.errors import Forbidden, Malformed
from tai_autonomics.ingress.delivering import Delivery, decide_items, tell_refused, undecided, understand
from tai_autonomics.ingress.exchange import TurnedAway
from tai_autonomics.ingress.front_door import FrontDoor
from tai_autonomics.ingress.replies import is_ours, problem_of
from tai_autonomics.ledger.records import Quarantined

POLL_SECONDS: Final = 1.0
PAGE_MAX: Final = 16
"""Messages read at once; one may have 10 MB."""
PAUSE_SECONDS: Final = 2.0
PAUSE_SECONDS_MAX: Final = 300.0


class Redriving:
    """Polls the store every POLL_SECONDS; `run` ends when its task is cancelled or the service begins to stop."""

    def __init__(self, door: FrontDoor, store: Store) -> None:
        self._door, self._store = door, store

    async def run(self) -> None:
        while not self._door.drain.begun:
            try:
                more = await self.redrive_due() == PAGE_MAX
            except Exception as error:  # noqa: BLE001  # whatever it is, the next poll may find it mended
                self._door.observer.failed("redriving", error)
                more = False
            await asyncio.sleep(0 if more else POLL_SECONDS)

    async def redrive_due(self) -> int:
        """
        Deliver a page of the messages whose time has come, and say how many there were.

        Raises what the whole instance or store is in: the rest of the page waits for the next poll.
        """
        messages = await self._store.to_redrive(moment_of(self._door.clock.now()), PAGE_MAX)
        for message in messages:
            if not self._door.drain.begun:
                await self._redrive(message)
        return len(messages)

    async def _redrive(self, message: Quarantined) -> None:
        try:
            cause = await self._delivered(message)
        except (Malformed, TurnedAway, Forbidden) as refusal:
            await self._put_off(message, refusal.reason, until=None)
        except Exception as error:
            # Put off too, so that a message that cannot be served does not stop those behind it.
            await self._again_later(message, error)
            if not is_ours(error):
                raise
            error.add_note(f"quarantined message {message.id}")
            self._door.observer.failed("redriving", error)
        else:
            if cause is None:
                await self._store.release_quarantined(message.id)
            else:
                await self._again_later(message, cause)

    async def _delivered(self, message: Quarantined) -> BaseException | None:
        """What still leaves a command of it undecided, as `undecided` says and raises."""
        items = await understand(_delivery_of(message), self._door)
        outcomes = await decide_items(
            self._door, items, admit=_anyone, timeout_seconds=self._door.limits.request_seconds
        )
        cause = undecided(items, outcomes)
        tell_refused(self._door, items, outcomes)
        return cause

    async def _again_later(self, message: Quarantined, error: BaseException) -> None:
        until = redrive_at(self._door, redrives=message.redrives + 1)
        await self._put_off(message, problem_of(error, "").reason, until=until)

    async def _put_off(self, message: Quarantined, reason: str, *, until: str | None) -> None:
        await self._store.put_off_quarantined(
            message.id, reason=reason, redrives=message.redrives + 1, redrive_at=until
        )


def redrive_at(door: FrontDoor, *, redrives: int) -> str:
    """When a message is delivered again after so many times: the pause doubles, at least half of it is kept."""
    pause = min(PAUSE_SECONDS_MAX, PAUSE_SECONDS * 2.0 ** min(redrives, 32))
    chance = int.from_bytes(door.entropy.bytes(4), "big") / 2.0**32
    return moment_of(door.clock.now() + timedelta(seconds=pause * (1 + chance) / 2))


def _delivery_of(message: Quarantined) -> Delivery:
    """As it first came. Data that was not base64 was kept as it was, and is read so now."""
    tenants = None if message.tenants is None else frozenset(message.tenants)
    caller = Caller(message.by, frozenset(), tenants)
    return Delivery(message.subscription, message.message_id, caller, message.trace, message.payload)


def _anyone(tenant: str, count: int) -> None: ...
