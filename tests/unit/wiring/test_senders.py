"""Who may send without a token of ours is what the settings say."""

import asyncio
import base64
import subprocess
import sys
from collections.abc import Mapping

import pytest
from tests.engines.google_keys import ACCOUNT, AUDIENCE
from tests.unit.identity.issuer import MovableClock, verifier

from tai_autonomics.errors import InvalidSetting
from tai_autonomics.identity.webhooks import SignedWebhooks
from tai_autonomics.settings import Settings
from tai_autonomics.wiring.senders import Senders

WHSEC = "whsec_" + base64.b64encode(b"s" * 24).decode()
# A port that nobody listens on: what is fetched in the background fails at once.
PUSH = {
    "PUBSUB_PUSH_AUDIENCE": AUDIENCE,
    "PUBSUB_PUSH_SERVICE_ACCOUNT": ACCOUNT,
    "PUBSUB_PUSH_CERTS_URL": "https://127.0.0.1:1/certs",
}


class Quiet:
    def failed(self, what: str, error: BaseException) -> None: ...


def opened(environ: Mapping[str, str]) -> tuple[bool, bool]:
    """Whether Google's tokens are taken, and whether webhooks are; nothing of it goes on after it is closed."""

    async def ask() -> tuple[bool, bool]:
        senders = await Senders.open(Settings.load(environ).settings, MovableClock(), Quiet())  # type: ignore[arg-type]
        try:
            webhooks = senders.webhooks
            pushed = {"push_keys": "ok"} if "PUBSUB_PUSH_AUDIENCE" in environ else {}
            assert {check: result() for check, result in senders.published_keys.items()} == pushed
            assert webhooks is None or isinstance(webhooks, SignedWebhooks)
            return senders.pushing(verifier()) is not None, webhooks is not None
        finally:
            await senders.aclose()
            assert asyncio.all_tasks() == {asyncio.current_task()}

    return asyncio.run(ask())


def test_without_a_setting_nobody_sends_without_a_token() -> None:
    assert opened({}) == (False, False)


def test_each_sender_is_known_by_its_own_settings() -> None:
    assert opened(PUSH) == (True, False)
    assert opened({"MARKETPLACE_WEBHOOK_SECRETS": f"billing={WHSEC}"}) == (False, True)


def test_without_googles_library_a_push_subscription_stops_the_start_with_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "tai_autonomics.identity.push_tokens", raising=False)
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(InvalidSetting, match=r"^PUBSUB_PUSH_AUDIENCE: .*pip install 'tai-autonomics\[gcp\]'$"):
        opened(PUSH)
    assert opened({}) == (False, False)


def test_nothing_of_googles_is_imported_before_it_is_asked_for() -> None:
    ask = "import sys, tai_autonomics.wiring.senders; sys.exit(bool({'httpx', 'google.auth'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", ask], timeout=60, check=False).returncode == 0
