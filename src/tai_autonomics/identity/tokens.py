"""
Bearer tokens: a JWT (RFC 7519, signed as RFC 7515) becomes a Caller, or the reason why not.

    bytes --shape--> header --kid--> our key --signature--> claims --time, iss, aud--> Caller, kept at most 60 s

The key names the algorithm (RFC 8725 section 3.1); a key, or a place of a key, inside a token is never looked at.

A provider's subject may hold colons (`system:serviceaccount:…`, `spiffe://…`): in a command id they are written %3A, so
that no caller reaches the idempotency keys of another.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Protocol

from jwt import PyJWK, PyJWS
from jwt.exceptions import InvalidTokenError
from jwt.utils import base64url_decode
from msgspec import Struct

from tai_autonomics.application.ports import Caller, Clock
from tai_autonomics.domain.identifiers import parse_tenant_id
from tai_autonomics.errors import Malformed, Unauthenticated

ROLES: Final = frozenset({"viewer", "integration", "operator", "auditor", "admin"})
ALGORITHMS: Final = ("EdDSA", "ES256", "RS256")
NO_SUCH_KID: Final = "no key has this kid"
TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""`typ`, where there is one: a token made for another purpose by the same issuer is none of ours (RFC 8725, 3.11)."""
TOKEN_CHARACTERS_MAX: Final = 8192
KEPT_SECONDS_MAX: Final = 60
KEPT_TOKENS_MAX: Final = 10_000
SUBJECT: Final = re.compile(r"[!-~]{1,128}")
_JWS: Final = PyJWS(ALGORITHMS)
_COMPACT: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
_NUMERIC_DATE_MAX: Final = 253_402_300_799
"""9999-12-31T23:59:59Z, the last second that has a date."""


class Issuance(Struct, frozen=True, kw_only=True):
    """Whose tokens are good here and for how long. Seconds."""

    issuer: str
    audience: str
    leeway_seconds: float
    lifetime_seconds_max: int
    subject_claim: str = "sub"
    roles_claim: str = "roles"
    tenants_claim: str = "tenants"
    """Each a member's name, or with a slash before it an RFC 6901 pointer (`/realm_access/roles`)."""


class _Kept(Struct, frozen=True, gc=False):
    """A caller whose token was verified at `since`; a clock that went back before it is no reason to trust it."""

    caller: Caller
    since: datetime
    until: datetime


class KeySource(Protocol):
    """Where the keys that verify come from."""

    async def find(self, kid: str | None) -> PyJWK | None:
        """The key of this kid, or without a kid the only one; None where there is none. Raises KeysUnavailable."""


class TokenVerifier:
    """Verifies bearer tokens. `keys` is asked at every verification, so that a key can be added or taken away."""

    def __init__(self, keys: KeySource, issuance: Issuance, clock: Clock) -> None:
        self._keys = keys
        self._issuance = issuance
        self._clock = clock
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()

    async def verify(self, token: str) -> Caller:
        """Raises Unauthenticated, and KeysUnavailable where its key cannot be had now."""
        if len(token) > TOKEN_CHARACTERS_MAX or not token.isascii():
            raise Unauthenticated("unauthenticated", f"a token is ASCII, at most {TOKEN_CHARACTERS_MAX} characters")
        digest = sha256(token.encode()).digest()
        now = self._clock.now()
        kept = self._kept.get(digest)
        if kept is not None and kept.since <= now < kept.until:
            self._kept.move_to_end(digest)
            return kept.caller
        self._kept.pop(digest, None)
        self._kept[digest] = kept = await _verify(token, self._keys, self._issuance, now)
        if len(self._kept) > KEPT_TOKENS_MAX:
            self._kept.popitem(last=False)
        return kept.caller


