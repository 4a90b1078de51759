"""The secrets that sign outgoing webhooks."""

import base64
import re
from typing import Final

from msgspec import Struct


class SigningSecrets(Struct, frozen=True):
    """Secrets that sign outgoing webhooks, by the receiver's host; "*" is every other host."""

    receivers: dict[str, tuple[bytes, ...]]

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        """Which receivers have how many, and none of the secrets."""
        return " ".join(f"{host}=***" for host, secrets in self.receivers.items() for _ in secrets)


SIGNING_SECRETS_MAX: Final = 4
"""Of one receiver: each makes one more signature of every webhook."""


def parse_signing_secrets(text: str) -> SigningSecrets:
    receivers: dict[str, tuple[bytes, ...]] = {}
    for entry in text.split():
        host, _, secret = entry.partition("=")
        if not re.fullmatch(r"\*|[a-z0-9.-]{1,253}|[0-9a-f:.]{2,45}", host):
            raise ValueError("has an entry whose host is none (lower case, without a port)")
        receivers[host] = (*receivers.get(host, ()), _parse_whsec(secret))
    if any(len(secrets) > SIGNING_SECRETS_MAX for secrets in receivers.values()):
        raise ValueError(f"has more than {SIGNING_SECRETS_MAX} secrets for one host")
    return SigningSecrets(receivers)


def _parse_whsec(text: str) -> bytes:
    try:
        secret = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError as error:
        raise ValueError("has a secret that is not base64") from error
    if not text.startswith("whsec_") or not 24 <= len(secret) <= 64:
        raise ValueError("has a secret that is not whsec_ and the base64 of 24 to 64 bytes")
    return secret
