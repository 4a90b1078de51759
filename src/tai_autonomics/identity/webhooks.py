"""
Webhooks that come in signed, as Standard Webhooks has them (standardwebhooks.com, specification 1.0.0).

    headers --all there, of now--> claim --body, each source's secrets--> its source, or 401

What is signed is `id.timestamp.body`. A dot in the id is let through: the timestamp is digits and the body that is
understood an object, so that no other id, timestamp and body have the same bytes.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from msgspec import Struct

from tai_autonomics.application.ports import Caller, Clock, ReceivedWebhook, WebhookClaim
from tai_autonomics.errors import Unauthenticated

SIGNATURES_MAX: Final = 16
"""In one header: a sender that replaces its secret has two."""
ROLE: Final = "integration"
_VERSION: Final = b"v1,"
_ID: Final = re.compile(rb"[!-~]{1,255}")
_TIMESTAMP: Final = re.compile(rb"[0-9]{1,12}")


class Sender(Struct, frozen=True):
    """A source: the secrets that it may sign with, and the tenants it reaches (None: every tenant)."""

    secrets: tuple[bytes, ...]
    tenants: frozenset[str] | None

    def __repr__(self) -> str:
        return f"Sender({len(self.secrets)} secrets, tenants={self.tenants})"


class SignedWebhooks:
    """Verifies webhooks; `senders` by the source's name, which no request says: the secret that fits tells it."""

    def __init__(self, senders: Mapping[str, Sender], clock: Clock, *, tolerance_seconds: int) -> None:
        self._senders, self._clock, self._tolerance_seconds = senders, clock, tolerance_seconds

    def replace(self, senders: Mapping[str, Sender]) -> None:
        """These are the sources from now on, also for a webhook whose body is still on its way."""
        self._senders = senders

    def claim(self, headers: Mapping[bytes, bytes]) -> WebhookClaim:
        webhook_id = headers.get(b"webhook-id", b"")
        timestamp = headers.get(b"webhook-timestamp", b"")
        signature = headers.get(b"webhook-signature", b"")
        if not (_ID.fullmatch(webhook_id) and _TIMESTAMP.fullmatch(timestamp)):
            raise Unauthenticated(
                "unauthenticated",
                "a webhook has a webhook-id of 1 to 255 visible ASCII characters, a webhook-timestamp in seconds since"
                " 1970 and a webhook-signature",
            )
        if abs(self._clock.now().timestamp() - int(timestamp)) > self._tolerance_seconds:
            detail = f"the webhook is stale: its webhook-timestamp is more than {self._tolerance_seconds} s from now"
            raise Unauthenticated("unauthenticated", detail)
        given = [each.removeprefix(_VERSION) for each in signature.split(b" ") if each.startswith(_VERSION)]
        if not 1 <= len(given) <= SIGNATURES_MAX:
            detail = f"a webhook-signature holds 1 to {SIGNATURES_MAX} signatures v1,<base64> between spaces"
            raise Unauthenticated("signature_invalid", detail)
        return WebhookClaim(webhook_id, timestamp, tuple(given))

    def verify(self, claim: WebhookClaim, body: bytes) -> ReceivedWebhook:
        content = b".".join((claim.id, claim.timestamp, body))
        for source, sender in self._senders.items():
            if any(_fits(secret, content, claim.signatures) for secret in sender.secrets):
                caller = Caller(f"webhook:{source}", frozenset({ROLE}), sender.tenants)
                return ReceivedWebhook(caller, source, claim.id.decode("ascii"))
        raise Unauthenticated("signature_invalid", "no signature is that of a secret known here over id.timestamp.body")


def _fits(secret: bytes, content: bytes, signatures: tuple[bytes, ...]) -> bool:
    expected = b64encode(hmac.digest(secret, content, sha256))
    return any(hmac.compare_digest(expected, given) for given in signatures)
