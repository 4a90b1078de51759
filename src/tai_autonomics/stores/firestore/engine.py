"""
Google's Firestore client: each call with a time limit and without retries, errors in the words of this house.

The generated client is used, not the layer of references and snapshots above it: that one encodes a value at a time
through wrapper objects (500 claims: 80 ms of the event loop; here: 2 ms) and fixes its channel's options.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, Literal

import google.auth
import grpc  # type: ignore[import-untyped]
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud.firestore_v1 import types
from google.cloud.firestore_v1.services.firestore import FirestoreAsyncClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcAsyncIOTransport
from msgspec import Struct
from msgspec.structs import replace

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.stores.firestore.documents import RECEIPTS, Write, fill, plain
from tai_autonomics.stores.firestore.queries import Query

RECONNECT_MILLISECONDS_MAX: Final = 2_000
"""gRPC would wait up to two minutes between two tries to connect."""

CHANNEL: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # How long an attempt to connect may take at least, which is more than a TLS handshake on a cold machine needs.
    ("grpc.min_reconnect_backoff_ms", 3_000),
    ("grpc.max_reconnect_backoff_ms", RECONNECT_MILLISECONDS_MAX),
)

COMMIT_BYTES_MAX: Final = 10 * 1024 * 1024
EMULATOR_COMMIT_BYTES_MAX: Final = 4 * 1024 * 1024
"""What the engine takes in one commit."""

NAMES_MAX: Final = 1_000
"""Documents asked for in one call."""

WRITES_MAX: Final = 500
"""Writes of one BatchWrite call, which is the engine's own bound."""

Refusal = Literal["condition", "contended", "exhausted"]


class NotStored(Exception):
    """A commit that the engine refused: nothing of it is stored. Never leaves this package."""

    def __init__(self, why: Refusal, detail: str) -> None:
        super().__init__(f"Firestore: {detail}")
        self.why: Refusal = why


class Found(Struct, frozen=True, gc=False):
    """A document as it was read."""

    path: str
    content: dict[str, Any]
    update_time: Any

    @property
    def id(self) -> str:
        return self.path.rpartition("/")[2]


