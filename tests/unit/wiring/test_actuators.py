"""Which types of action are available is what the settings say."""

import asyncio
import subprocess
import sys
from collections.abc import Iterable

import pytest
from tests.builders import governed, plan, plans, rule
from tests.contract.actuators.scenes import Standing

from tai_autonomics.domain.actions import (
    INSIDE,
    ActionType,
    Order,
    Publish,
    Rollback,
    Scale,
    SuspendEntitlements,
    Throttle,
    Webhook,
)
from tai_autonomics.domain.rules import Governance
from tai_autonomics.errors import InvalidPlans
from tai_autonomics.settings import Settings
from tai_autonomics.wiring.actuators import Actuators, orders_of

WHSEC = "whsec_" + "bm90aGluZyB0aGF0IG9wZW5zIGFueXRoaW5n"
HOOK = Webhook("https://hooks.example.com/")
SECRETS = {"TAI_WEBHOOK_SIGNING_SECRETS": f"hooks.example.com={WHSEC}"}
EMULATED = {"PUBSUB_EMULATOR_HOST": "127.0.0.1:1", "GCP_PROJECT_ID": "acme-prod"}
NO_CREDENTIALS = (
    "Google's application default credentials are not found: set GOOGLE_APPLICATION_CREDENTIALS, or run on"
    " Google Cloud with a service account"
)


@pytest.fixture(autouse=True)
def _nowhere_in_the_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("NO_GCE_CHECK", "true")


def opened(environ: dict[str, str], types: Iterable[ActionType]) -> tuple[set[str], dict[ActionType, str]]:
    """The types that are open after asking for some, and what the others lack."""

    async def ask() -> tuple[set[str], dict[ActionType, str]]:
        actuators = Actuators(Settings.load(environ).settings, Standing())
        lacking = await actuators.open(types)
        found = set(actuators.opened)
        await actuators.aclose()
        assert actuators.opened == {}
        return found, lacking

    return asyncio.run(ask())


def problems(environ: dict[str, str], *orders: Order) -> dict[Order, str]:
    async def ask() -> dict[Order, str]:
        actuators = Actuators(Settings.load(environ).settings, Standing())
        found = await actuators.problems_of(orders)
        await actuators.aclose()
        return found

    return asyncio.run(ask())


def test_what_is_inside_the_ledger_needs_no_setting() -> None:
    assert opened({}, INSIDE) == ({"entitlement.suspend", "throttle"}, {})
    acts = governed(rule(order=Throttle(1, 1, 60)), rule("stop", order=SuspendEntitlements()))
    asyncio.run(Actuators(Settings.load({}).settings, Standing()).check(acts))


def test_a_webhook_needs_a_secret() -> None:
    assert opened({}, ["webhook"]) == (set(), {"webhook": "TAI_WEBHOOK_SIGNING_SECRETS is not set"})
    assert opened(SECRETS, ["webhook", "entitlement.suspend"]) == ({"webhook", "entitlement.suspend"}, {})


def test_what_lies_in_google_cloud_needs_credentials_and_an_emulator_none() -> None:
    google: list[ActionType] = ["pubsub.publish", "cloud_run.scale", "cloud_run.rollback"]
    assert opened({}, google) == (set(), dict.fromkeys(google, NO_CREDENTIALS))
    assert opened(EMULATED, ["pubsub.publish"]) == ({"pubsub.publish"}, {})


def test_without_googles_client_its_types_say_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tai_autonomics.actuators.pubsub", "tai_autonomics.actuators.cloud_run"):
        monkeypatch.setitem(sys.modules, name, None)
    found, lacking = opened(EMULATED, ["pubsub.publish", "cloud_run.scale", "cloud_run.rollback"])
    assert (found, len(lacking)) == (set(), 3)
    for each in lacking.values():
        assert each.startswith("Google's client is not installed: pip install 'tai-autonomics[gcp]'")


def test_an_order_that_can_never_be_carried_out_says_why() -> None:
    other, wrong = Webhook("https://other.example.com/"), Webhook("hooks.example.com")
    topic = Publish("actions")
    assert problems(SECRETS, HOOK, other, wrong, topic, SuspendEntitlements()) == {
        other: "TAI_WEBHOOK_SIGNING_SECRETS has no secret for the receiver",
        wrong: "the URL is neither https://host/… nor http://host/…",
        topic: NO_CREDENTIALS,
    }
    without_project = {"PUBSUB_EMULATOR_HOST": "127.0.0.1:1"}
    assert problems(without_project, topic) == {topic: "the topic has a bare name, and GCP_PROJECT_ID is not set"}
    assert problems(EMULATED, topic, SuspendEntitlements()) == {}


def test_cloud_runs_names_are_looked_at_once_its_type_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    from google.auth.credentials import AnonymousCredentials

    monkeypatch.setattr("google.auth.default", lambda **_: (AnonymousCredentials(), None))
    orders = (Scale("api", step=1, max=2), Rollback("projects/acme-prod/locations/europe-west1/services/api"))
    assert problems({"GCP_PROJECT_ID": "acme-prod"}, *orders) == {
        orders[0]: "the service has a bare name, and TAI_GCP_REGION is not set"
    }
    assert problems({"GCP_PROJECT_ID": "acme-prod", "TAI_GCP_REGION": "europe-west1"}, *orders) == {}


def test_what_is_open_stays_open_when_more_is_asked_for() -> None:
    async def ask() -> bool:
        actuators = Actuators(Settings.load(SECRETS).settings, Standing())
        await actuators.open(["webhook"])
        first = actuators.opened["webhook"]
        await actuators.open(["webhook", "entitlement.suspend"])
        same = actuators.opened["webhook"] is first
        await actuators.aclose()
        return same

    assert asyncio.run(ask())


@pytest.mark.parametrize("retired", [False, True])
def test_a_rule_that_cannot_be_carried_out_says_when_its_plan_is_one_that_the_store_keeps(retired: bool) -> None:
    async def check() -> None:
        found = plans(plan(retired=retired, governor=Governance((rule(order=HOOK),), None, None)))
        await Actuators(Settings.load({}).settings, Standing()).check(found)

    with pytest.raises(InvalidPlans) as raised:
        asyncio.run(check())
    assert ("the file lacks this plan, which the store keeps" in str(raised.value)) is retired


def test_no_client_is_imported_before_a_type_is_asked_for() -> None:
    ask = "import sys, tai_autonomics.wiring; sys.exit(bool({'httpx', 'grpc', 'google.auth'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", ask], timeout=60, check=False).returncode == 0


def test_plans_without_rules_order_nothing() -> None:
    assert orders_of(plans(plan())) == ()
