"""
Secret Manager as far as we call it: Google's own messages over gRPC, what they mean played in memory.

    AccessSecretVersion (a version by its number, its alias or "latest"; enabled, disabled and destroyed ones)
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

import grpc
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import SecretManagerServiceGrpcTransport
from google.cloud.secretmanager_v1.types import (
    AccessSecretVersionRequest,
    AccessSecretVersionResponse,
    SecretPayload,
    SecretVersion,
)

PROJECT_NUMBER: Final = 4711
"""Google answers with the number of a project, whatever it was asked by."""
State = SecretVersion.State

Before = Callable[[grpc.ServicerContext], None]


def refusing(code: grpc.StatusCode, message: str = "said so") -> Before:
    """A call that ends with the status."""

    def before(context: grpc.ServicerContext) -> None:
        context.abort(code, message)

    return before


class SecretManager:
    """`before` is a queue of what happens in place of the next calls; `denied` secrets may not be read."""

    def __init__(self) -> None:
        self.secrets: dict[str, list[tuple[bytes, State]]] = {}
        self.aliases: dict[tuple[str, str], int] = {}
        self.denied: set[str] = set()
        self.calls: list[str] = []
        self.before: list[Before] = []
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        self._server = grpc.server(ThreadPoolExecutor(4))
        handler = grpc.unary_unary_rpc_method_handler(
            self._access,
            request_deserializer=AccessSecretVersionRequest.deserialize,
            response_serializer=AccessSecretVersionResponse.serialize,
        )
        name = "google.cloud.secretmanager.v1.SecretManagerService"
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(name, {"AccessSecretVersion": handler}),)
        )
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        self._server.stop(None).wait()

    def add(self, secret: str, content: bytes, state: State = State.ENABLED) -> int:
        """A new version of projects/…/secrets/…, from now on the latest one; its number."""
        versions = self.secrets.setdefault(secret, [])
        versions.append((content, state))
        return len(versions)

    def hanging(self, context: grpc.ServicerContext) -> None:
        """No answer, as long as the caller waits."""
        gone = threading.Event()
        context.add_callback(gone.set)
        while not gone.wait(0.05) and not self._closing.is_set():
            pass

    def _access(
        self, request: AccessSecretVersionRequest, context: grpc.ServicerContext
    ) -> AccessSecretVersionResponse:
        self.calls.append(request.name)
        if self.before:
            self.before.pop(0)(context)
        secret, _, version = request.name.partition("/versions/")
        if secret in self.denied:
            permission = "Permission 'secretmanager.versions.access' denied"
            context.abort(grpc.StatusCode.PERMISSION_DENIED, f"{permission} for resource '{request.name}'")
        versions = self.secrets.get(secret, [])
        number = len(versions) if version == "latest" else self.aliases.get((secret, version), 0)
        number = number or (int(version) if version.isdigit() else 0)
        if not 1 <= number <= len(versions):
            context.abort(grpc.StatusCode.NOT_FOUND, f"Secret Version [{request.name}] not found.")
        content, state = versions[number - 1]
        if state is not State.ENABLED:
            message = f"Secret Version [{request.name}] is in {state.name} state."
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, message)
        short = secret.rpartition("/")[2]
        name = f"projects/{PROJECT_NUMBER}/secrets/{short}/versions/{number}"
        return AccessSecretVersionResponse(name=name, payload=SecretPayload(data=content))


def transport_to(address: str) -> SecretManagerServiceGrpcTransport:
    """What Google's client reaches the double by: its own transport, on a channel without TLS and credentials."""
    return SecretManagerServiceGrpcTransport(channel=grpc.insecure_channel(address))