class Engine:
    """
    One database. `timeout_seconds` bounds each call. Close it with `aclose`.

    `collection` is the name that the database has for the collection RECEIPTS; nobody above knows it.
    """

    def __init__(
        self,
        client: FirestoreAsyncClient,
        *,
        database: str,
        collection: str = RECEIPTS,
        emulator: bool,
        timeout_seconds: float,
    ) -> None:
        self._client = client
        self._database = database
        self._collection = collection
        self._documents = f"{database}/documents"
        self._timeout_seconds = timeout_seconds
        self._commit_bytes_max = EMULATOR_COMMIT_BYTES_MAX if emulator else COMMIT_BYTES_MAX
        self._metadata = [("google-cloud-resource-prefix", database)]
        if emulator:
            self._metadata.append(("authorization", "Bearer owner"))

    @classmethod
    async def connect(
        cls, project: str, database: str, *, collection: str, emulator: str | None, timeout_seconds: float
    ) -> "Engine":
        """Raises StoreUnavailable where Google's credentials cannot be found. Connects with the first call."""
        transport = FirestoreGrpcAsyncIOTransport(channel=await _channel(emulator))
        return cls(
            FirestoreAsyncClient(transport=transport),
            database=f"projects/{project}/databases/{database}",
            collection=collection,
            emulator=emulator is not None,
            timeout_seconds=timeout_seconds,
        )

    async def aclose(self) -> None:
        await self._client.transport.close()  # type: ignore[no-untyped-call]

    async def commit(self, writes: Sequence[Write]) -> list[Any]:
        """
        All of the writes or none, durable on return; the update_time of each document.

        Raises NotStored, and StoreUnavailable when the commit may have been stored or not.
        """
        request = types.CommitRequest.pb()(database=self._database, writes=map(self._write, writes))
        size = request.ByteSize()
        # Of Google's own refusal could be said only that it will be one every time; the emulator says "exhausted".
        assert size <= self._commit_bytes_max, f"a commit of {size} bytes: Firestore takes {self._commit_bytes_max}"
        with _errors(writing=True):
            response = await self._client.commit(
                request=types.CommitRequest.wrap(request), **self._call("database", self._database)
            )
        return [result.update_time for result in types.CommitResponse.pb(response).write_results]

    async def commit_if(self, writes: Sequence[Write]) -> bool:
        """The same for writes that nobody contends for: False when a condition of theirs does not hold."""
        try:
            await self.commit(writes)
        except NotStored as refused:
            if refused.why != "condition":
                raise StoreUnavailable(str(refused)) from refused
            return False
        return True

    async def write_each(self, writes: Sequence[Write]) -> list[bool]:
        """Each write by itself: whether it was stored. Raises StoreUnavailable when that cannot be said."""
        stored: list[bool] = []
        for start in range(0, len(writes), WRITES_MAX):
            some = writes[start : start + WRITES_MAX]
            request = types.BatchWriteRequest.pb()(database=self._database, writes=map(self._write, some))
            with _errors():
                response = await self._client.batch_write(
                    request=types.BatchWriteRequest.wrap(request), **self._call("database", self._database)
                )
            stored.extend(status.code == 0 for status in types.BatchWriteResponse.pb(response).status)
        return stored

    async def get(self, paths: Iterable[str]) -> dict[str, Found]:
        """The documents that exist, by their path."""
        found, _ = await self._get(list(paths))
        return found

    async def now(self) -> datetime:
        """The engine's clock: when it read a document that is not there. Costs one read."""
        _, read_time = await self._get(["meta/clock"])
        return read_time

    async def _get(self, paths: Sequence[str]) -> tuple[dict[str, Found], datetime]:
        found: dict[str, Found] = {}
        read_time = datetime.fromtimestamp(0, UTC)
        for start in range(0, len(paths), NAMES_MAX):
            names = [self._name(path) for path in paths[start : start + NAMES_MAX]]
            request = types.BatchGetDocumentsRequest.pb()(database=self._database, documents=names)
            with _errors():
                answers = await self._client.batch_get_documents(
                    request=types.BatchGetDocumentsRequest.wrap(request), **self._call("database", self._database)
                )
                async for answer in answers:
                    read = types.BatchGetDocumentsResponse.pb(answer)
                    read_time = read.read_time.ToDatetime(UTC)
                    if read.WhichOneof("result") == "found":
                        one = self._found(read.found)
                        found[one.path] = one
        return found, read_time

    async def query(
        self, query: Query, *values: str | int | Sequence[int], limit: int, parent: str = ""
    ) -> list[Found]:
        """What the query finds, in its order; `values` are those that it compares with, `parent` the document above."""
        place = f"{self._documents}/{parent}" if parent else self._documents
        if query.collection == RECEIPTS:
            query = replace(query, collection=self._collection)
        request = types.RunQueryRequest.pb()(
            parent=place, structured_query=query.structured(limit, place=place, values=values)
        )
        with _errors():
            answers = await self._client.run_query(
                request=types.RunQueryRequest.wrap(request), **self._call("parent", place)
            )
            return [self._found(document) async for document in _documents(answers)]

    async def count(self, query: Query, *, up_to: int) -> int:
        """How many documents the query finds, counted no further than `up_to`: one read a thousand."""
        aggregation = types.StructuredAggregationQuery.pb()()
        aggregation.structured_query.CopyFrom(query.structured(up_to, place=self._documents, values=()))
        counted = aggregation.aggregations.add()
        counted.alias = "count"
        counted.count.SetInParent()
        request = types.RunAggregationQueryRequest.pb()(
            parent=self._documents, structured_aggregation_query=aggregation
        )
        with _errors():
            answers = await self._client.run_aggregation_query(
                request=types.RunAggregationQueryRequest.wrap(request), **self._call("parent", self._documents)
            )
            async for answer in answers:
                result = types.RunAggregationQueryResponse.pb(answer).result
                return int(result.aggregate_fields["count"].integer_value)
        raise StoreUnavailable("Firestore: a count without an answer")

    def _call(self, key: str, value: str) -> dict[str, Any]:
        # retry=None: the client would repeat a commit by itself, and meet its own write as another's.
        routing = ("x-goog-request-params", f"{key}={value}")
        return {"retry": None, "timeout": self._timeout_seconds, "metadata": [*self._metadata, routing]}

    def _name(self, path: str) -> str:
        collection, separator, rest = path.partition("/")
        return f"{self._documents}/{self._collection if collection == RECEIPTS else collection}{separator}{rest}"

    def _found(self, document: Any) -> Found:
        collection, separator, rest = document.name.removeprefix(f"{self._documents}/").partition("/")
        path = f"{RECEIPTS if collection == self._collection else collection}{separator}{rest}"
        return Found(path, plain(document.fields), document.update_time)

    def _write(self, write: Write) -> Any:
        made = types.Write.pb()()
        name = self._name(write.path)
        if write.content is None:
            made.delete = name
        else:
            made.update.name = name
            fill(made.update.fields, write.content)
            if write.only:
                made.update_mask.SetInParent()
                made.update_mask.field_paths.extend(write.content)
        if write.stamped:
            transform = made.update_transforms.add()
            transform.field_path = write.stamped
            transform.set_to_server_value = types.DocumentTransform.FieldTransform.ServerValue.REQUEST_TIME
        if write.exists is not None:
            made.current_document.exists = write.exists
        elif write.update_time is not None:
            made.current_document.update_time.CopyFrom(write.update_time)
        return made


