"""
What the actuators on Google Cloud share: a channel with credentials, and a call's error as an outcome.

A call is made once: the clients' own retries are off, because the executor counts attempts.
"""

import asyncio
from typing import Any, Final

import google.auth
import grpc  # type: ignore[import-untyped]
from google.api_core import exceptions, grpc_helpers_async
from google.auth.exceptions import GoogleAuthError
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]

from tai_autonomics.actuators.telling import RETRY_AFTER_SECONDS_MAX, detail
from tai_autonomics.application.ports import NotDone, Uncertain
from tai_autonomics.errors import InvalidSetting

SCOPES: Final = ("https://www.googleapis.com/auth/cloud-platform",)
CHANNEL: Final = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 3_000),
    # gRPC would wait up to two minutes between two tries to connect.
    ("grpc.max_reconnect_backoff_ms", 2_000),
)

ERRORS: Final = (exceptions.GoogleAPICallError, GoogleAuthError, grpc.RpcError)
"""What a call may raise beside CancelledError."""

_SAYS_NO: Final = (
    exceptions.BadRequest,  # INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE
    exceptions.Unauthorized,
    exceptions.Forbidden,
    exceptions.NotFound,
    exceptions.Conflict,  # ALREADY_EXISTS, ABORTED
    exceptions.MethodNotImplemented,
    exceptions.ResourceExhausted,
)
"""Answers after which nothing was changed; every other error may hide a change."""
_TEMPORARY: Final = (exceptions.ResourceExhausted, exceptions.Aborted)


async def open_channel(host: str, *, emulator: str | None = None) -> grpc.aio.Channel:
    """
    To `host` with the application default credentials, or to an emulator without any; connects with the first call.

    Raises InvalidSetting where no credentials are found.
    """
    if emulator is not None:
        return grpc.aio.insecure_channel(emulator, options=CHANNEL)
    return grpc_helpers_async.create_channel(host, credentials=await _credentials(), options=CHANNEL)


async def _credentials() -> Any:
    try:
        # In a thread: it may look for a machine's metadata server.
        credentials, _ = await asyncio.to_thread(google.auth.default, scopes=SCOPES)
    except GoogleAuthError as error:
        raise InvalidSetting(
            "Google's application default credentials are not found: set GOOGLE_APPLICATION_CREDENTIALS, or run on"
            " Google Cloud with a service account"
        ) from error
    return credentials


async def is_connected(channel: grpc.aio.Channel) -> bool:
    """Whether a connection stands, once it does or is known not to. What is called without one is never sent."""
    state = channel.get_state(try_to_connect=True)
    while state is not grpc.ChannelConnectivity.READY:
        if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
            return False
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)
    return True


def of_reading(error: BaseException) -> NotDone:
    """The outcome of an attempt that failed before it changed anything."""
    temporary = isinstance(error, _TEMPORARY) or not isinstance(error, _SAYS_NO)
    return NotDone(told(error), temporary=temporary, retry_after_seconds=_retry_after_seconds(error))


def of_writing(error: BaseException) -> NotDone | Uncertain:
    """The outcome of an attempt whose change was sent: a connection that broke looks like a server that said 503."""
    return of_reading(error) if isinstance(error, _SAYS_NO) else Uncertain(told(error))


def told(error: BaseException) -> str:
    """The error by its code and what the server said of it."""
    if isinstance(error, exceptions.GoogleAPICallError):
        code = getattr(error.grpc_status_code, "name", None) or type(error).__name__
        return detail(f"Google answered {code}: {error.message}")
    return detail(f"Google could not be called: {type(error).__name__}")


def _retry_after_seconds(error: BaseException) -> float | None:
    for each in getattr(error, "details", None) or ():
        if isinstance(each, RetryInfo):
            seconds = float(each.retry_delay.seconds + each.retry_delay.nanos / 1e9)
            return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)
    return None
