"""
Cloud Run's Admin API v2 as far as we call it: Google's own messages over gRPC, what they mean played in memory.

    GetService · UpdateService (field mask, etag, long-running operation) · ListRevisions (in pages) · GetOperation
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from types import TracebackType
from typing import Any, Final, Self

import grpc
from google.cloud.run_v2.types import (
    Condition,
    GetServiceRequest,
    ListRevisionsRequest,
    ListRevisionsResponse,
    Revision,
    Service,
    ServiceScaling,
    TrafficTarget,
    TrafficTargetAllocationType,
    TrafficTargetStatus,
    UpdateServiceRequest,
)
from google.longrunning import operations_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc.code_pb2 import UNAVAILABLE
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

START: Final = datetime(2026, 11, 1, tzinfo=UTC)
LATEST: Final = TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
REVISION: Final = TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION

Before = Callable[[grpc.aio.ServicerContext], Awaitable[None]]


def refusing(code: grpc.StatusCode, message: str = "said so", *, retry_after_seconds: int | None = None) -> Before:
    """A call that ends with the status; nothing of it is done."""

    async def before(context: grpc.aio.ServicerContext) -> None:
        if retry_after_seconds is not None:
            info = AnyMessage()
            retry = RetryInfo()
            retry.retry_delay.seconds = retry_after_seconds
            info.Pack(retry)
            status = Status(code=code.value[0], message=message, details=[info])
            context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
        await context.abort(code, message)

    return before


async def hanging(context: grpc.aio.ServicerContext) -> None:
    """No answer, as long as the caller waits."""
    await asyncio.get_running_loop().create_future()


class CloudRun:
    """
    `before[method]` is a queue of what happens in place of the next calls, `after[method]` of what follows the work of
    one and precedes its answer. An operation is done after `polls` looks at it.
    """

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.revisions: dict[str, list[Revision]] = {}
        self.calls: list[str] = []
        self.writes: list[UpdateServiceRequest] = []
        self.before: dict[str, list[Before]] = {}
        self.after: dict[str, list[Before]] = {}
        self.arrived = asyncio.Event()
        self.under_way = 0
        self.polls = 0
        self.operation_error: Status | None = None
        self._operations: dict[str, tuple[int, str]] = {}
        self._numbers = count(1)

    async def __aenter__(self) -> Self:
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers(
            (
                _handlers(
                    "google.cloud.run.v2.Services",
                    GetService=(self._get_service, GetServiceRequest.deserialize, Service.serialize),
                    UpdateService=(self._update_service, UpdateServiceRequest.deserialize, _bytes_of),
                ),
                _handlers(
                    "google.cloud.run.v2.Revisions",
                    ListRevisions=(self._list, ListRevisionsRequest.deserialize, ListRevisionsResponse.serialize),
                ),
                _handlers(
                    "google.longrunning.Operations",
                    GetOperation=(self._get_operation, operations_pb2.GetOperationRequest.FromString, _bytes_of),
                ),
            )
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._server.stop(None)

    def deploy(self, name: str, *, revisions: int = 3, minimum: int = 0) -> Service:
        """A service whose newest revision has all traffic, as after a deployment."""
        short = name.rpartition("/")[2]
        self.revisions[name] = [
            Revision(
                name=f"{name}/revisions/{short}-{number:05}",
                create_time=START + timedelta(hours=number),
                conditions=[Condition(type_="Ready", state=Condition.State.CONDITION_SUCCEEDED)],
            )
            for number in range(1, revisions + 1)
        ]
        service = Service(
            name=name,
            etag='"1"',
            scaling=ServiceScaling(min_instance_count=minimum),
            traffic=[TrafficTarget(type_=LATEST, percent=100)],
        )
        self.services[name] = service
        self._route(service)
        return service

    def touch(self, name: str) -> Service:
        """Somebody else has written the service."""
        service = self.services[name]
        service.etag = f'"{next(self._numbers) + 1}"'
        return service

    def route(self, name: str, **percents: int) -> None:
        """Somebody else has sent the traffic elsewhere; an underscore in a revision's name is a hyphen."""
        service = self.touch(name)
        service.traffic = [
            TrafficTarget(type_=REVISION, revision=revision.replace("_", "-"), percent=percent)
            for revision, percent in percents.items()
        ]
        self._route(service)

    def _route(self, service: Service) -> None:
        newest = self.revisions[service.name][-1].name.rpartition("/")[2]
        service.traffic_statuses = [
            TrafficTargetStatus(type_=each.type_, revision=each.revision or newest, percent=each.percent, tag=each.tag)
            for each in service.traffic
        ]

    async def _get_service(self, request: GetServiceRequest, context: grpc.aio.ServicerContext) -> Service:
        return await self._found(request.name, context)

    async def _update_service(
        self, request: UpdateServiceRequest, context: grpc.aio.ServicerContext
    ) -> operations_pb2.Operation:
        self.writes.append(request)
        service = await self._found(request.service.name, context)
        if request.service.etag and request.service.etag != service.etag:
            await context.abort(grpc.StatusCode.ABORTED, f"Conflict for resource '{service.name}'")
        changed = Service.to_json(service)
        mask = FieldMask(paths=list(request.update_mask.paths))
        mask.MergeMessage(Service.pb(request.service), Service.pb(service), True, True)
        if Service.to_json(service) != changed:
            self.touch(service.name)
        name = f"{service.name.rpartition('/services/')[0]}/operations/{next(self._numbers)}"
        self._operations[name] = (self.polls, service.name)
        service.reconciling = True
        return self._operation(name)

    async def _get_operation(
        self, request: operations_pb2.GetOperationRequest, context: grpc.aio.ServicerContext
    ) -> operations_pb2.Operation:
        polls, service = self._operations[request.name]
        self._operations[request.name] = (polls - 1, service)
        return self._operation(request.name)

    def _operation(self, name: str) -> operations_pb2.Operation:
        polls, of_service = self._operations[name]
        operation = operations_pb2.Operation(name=name, done=polls <= 0)
        if not operation.done:
            return operation
        service = self.services[of_service]
        service.reconciling = False
        if self.operation_error is not None:
            operation.error.CopyFrom(self.operation_error)
        else:
            self._route(service)
            operation.response.Pack(Service.pb(service))
        return operation

    async def _list(self, request: ListRevisionsRequest, context: grpc.aio.ServicerContext) -> ListRevisionsResponse:
        # In the order of the names, which is not that of their age; two a page, whatever is asked for.
        listed = sorted(self.revisions[request.parent], key=lambda each: each.name)
        start = int(request.page_token or 0)
        more = start + 2 < len(listed)
        return ListRevisionsResponse(
            revisions=listed[start : start + 2], next_page_token=str(start + 2) if more else ""
        )

    async def _found(self, name: str, context: grpc.aio.ServicerContext) -> Service:
        if name not in self.services:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Resource '{name}' was not found")
        return self.services[name]

    async def call(self, method: str, work: Any, request: Any, context: grpc.aio.ServicerContext) -> Any:
        self.calls.append(method)
        self.under_way += 1
        self.arrived.set()
        try:
            if queue := self.before.get(method):
                await queue.pop(0)(context)
            answer = await work(request, context)
            if queue := self.after.get(method):
                await queue.pop(0)(context)
            return answer
        finally:
            self.under_way -= 1


def failed(message: str) -> Status:
    """The error that an operation ends with."""
    return Status(code=UNAVAILABLE, message=message)


def _bytes_of(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _handlers(service: str, **methods: tuple[Any, Any, Any]) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        service,
        {
            name: grpc.unary_unary_rpc_method_handler(
                _behind(name, work), request_deserializer=read, response_serializer=write
            )
            for name, (work, read, write) in methods.items()
        },
    )


def _behind(name: str, work: Any) -> Any:
    async def handle(request: Any, context: grpc.aio.ServicerContext) -> Any:
        return await work.__self__.call(name, work, request, context)

    return handle