async def _channel(emulator: str | None) -> grpc.aio.Channel:
    if emulator is not None:
        return grpc.aio.insecure_channel(emulator, options=CHANNEL)
    try:
        credentials, _ = await asyncio.to_thread(google.auth.default, scopes=FirestoreGrpcAsyncIOTransport.AUTH_SCOPES)
    except GoogleAuthError as error:
        raise StoreUnavailable(f"Firestore: no credentials: {error}") from error
    return FirestoreGrpcAsyncIOTransport.create_channel(
        FirestoreGrpcAsyncIOTransport.DEFAULT_HOST, credentials=credentials, options=CHANNEL
    )


async def _documents(answers: Any) -> AsyncIterator[Any]:
    async for answer in answers:
        read = types.RunQueryResponse.pb(answer)
        if read.HasField("document"):
            yield read.document


@contextmanager
def _errors(*, writing: bool = False) -> Iterator[None]:
    """The engine's errors in our words; only those of a commit can say that nothing was stored."""
    try:
        yield
    except (exceptions.AlreadyExists, exceptions.FailedPrecondition, exceptions.NotFound) as error:
        raise _refused("condition", error, writing=writing) from error
    except exceptions.Aborted as error:
        raise _refused("contended", error, writing=writing) from error
    except exceptions.ResourceExhausted as error:
        raise _refused("exhausted", error, writing=writing) from error
    except (exceptions.InvalidArgument, exceptions.OutOfRange) as error:
        raise AssertionError(f"Firestore cannot hold this: {error.message}") from error
    except (exceptions.GoogleAPICallError, GoogleAuthError, grpc.RpcError) as error:
        raise StoreUnavailable(f"Firestore: {error}") from error
    except (grpc.aio.UsageError, asyncio.InvalidStateError) as error:
        raise StoreUnavailable(f"Firestore: the connection is closed: {error}") from error


def _refused(why: Refusal, error: exceptions.GoogleAPICallError, *, writing: bool) -> Exception:
    return NotStored(why, error.message) if writing else StoreUnavailable(f"Firestore: {error.message}")
