"""Google's real client on a channel whose calls fail where a test says: before they are sent, or once they are done."""

from collections.abc import Callable
from os import urandom
from typing import Any, Literal

import grpc
from google.cloud.firestore_v1.services.firestore import FirestoreAsyncClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcAsyncIOTransport
from msgspec import Struct
from tests.engines import firestore

from tai_autonomics.stores.firestore import FirestoreStore
from tai_autonomics.stores.firestore.engine import Engine

When = Literal["lost", "persisted", "late"]

TIMEOUT_SECONDS = 5.0


class Fault(Struct):
    """Strikes the next call of this name, once. `late`: it fails at once and arrives when `release` says so."""

    call: str
    when: When
    code: grpc.StatusCode


class Calls:
    """The faults still to come, those that struck, and every call that was made, in order."""

    def __init__(self) -> None:
        self.coming: list[Fault] = []
        self.struck: list[Fault] = []
        self.made: list[str] = []
        self._late: list[Callable[[], Any]] = []

    def expect(self, call: str, when: When, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        self.coming.append(Fault(call, when, code))

    def take(self, method: bytes | str) -> Fault | None:
        path = method.decode() if isinstance(method, bytes) else method
        name = path.rpartition("/")[2]
        self.made.append(name)
        fault = next((one for one in self.coming if one.call == name), None)
        if fault is not None:
            self.coming.remove(fault)
            self.struck.append(fault)
        return fault

    def keep(self, send: Callable[[], Any]) -> None:
        self._late.append(send)

    async def release(self) -> list[BaseException | None]:
        """Let the late calls arrive; what each ended with."""
        ends: list[BaseException | None] = []
        for send in self._late:
            try:
                await (await send())
                ends.append(None)
            except grpc.aio.AioRpcError as error:
                ends.append(error)
        self._late.clear()
        return ends

    async def open_store(self, project: str | None = None, **options: Any) -> FirestoreStore:
        """A store in the session's emulator whose calls these are."""
        channel = grpc.aio.insecure_channel(
            firestore.emulator().address, interceptors=[_Unary(self), _Stream(self)], options=[]
        )
        client = FirestoreAsyncClient(transport=FirestoreGrpcAsyncIOTransport(channel=channel))
        database = f"projects/{project or firestore.new_project()}/databases/(default)"
        engine = Engine(client, database=database, emulator=True, timeout_seconds=TIMEOUT_SECONDS)
        options = {"read_only": False, "quarantine_max": 3, "chance": urandom, **options}
        return firestore.hand_timed(FirestoreStore(engine, timeout_seconds=TIMEOUT_SECONDS, **options))


def _error(fault: Fault) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(fault.code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=f"fault: {fault.when}")


class _Unary(grpc.aio.UnaryUnaryClientInterceptor):
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        fault = self._calls.take(details.method)
        if fault is None:
            return await continuation(details, request)
        if fault.when == "persisted":
            await (await continuation(details, request))
        if fault.when == "late":
            self._calls.keep(lambda: continuation(details._replace(timeout=None), request))
        raise _error(fault)


class _Stream(grpc.aio.UnaryStreamClientInterceptor):
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        fault = self._calls.take(details.method)
        if fault is None:
            return await continuation(details, request)
        raise _error(fault)
