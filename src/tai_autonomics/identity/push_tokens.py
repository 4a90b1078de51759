"""
Google's token of a push subscription: an OIDC ID token (RS256) of the subscription's service account.

    token --iss: ours--> the own verifier
      +-----iss: Google's--> header --kid--> certificate --signature, time--> claims --aud, email--> Caller

It says nothing of roles and tenants: who may configure the subscription acts as integration on all of them.
"""

import math
from base64 import urlsafe_b64decode
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, Final, Literal

import msgspec
from google.auth import exceptions, jwt
from msgspec import Meta, Struct

from tai_autonomics.application.ports import Caller, Clock, Verifier
from tai_autonomics.errors import Unauthenticated
from tai_autonomics.identity.tokens import KEPT_SECONDS_MAX, TOKEN_CHARACTERS_MAX

ROLE: Final = "integration"
KEPT_TOKENS_MAX: Final = 100
"""A subscription uses one token for many pushes."""
_Seconds = Annotated[int, Meta(ge=0, le=253_402_300_799)]


class Subscription(Struct, frozen=True, kw_only=True):
    """Whose pushes are taken: what the subscription's OIDC token is configured to say. Seconds."""

    audience: str
    service_account: str
    leeway_seconds: float


class _Header(Struct, frozen=True):
    """The algorithm is this one, whatever the library would take besides."""

    alg: Literal["RS256"]
    kid: Annotated[str, Meta(min_length=1, max_length=255)]


class _Origin(Struct, frozen=True):
    iss: Literal["https://accounts.google.com", "accounts.google.com"]


class _Claims(_Origin, frozen=True):
    aud: str
    iat: _Seconds
    exp: _Seconds
    email: str = ""
    email_verified: bool = False


class _Kept(Struct, frozen=True, gc=False):
    caller: Caller
    since: datetime
    until: datetime


_origins: Final = msgspec.json.Decoder(_Origin)


class PushTokenVerifier:
    """Verifies what POST /pubsub takes: Google's tokens of one subscription, and through `own` the own ones."""

    def __init__(
        self,
        own: Verifier,
        certificate: Callable[[str], Awaitable[str | None]],
        subscription: Subscription,
        clock: Clock,
    ) -> None:
        """`certificate` gives that of a kid, in PEM, or None; it may raise KeysUnavailable."""
        self._own, self._certificate, self._subscription, self._clock = own, certificate, subscription, clock
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._not_googles: set[str] = set()
        """Own tokens that were good once, so that they need not be opened twice at every push."""

    async def verify(self, token: str) -> Caller:
        """Raises Unauthenticated, KeysUnavailable."""
        if token in self._not_googles:
            return await self._own.verify(token)
        if not is_googles(token):
            caller = await self._own.verify(token)
            if len(self._not_googles) >= KEPT_TOKENS_MAX:
                self._not_googles.clear()
            self._not_googles.add(token)
            return caller
        digest, now = sha256(token.encode()).digest(), self._clock.now()
        kept = self._kept.get(digest)
        if kept is not None and kept.since <= now < kept.until:
            return kept.caller
        self._kept.pop(digest, None)
        self._kept[digest] = kept = await self._verify(token, now)
        if len(self._kept) > KEPT_TOKENS_MAX:
            self._kept.popitem(last=False)
        return kept.caller

    async def _verify(self, token: str, now: datetime) -> _Kept:
        header, claims = _read(token)
        certificate = await self._certificate(header.kid)
        if certificate is None:
            raise _refused("none of Google's certificates has the token's kid")
        self._check_signature_and_time(token, {header.kid: certificate}, claims, now)
        self._check_subscription(claims)
        left = claims.exp + self._subscription.leeway_seconds - now.timestamp()
        caller = Caller(claims.email, frozenset({ROLE}), None, rated=False)
        return _Kept(caller, now, now + timedelta(seconds=min(left, KEPT_SECONDS_MAX)))

    def _check_signature_and_time(
        self, token: str, certificates: dict[str, str], claims: _Claims, now: datetime
    ) -> None:
        """The shape is known to be right, so each of the library's errors means one thing."""
        leeway = self._subscription.leeway_seconds
        try:
            # Whole seconds, as the library's own clock has them.
            jwt.decode(token, certs=certificates, clock_skew_in_seconds=math.floor(leeway))  # type: ignore[no-untyped-call]
        except exceptions.MalformedError as error:
            raise Unauthenticated("signature_invalid", "the signature is not that of Google's key") from error
        except exceptions.InvalidValue as error:
            if claims.iat > now.timestamp() + leeway:
                raise _refused("the token is not good yet") from error
            raise Unauthenticated("token_expired", "the token has expired") from error

    def _check_subscription(self, claims: _Claims) -> None:
        # Pub/Sub's reference: the audience is case-insensitive.
        if claims.aud.lower() != self._subscription.audience.lower():
            raise _refused("aud is not the audience that is configured for the push subscription")
        if claims.email != self._subscription.service_account or not claims.email_verified:
            raise _refused("email is not the verified one of the push subscription's service account")


def is_googles(token: str) -> bool:
    """Whether the token says that Google issued it; nothing of it is verified."""
    _, _, rest = token.partition(".")
    try:
        _origins.decode(urlsafe_b64decode(rest.partition(".")[0] + "=="))
    except (ValueError, msgspec.MsgspecError, RecursionError):
        return False
    return True


def _read(token: str) -> tuple[_Header, _Claims]:
    """What the token says, in the shape that it must have. Raises Unauthenticated."""
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise _refused(f"a token has at most {TOKEN_CHARACTERS_MAX} characters")
    try:
        header: Any = jwt.decode_header(token)  # type: ignore[no-untyped-call]
        claims: Any = jwt.decode(token, verify=False)  # type: ignore[no-untyped-call]
        return msgspec.convert(header, _Header), msgspec.convert(claims, _Claims)
    except (exceptions.GoogleAuthError, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _refused("this is no ID token of Google's: RS256 with kid, aud, iat and exp") from error


def _refused(detail: str) -> Unauthenticated:
    return Unauthenticated("unauthenticated", detail)
