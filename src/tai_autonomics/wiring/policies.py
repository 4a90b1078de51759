"""The plans that decide, and how they are replaced."""

import asyncio
from collections.abc import Awaitable, Callable

from tai_autonomics.application.ports import Clock, Store
from tai_autonomics.domain.moments import moment_of
from tai_autonomics.domain.plans import Plans
from tai_autonomics.errors import InvalidSetting
from tai_autonomics.policy.file import carry_over, load, shipped
from tai_autonomics.settings import Settings


class PlansInForce:
    """
    The plans that decide, and how they are replaced.

    A file is stored before the first decision under it. A plan that the new file lacks keeps its last stored
    definition, as retired: customers may hold it.
    """

    def __init__(self, store: Store, clock: Clock, settings: Settings) -> None:
        self._store, self._clock, self._settings = store, clock, settings
        self._plans: Plans | None = None

    def __call__(self) -> Plans:
        assert self._plans is not None, "plans are read before anything is decided"
        return self._plans

    async def read(self, fits: Callable[[Plans], Awaitable[None]] | None = None) -> Plans:
        """
        Put the file in force, unless `fits` raises.

        Raises InvalidPlans, InvalidSetting, StoreUnavailable; then nothing changes.
        """
        newest = await self._store.newest_policy()
        # In a thread: a large file takes seconds, and requests go on.
        text, read = await asyncio.to_thread(self._parse, None if newest is None else newest[1])
        if fits is not None:
            await fits(read)
        await self._store.keep_policy(read.digest, text, moment_of(self._clock.now()))
        self._plans = read
        return read

    def _parse(self, previous: bytes | None) -> tuple[bytes, Plans]:
        name, text = plans(self._settings)
        read = load(text, name=name)
        if previous is None:
            return text, read
        carried = carry_over(text, previous)
        return carried, read if carried is text else load(carried, name=name)


def plans(settings: Settings) -> tuple[str, bytes]:
    """Name and text of the plans file: PLANS_FILE, or the package's own."""
    if settings.plans_file is None:
        return "plans.yaml", shipped()
    try:
        return str(settings.plans_file), settings.plans_file.read_bytes()
    except OSError as error:
        raise InvalidSetting(f"PLANS_FILE: {settings.plans_file} cannot be read: {error.strerror}") from error
