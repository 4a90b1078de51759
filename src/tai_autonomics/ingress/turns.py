"""A long list takes turns with the other requests: no list holds the event loop for all of its items at once."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

ITEMS_AT_ONCE: Final = 10
"""Reading, submitting or answering so many takes a tenth of a millisecond; /health is due within five."""

T = TypeVar("T")


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """The items in order; after every few, whoever else waits for the event loop is served."""
    for number, item in enumerate(items):
        if number and number % ITEMS_AT_ONCE == 0:
            await asyncio.sleep(0)
        yield item
