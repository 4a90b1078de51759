"""Signatures of outgoing webhooks, as Standard Webhooks has them (standardwebhooks.com, specification 1.0.0)."""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime


def signed(secrets: Sequence[bytes], *, id: str, at: datetime, body: bytes) -> dict[str, str]:
    """
    The three headers. Every secret signs, so that a receiver may know the old or the new one while it is replaced.

    `id` is the same in every attempt; `at` is this attempt's own time, in whole seconds.
    """
    timestamp = str(int(at.timestamp()))
    content = b".".join((id.encode(), timestamp.encode(), body))
    signatures = (base64.b64encode(hmac.digest(secret, content, hashlib.sha256)).decode() for secret in secrets)
    return {
        "webhook-id": id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