def mint(
    signing: PyJWK,
    *,
    subject: str,
    roles: frozenset[str],
    tenants: frozenset[str] | None,
    issuance: Issuance,
    now: datetime,
    lifetime_seconds: int,
) -> str:
    """
    A token of our own; `tenants` None reaches every tenant. Raises Malformed for what `verify` would refuse.

    `signing` must be one of the verifying keys' private halves, named by the same kid.
    """
    issued = int(now.timestamp())
    claims: dict[str, Any] = {
        "iss": issuance.issuer,
        "aud": issuance.audience,
        "iat": issued,
        "exp": issued + lifetime_seconds,
    }
    _set_claim(claims, issuance.subject_claim, subject)
    _set_claim(claims, issuance.roles_claim, sorted(roles))
    _set_claim(claims, issuance.tenants_claim, "*" if tenants is None else sorted(tenants))
    if not 0 < lifetime_seconds <= issuance.lifetime_seconds_max:
        raise _malformed("exp", f"a token lives 1 to {issuance.lifetime_seconds_max} seconds")
    if _caller_of(claims, issuance).roles != roles:
        raise _malformed("roles", f"roles are of {', '.join(sorted(ROLES))}")
    token = _JWS.encode(json.dumps(claims).encode(), signing, headers={"kid": signing.key_id})
    if len(token) > TOKEN_CHARACTERS_MAX:
        raise _malformed("tenants", f"the token would have more than {TOKEN_CHARACTERS_MAX} characters")
    return token


async def _verify(token: str, keys: KeySource, issuance: Issuance, now: datetime) -> _Kept:
    """The order of the work: shape, key, signature, claims, time. Raises Unauthenticated, KeysUnavailable."""
    try:
        header, payload = _split(token)
        _check_signature(token, await _key_for(header, keys))
        claims = _json_object(payload, what="payload")
        _check_origin(claims, issuance)
        seconds_left = _check_times(claims, issuance, now)
        caller = _caller_of(claims, issuance)
    except Malformed as error:
        raise Unauthenticated("unauthenticated", error.detail) from error
    return _Kept(caller, now, now + timedelta(seconds=min(seconds_left, KEPT_SECONDS_MAX)))


def _split(token: str) -> tuple[dict[str, object], str]:
    found = _COMPACT.fullmatch(token)
    if found is None:
        raise _malformed("", "a token is three parts of base64url without padding, joined by dots")
    return _json_object(found[1], what="header"), found[2]


