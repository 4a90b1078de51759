"""Those who send without a token of ours: Google's push subscription, and sources of signed webhooks."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import Final

from tai_autonomics.application.ports import Clock, Observer, Verifier
from tai_autonomics.errors import InvalidSetting
from tai_autonomics.identity.webhooks import Sender, SignedWebhooks
from tai_autonomics.settings import Settings, WebhookSecrets, WebhookTenants

NO_LIBRARY: Final = "PUBSUB_PUSH_AUDIENCE: google-auth is not installed ({why}): pip install 'tai-autonomics[gcp]'"


class Senders:
    """What verifies them, each None where it is not configured. Close it with `aclose`."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._tenants = settings.marketplace_webhook_tenants
        self.webhooks: SignedWebhooks | None = None
        if (secrets := settings.marketplace_webhook_secrets) is not None:
            tolerance = settings.marketplace_webhook_tolerance_seconds
            self.webhooks = SignedWebhooks(_sources(secrets, self._tenants), clock, tolerance_seconds=tolerance)
        self.published_keys: Mapping[str, Callable[[], str]] = {}
        """The health checks of keys that others publish."""
        self._push: Callable[[Verifier], Verifier] | None = None
        self._opened = AsyncExitStack()

    @classmethod
    async def open(cls, settings: Settings, clock: Clock, observer: Observer) -> "Senders":
        """Waits for nobody: Google's certificates are fetched beside. Raises InvalidSetting without the library."""
        senders = cls(settings, clock)
        audience, account = settings.pubsub_push_audience, settings.pubsub_push_service_account
        if audience is not None and account is not None:
            await senders._open_push(settings, audience, account, clock, observer)
        return senders

    async def _open_push(
        self, settings: Settings, audience: str, service_account: str, clock: Clock, observer: Observer
    ) -> None:
        # Imported only where it is named: the library takes a fifth of a second, the client a tenth.
        with _library():
            from tai_autonomics.identity.push_tokens import PushTokenVerifier, Subscription
        from tai_autonomics.identity.fetching import fetching
        from tai_autonomics.identity.push_keys import GoogleCertificates

        subscription = Subscription(
            audience=audience, service_account=service_account, leeway_seconds=settings.jwt_leeway_seconds
        )
        fetch = await self._opened.enter_async_context(fetching(settings.pubsub_push_certs_url))
        certificates = GoogleCertificates(fetch, clock, observer)
        self._opened.push_async_callback(certificates.aclose)
        refreshing = asyncio.get_running_loop().create_task(certificates.run(), name="push_keys")
        self._opened.push_async_callback(_end, refreshing)
        self.published_keys = {"push_keys": certificates.result}
        self._push = lambda own: PushTokenVerifier(own, certificates.find, subscription, clock)

    def pushing(self, own: Verifier) -> Verifier | None:
        """Verifies what POST /pubsub takes; `own` the tokens that are not Google's."""
        return None if self._push is None else self._push(own)

    def replace_secrets(self, secrets: WebhookSecrets) -> None:
        """
        Webhooks are verified by these from now on; each source reaches the tenants that it did.

        Raises InvalidSetting where a start would: a source that has tenants is left without a secret. Nothing changes.
        """
        assert self.webhooks is not None, "what is replaced was there at the start"
        unknown = () if self._tenants is None else self._tenants.without_secret(secrets)
        if unknown:
            raise InvalidSetting(f"has no secret for {', '.join(unknown)}, which MARKETPLACE_WEBHOOK_TENANTS names")
        self.webhooks.replace(_sources(secrets, self._tenants))

    async def aclose(self) -> None:
        await self._opened.aclose()


async def push_kids(settings: Settings) -> tuple[str, ...]:
    """The kids of Google's certificates now. Raises KeysUnavailable, and InvalidSetting without the library."""
    with _library():
        from tai_autonomics.identity.push_tokens import PushTokenVerifier  # noqa: F401  # a service needs it
    from tai_autonomics.identity.fetching import fetching
    from tai_autonomics.identity.push_keys import certificates_of

    async with fetching(settings.pubsub_push_certs_url) as fetch:
        return tuple(certificates_of(await fetch()))


@contextmanager
def _library() -> Iterator[None]:
    """Around the import of Google's library."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InvalidSetting(NO_LIBRARY.format(why=error)) from error


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _sources(secrets: WebhookSecrets, tenants: WebhookTenants | None) -> dict[str, Sender]:
    reached = {} if tenants is None else tenants.sources
    return {source: Sender(known, reached.get(source)) for source, known in secrets.sources.items()}
