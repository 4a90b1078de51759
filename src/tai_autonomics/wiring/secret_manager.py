"""
Google's Secret Manager, asked through its own client for what a secret's version holds, within a bounded time.

Who asks needs roles/secretmanager.secretAccessor on the secret, and Google's application default credentials.
"""

import logging
from typing import Final

import grpc  # type: ignore[import-untyped]
from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import SecretManagerServiceGrpcTransport

from tai_autonomics.errors import InvalidSetting
from tai_autonomics.settings import Fetched

FETCH_SECONDS_MAX: Final = 10.0
"""For all tries of one secret, once credentials are found."""
TRY_SECONDS_MAX: Final = 3.0
SAID_CHARACTERS_MAX: Final = 300
ROLE: Final = "roles/secretmanager.secretAccessor"

_RETRY: Final = Retry(
    predicate=if_exception_type(
        exceptions.ServiceUnavailable, exceptions.DeadlineExceeded, exceptions.ResourceExhausted, exceptions.Aborted
    ),
    initial=0.25,
    maximum=2.0,
    timeout=FETCH_SECONDS_MAX - TRY_SECONDS_MAX,
)
"""No try begins later than that."""

# At log level debug, and where GOOGLE_SDK_PYTHON_LOGGING_SCOPE asks for it, the client would log what it was answered.
logging.getLogger(SecretManagerServiceGrpcTransport.__module__).disabled = True


def fetch(name: str) -> Fetched:
    """Of projects/…/secrets/…/versions/…: see settings.Fetch. Blocks."""
    try:
        with SecretManagerServiceClient(transport=transport()) as client:
            answer = client.access_secret_version(name=name, retry=_RETRY, timeout=TRY_SECONDS_MAX)
    except (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError, grpc.RpcError) as error:
        raise InvalidSetting(_why(error)) from error
    return Fetched(answer.payload.data, answer.name.rpartition("/")[2])


def transport() -> SecretManagerServiceGrpcTransport:
    """To Google, with the application default credentials. Raises GoogleAuthError where there are none."""
    return SecretManagerServiceGrpcTransport()


def _why(error: Exception) -> str:
    cause = error.cause if isinstance(error, exceptions.RetryError) and error.cause is not None else error
    match cause:
        case exceptions.NotFound():
            return f"there is no such secret, or no such version of it ({_said(cause)})"
        case exceptions.Forbidden():
            return f"permission denied: whoever runs this needs {ROLE} on the secret ({_said(cause)})"
        case exceptions.FailedPrecondition():
            return f"the version is disabled or destroyed ({_said(cause)})"
        case exceptions.ServiceUnavailable() | exceptions.DeadlineExceeded():
            return f"Secret Manager did not answer within {FETCH_SECONDS_MAX:g} s ({_said(cause)})"
        case exceptions.GoogleAPICallError():
            return f"Secret Manager answered {_said(cause)}"
        case GoogleAuthError():
            return (
                "Google's application default credentials are not found or not good: set"
                " GOOGLE_APPLICATION_CREDENTIALS, or run on Google Cloud with a service account"
            )
        case _:
            return f"Secret Manager could not be called: {type(cause).__name__}"


def _said(error: exceptions.GoogleAPICallError) -> str:
    code = getattr(error.grpc_status_code, "name", None) or type(error).__name__
    text = f"{code}: {error.message}" if error.message else code
    return " ".join(text.split())[:SAID_CHARACTERS_MAX]
