"""Those who send without a token of ours: sources of signed webhooks."""

from tai_autonomics.application.ports import Clock, WebhookVerifier
from tai_autonomics.identity.webhooks import Sender, SignedWebhooks
from tai_autonomics.settings import Settings


def webhooks(settings: Settings, clock: Clock) -> WebhookVerifier | None:
    """What verifies the webhooks of POST /marketplace; None where no source has a secret."""
    secrets, tenants = settings.marketplace_webhook_secrets, settings.marketplace_webhook_tenants
    if secrets is None:
        return None
    reached = {} if tenants is None else tenants.sources
    senders = {source: Sender(known, reached.get(source)) for source, known in secrets.sources.items()}
    return SignedWebhooks(senders, clock, tolerance_seconds=settings.marketplace_webhook_tolerance_seconds)
