"""What a deployment may have and need not: each feature, the variable that brings it, and whether it is on."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from tai_autonomics.settings.loading import Settings
from tai_autonomics.settings.table import TABLE

FEATURES: Final = {
    "otlp_endpoint": "traces",
    "metrics_address": "metrics without a token",
    "pubsub_push_audience": "pushes with Google's token",
    "marketplace_webhook_secrets": "signed webhooks to us",
    "webhook_signing_secrets": "actions by webhook",
    "gcp_project_id": "a Google Cloud project",
    "jwt_jwks_url": "an identity provider",
    "plans_file": "plans of your own",
    "backups_dir": "a list of erasures beside the backups",
}
"""By the field of the settings that is None where the feature is off."""


class Feature(Struct, frozen=True):
    """`variable` brings it."""

    name: str
    variable: str
    on: bool


def features(settings: Settings) -> Iterator[Feature]:
    """Every one, in the order of the table."""
    for field, name in FEATURES.items():
        yield Feature(name, TABLE[field].name, getattr(settings, field) is not None)


def switched_off(settings: Settings) -> str:
    """Those that are off, each with its variable, for a person."""
    return ", ".join(f"{each.name} ({each.variable})" for each in features(settings) if not each.on)
