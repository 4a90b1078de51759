"""
Changing one field of a Cloud Run service, as a comparison and a swap.

    read --the target is there--> settled? --> Done
      |  \\--another hand was there--> NotDone
      v
    write, with the etag that was read --etag is old--> read again
      |
    wait for the operation --> Done
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Final, Protocol, TypeVar

import grpc  # type: ignore[import-untyped]
from google.api_core import exceptions
from google.api_core.operation_async import AsyncOperation
from google.cloud.run_v2.services.revisions import RevisionsAsyncClient
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcAsyncIOTransport
from google.cloud.run_v2.services.services import ServicesAsyncClient
from google.cloud.run_v2.services.services.transports import ServicesGrpcAsyncIOTransport
from google.cloud.run_v2.types import ListRevisionsRequest, Revision, Service, UpdateServiceRequest
from google.protobuf.field_mask_pb2 import FieldMask  # type: ignore[import-untyped]

from tai_autonomics.actuators import google_calls
from tai_autonomics.actuators.telling import detail
from tai_autonomics.application.ports import Done, NotDone, Uncertain

T = TypeVar("T")

WRITES_MAX: Final = 4
"""So often one attempt writes, when others change the service between its reading and its writing."""
POLL_SECONDS: Final = 0.25
POLL_SECONDS_MAX: Final = 2.0
"""Between two looks at what is under way; the pause grows."""
REVISIONS_PAGE: Final = 100
REVISIONS_PAGES_MAX: Final = 10
"""Cloud Run keeps 1,000 revisions of a service."""


class Change(Protocol):
    """One absolute change of a service."""

    mask: str
    """The only field that is written."""

    def is_asked(self, service: Service) -> bool:
        """Whether the service is told to be as wanted."""
        ...

    def is_observed(self, service: Service) -> bool:
        """Whether it is, as far as it says so itself."""
        ...

    def by_another(self, service: Service) -> str | None:
        """What somebody else has made of the field since the target was resolved."""
        ...

    def fill(self, wanted: Service, service: Service) -> None:
        """The field, in `wanted`."""
        ...


class Services:
    """Cloud Run's services. Close it with `aclose`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._services = ServicesAsyncClient(transport=ServicesGrpcAsyncIOTransport(channel=channel))
        self._revisions = RevisionsAsyncClient(transport=RevisionsGrpcAsyncIOTransport(channel=channel))

    @classmethod
    async def open(cls, *, emulator: str | None = None) -> "Services":
        """Raises InvalidSetting where Google's credentials cannot be found. Connects with the first call."""
        host = ServicesGrpcAsyncIOTransport.DEFAULT_HOST
        return cls(await google_calls.open_channel(host, emulator=emulator))

    async def aclose(self) -> None:
        await self._channel.close()

    async def read(self, name: str) -> Service:
        """Raises google_calls.ERRORS."""
        return await self._services.get_service(name=name, retry=None, timeout=None)

    async def revisions(self, service: str) -> list[Revision]:
        """Those that are not being deleted, the newest first. Raises google_calls.ERRORS."""
        found = [each async for each in self._pages(service) if not each.delete_time]
        return sorted(found, key=lambda each: (each.create_time, each.name), reverse=True)

    async def _pages(self, service: str) -> AsyncIterator[Revision]:
        request = ListRevisionsRequest(parent=service, page_size=REVISIONS_PAGE)
        pager = await self._revisions.list_revisions(request=request, retry=None, timeout=None)
        pages = 0
        async for page in pager.pages:
            for each in page.revisions:
                yield each
            if (pages := pages + 1) == REVISIONS_PAGES_MAX:
                return

    async def make(self, name: str, change: Change, seconds: float) -> Done | NotDone | Uncertain:
        """The change, once, within `seconds`."""
        attempt = _Attempt(self, name, change)
        try:
            async with asyncio.timeout(seconds):
                return await attempt.run()
        except TimeoutError:
            if attempt.is_written:
                return Uncertain(f"accepted or sent, and not finished within {seconds:g} s")
            return NotDone(f"Cloud Run did not answer within {seconds:g} s", temporary=True)
        except google_calls.ERRORS as error:
            return google_calls.of_writing(error) if attempt.is_written else google_calls.of_reading(error)

    async def write(self, service: Service, mask: str) -> AsyncOperation:
        """Raises google_calls.ERRORS; Aborted where the etag is an old one."""
        request = UpdateServiceRequest(service=service, update_mask=FieldMask(paths=[mask]))
        return await self._services.update_service(request=request, retry=None, timeout=None)


class _Attempt:
    """`is_written`: the change was sent, or was found under way; what follows does not undo it."""

    def __init__(self, services: Services, name: str, change: Change) -> None:
        self._services, self._name, self._change = services, name, change
        self.is_written = False

    async def run(self) -> Done | NotDone | Uncertain:
        for _ in range(WRITES_MAX):
            service = await self._services.read(self._name)
            if self._change.is_asked(service):
                self.is_written = True
                return await self._settled(service)
            if (theirs := self._change.by_another(service)) is not None:
                return NotDone(detail(theirs), temporary=False)
            try:
                operation = await self._write(service)
            except exceptions.Aborted:
                self.is_written = False
                continue
            return await self._finished(operation)
        return NotDone(f"others changed the service {WRITES_MAX} times in between", temporary=True)

    async def _write(self, service: Service) -> AsyncOperation:
        wanted = Service(name=service.name, etag=service.etag)
        self._change.fill(wanted, service)
        self.is_written = True
        return await self._services.write(wanted, self._change.mask)

    async def _finished(self, operation: AsyncOperation) -> Done | NotDone | Uncertain:
        # result() would wait too, with pauses of up to twenty seconds.
        for pause in _pauses():
            if await operation.done(retry=None):  # type: ignore[no-untyped-call]
                break
            await asyncio.sleep(pause)
        try:
            service = await operation.result()  # type: ignore[no-untyped-call]
        except exceptions.GoogleAPICallError as error:
            return Uncertain(detail(f"accepted, and then failed: {error.message}"))
        return await self._settled(service)

    async def _settled(self, service: Service) -> Done | NotDone | Uncertain:
        for pause in _pauses():
            if not service.reconciling:
                break
            await asyncio.sleep(pause)
            service = await self._services.read(self._name)
        if not self._change.is_asked(service):
            return NotDone("somebody else has changed it since", temporary=False)
        if not self._change.is_observed(service):
            return Uncertain(detail(f"set, and not in effect: {service.terminal_condition.message}"))
        return Done("in effect")


def _pauses() -> Iterator[float]:
    pause = POLL_SECONDS
    while True:
        yield pause
        pause = min(pause * 1.5, POLL_SECONDS_MAX)


async def read_within(seconds: float, reading: Awaitable[T]) -> T | NotDone:
    """For resolving: what is read, or why it cannot be."""
    try:
        async with asyncio.timeout(seconds):
            return await reading
    except TimeoutError:
        return NotDone(f"Cloud Run did not answer within {seconds:g} s", temporary=True)
    except google_calls.ERRORS as error:
        return google_calls.of_reading(error)
