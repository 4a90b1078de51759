"""The secrets that sign webhooks: ours that go out, and those of the sources whose webhooks come in."""

import base64
import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct


class SigningSecrets(Struct, frozen=True):
    """Secrets that sign outgoing webhooks, by the receiver's host; "*" is every other host."""

    receivers: dict[str, tuple[bytes, ...]]

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        """Which receivers have how many, and none of the secrets."""
        return _without_secrets(self.receivers)


class WebhookSecrets(Struct, frozen=True):
    """Secrets that verify incoming webhooks, by the source's name."""

    sources: dict[str, tuple[bytes, ...]]

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        """Which sources have how many, and none of the secrets."""
        return _without_secrets(self.sources)


class WebhookTenants(Struct, frozen=True):
    """The tenants that a source of webhooks reaches; one that is not named reaches all."""

    sources: dict[str, frozenset[str]]

    def __str__(self) -> str:
        return " ".join(f"{source}={','.join(sorted(tenants))}" for source, tenants in self.sources.items())

    def without_secret(self, secrets: WebhookSecrets | None) -> tuple[str, ...]:
        """Sources that have none: a misspelt one would leave the source that was meant without a bound."""
        known = {} if secrets is None else secrets.sources
        return tuple(source for source in self.sources if source not in known)


def _without_secrets(entries: Mapping[str, tuple[bytes, ...]]) -> str:
    return " ".join(f"{name}=***" for name, secrets in entries.items() for _ in secrets)


SIGNING_SECRETS_MAX: Final = 4
"""Of one receiver: each makes one more signature of every webhook."""
WEBHOOK_SECRETS_MAX: Final = 32
"""Of all sources: each is tried on a webhook whose signature fits none before it."""
_SOURCE: Final = r"[a-z0-9][a-z0-9._-]{0,63}"
_NO_SOURCE: Final = "has an entry whose source is not 1 to 64 of a-z, 0-9, ., _ and -"


def parse_signing_secrets(text: str) -> SigningSecrets:
    return SigningSecrets(
        _secrets_by(
            text,
            r"\*|[a-z0-9.-]{1,253}|[0-9a-f:.]{2,45}",
            wrong="has an entry whose host is none (lower case, without a port)",
            of="host",
        )
    )


def parse_webhook_secrets(text: str) -> WebhookSecrets:
    sources = _secrets_by(text, _SOURCE, wrong=_NO_SOURCE, of="source")
    secrets = [secret for each in sources.values() for secret in each]
    if not 1 <= len(secrets) <= WEBHOOK_SECRETS_MAX:
        raise ValueError(f"has not 1 to {WEBHOOK_SECRETS_MAX} secrets")
    if len(set(secrets)) < len(secrets):
        raise ValueError("has a secret that is there twice, and a source is told by its secret")
    return WebhookSecrets(sources)


def parse_webhook_tenants(text: str) -> WebhookTenants:
    sources: dict[str, frozenset[str]] = {}
    for entry in text.split():
        source, _, tenants = entry.partition("=")
        if not re.fullmatch(_SOURCE, source):
            raise ValueError(_NO_SOURCE)
        if source in sources:
            raise ValueError("names a source twice")
        if not all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}", tenant) for tenant in tenants.split(",")):
            raise ValueError("has an entry whose tenants are none")
        sources[source] = frozenset(tenants.split(","))
    return WebhookTenants(sources)


def _secrets_by(text: str, pattern: str, *, wrong: str, of: str) -> dict[str, tuple[bytes, ...]]:
    found: dict[str, tuple[bytes, ...]] = {}
    for entry in text.split():
        name, _, secret = entry.partition("=")
        if not re.fullmatch(pattern, name):
            raise ValueError(wrong)
        found[name] = (*found.get(name, ()), _parse_whsec(secret))
    if any(len(secrets) > SIGNING_SECRETS_MAX for secrets in found.values()):
        raise ValueError(f"has more than {SIGNING_SECRETS_MAX} secrets for one {of}")
    return found


def _parse_whsec(text: str) -> bytes:
    try:
        secret = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError as error:
        raise ValueError("has a secret that is not base64") from error
    if not text.startswith("whsec_") or not 24 <= len(secret) <= 64:
        raise ValueError("has a secret that is not whsec_ and the base64 of 24 to 64 bytes")
    return secret