def _json_object(segment: str, *, what: str) -> dict[str, object]:
    """Strict where RFC 8725 section 2.4 and RFC 7515 section 4 say so: UTF-8, an object, no member twice."""

    def members(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a member is there twice")
        return dict(pairs)

    try:
        value = json.loads(base64url_decode(segment).decode(), object_pairs_hook=members)
    except (ValueError, RecursionError) as error:
        raise _malformed("", f"the {what} is not strict JSON in base64url") from error
    if not isinstance(value, dict):
        raise _malformed("", f"the {what} is not an object")
    return value


async def _key_for(header: Mapping[str, object], keys: KeySource) -> PyJWK:
    if "crit" in header or "b64" in header:
        raise _malformed("crit", "the token asks for an extension; none is understood")
    if str(header.get("typ", "JWT")).lower() not in TYPES:
        raise _malformed("typ", "typ is not JWT")
    kid = header.get("kid")
    if "kid" in header and not isinstance(kid, str):
        raise _malformed("kid", "kid is not a string")
    key = await keys.find(kid if isinstance(kid, str) else None)
    if key is None:
        names_none = "kid" not in header
        raise _malformed("kid", "the token names no key (kid), and there are several" if names_none else NO_SUCH_KID)
    if header.get("alg") != key.algorithm_name:
        raise _malformed("alg", "alg is not the algorithm of the key")
    return key


def _check_signature(token: str, key: PyJWK) -> None:
    try:
        _JWS.decode(token, key, algorithms=[key.algorithm_name])
    except InvalidTokenError as error:
        raise Unauthenticated("signature_invalid", "the signature is not that of the key") from error


def _check_origin(claims: Mapping[str, object], issuance: Issuance) -> None:
    if claims.get("iss") != issuance.issuer:
        raise _malformed("iss", "iss is not the issuer whose tokens are good here")
    match claims.get("aud"):
        case str(audience) if audience == issuance.audience:
            pass
        case list(audiences) if issuance.audience in audiences and all(isinstance(one, str) for one in audiences):
            pass
        case _:
            raise _malformed("aud", "aud does not name this service")


def _check_times(claims: Mapping[str, object], issuance: Issuance, now: datetime) -> float:
    """The seconds for which the token is still good, leeway included (RFC 7519 sections 4.1.4 to 4.1.6)."""
    seconds, leeway = now.timestamp(), issuance.leeway_seconds
    issued, expires = _numeric_date(claims, "iat"), _numeric_date(claims, "exp")
    if seconds >= expires + leeway:
        raise Unauthenticated("token_expired", "the token has expired")
    if issued > seconds + leeway or ("nbf" in claims and _numeric_date(claims, "nbf") > seconds + leeway):
        raise _malformed("nbf", "the token is not good yet")
    if not 0 < expires - issued <= issuance.lifetime_seconds_max:
        raise _malformed("exp", f"a token lives at most {issuance.lifetime_seconds_max} seconds from iat to exp")
    return expires + leeway - seconds


def _numeric_date(claims: Mapping[str, object], name: str) -> float:
    """RFC 7519 section 2: seconds since 1970, not always whole; text and true are none."""
    match claims.get(name):
        case bool():
            pass
        case int(seconds) | float(seconds) if 0 <= seconds <= _NUMERIC_DATE_MAX:
            return seconds
    raise _malformed(name, f"{name} is not there or not a date in seconds since 1970")


def _caller_of(claims: Mapping[str, object], issuance: Issuance) -> Caller:
    """A provider's list of roles may hold names of others, which say nothing here."""
    subject = _claim(claims, issuance.subject_claim)
    roles = _texts(_claim(claims, issuance.roles_claim)) & ROLES
    if not isinstance(subject, str) or SUBJECT.fullmatch(subject) is None:
        detail = f"{issuance.subject_claim} is not 1 to 128 printable ASCII characters without a space"
        raise _malformed(issuance.subject_claim, detail)
    if not roles:
        detail = f"{issuance.roles_claim} is no list with one at least of {', '.join(sorted(ROLES))}"
        raise _malformed(issuance.roles_claim, detail)
    return Caller(subject, roles, _tenants(claims, issuance.tenants_claim))


def _tenants(claims: Mapping[str, object], name: str) -> frozenset[str] | None:
    claim = _claim(claims, name)
    if claim == "*":
        return None
    tenants = _texts(claim)
    if not tenants:
        raise _malformed(name, f'{name} is neither "*" nor a list with one tenant id at least')
    return frozenset(parse_tenant_id(tenant) for tenant in tenants)


def _claim(claims: Mapping[str, object], name: str) -> object:
    """A member of the claims, by its name or, where the name begins with a slash, by an RFC 6901 pointer to it."""
    found: object = claims
    for member in _path_of(name):
        found = found.get(member) if isinstance(found, dict) else None
    return found


def _set_claim(claims: dict[str, Any], name: str, value: object) -> None:
    *path, last = _path_of(name)
    for member in path:
        claims = claims.setdefault(member, {})
    claims[last] = value


def _path_of(name: str) -> tuple[str, ...]:
    if not name.startswith("/"):
        return (name,)
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in name[1:].split("/"))


def _texts(claim: object) -> frozenset[str]:
    """The strings of a list; nothing at all when it is no list or holds anything else."""
    if not isinstance(claim, list) or not all(isinstance(one, str) for one in claim):
        return frozenset()
    return frozenset(claim)


def _malformed(claim: str, detail: str) -> Malformed:
    return Malformed("malformed_request", detail, pointer=f"/{claim}" if claim else "")
