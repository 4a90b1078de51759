"""
Which types of action can be carried out here, and the actuators that do it.

    the orders of a plans file --> open the types that are configured, say of each other order what it lacks
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from tai_autonomics.actuators.inside import Inside
from tai_autonomics.actuators.names import Place, service, topic
from tai_autonomics.application.ports import Actuator, Clock
from tai_autonomics.domain.actions import ActionType, Order, Publish, Rollback, Scale, Webhook, type_of
from tai_autonomics.domain.plans import Plans
from tai_autonomics.errors import InvalidPlans, InvalidSetting
from tai_autonomics.settings import Settings, SigningSecrets

NO_SECRETS: Final = "TAI_WEBHOOK_SIGNING_SECRETS is not set"
NO_CLIENT: Final = "Google's client is not installed: pip install 'tai-autonomics[gcp]'"
KEPT: Final = " (the file lacks this plan, which the store keeps)"


class Actuators:
    """
    The actuators that are open, by the type of action. Close them with `aclose`.

    A plans file that is read again may name more types: ask `problems_of` its orders before it comes into force.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock
        self._secrets = settings.webhook_signing_secrets
        self._place = Place(settings.gcp_project_id, settings.gcp_region)
        self._opened: dict[ActionType, Actuator] = {}
        self._opening = asyncio.Lock()

    @property
    def opened(self) -> Mapping[ActionType, Actuator]:
        return self._opened

    async def open(self, types: Iterable[ActionType]) -> dict[ActionType, str]:
        """Open those that are configured and not open yet; of each other type, what it lacks. Connects to nothing."""
        lacking: dict[ActionType, str] = {}
        async with self._opening:
            for each in sorted(set(types) - set(self._opened)):
                try:
                    self._opened[each] = await self._open(each)
                except InvalidSetting as error:
                    lacking[each] = str(error)
        return lacking

    async def problems_of(self, orders: Iterable[Order]) -> dict[Order, str]:
        """Why an order can never be carried out here, for each that cannot; opens what the others need."""
        orders = tuple(orders)
        lacking = await self.open({type_of(order) for order in orders})
        found = {order: lacking.get(type_of(order)) or self._problem_of(order) for order in orders}
        return {order: problem for order, problem in found.items() if problem is not None}

    async def check(self, plans: Plans) -> None:
        """Raises InvalidPlans for rules whose action can never be carried out here, with what each lacks."""
        problems = await self.problems_of(orders_of(plans))
        found = tuple(
            f"plan {plan.name}: rule {rule.name}: {type_of(rule.order)}: {problems[rule.order]}"
            + (KEPT if plan.retired else "")
            for plan in plans.plans.values()
            for rule in plan.governor.rules
            if rule.order in problems and rule.mode != "shadow"
        )
        if found:
            raise InvalidPlans(found)

    async def replace_secrets(self, secrets: SigningSecrets, plans: Plans) -> None:
        """Sign with these from now on. Raises InvalidPlans where a rule would have none; then nothing changes."""
        old = self._secrets
        self._secrets = secrets
        try:
            await self.check(plans)
        except InvalidPlans:
            self._secrets = old
            raise
        # The one that is open is told as well; what opens during the check has them already.
        if "webhook" in self._opened:
            from tai_autonomics.actuators.webhook import WebhookActuator

            webhook = self._opened["webhook"]
            assert isinstance(webhook, WebhookActuator), "it does what its type says"
            webhook.replace_secrets(secrets.receivers)

    async def aclose(self) -> None:
        opened, self._opened = self._opened, {}
        for actuator in opened.values():
            await actuator.aclose()

    async def _open(self, type: ActionType) -> Actuator:
        # Imported only where a plan names them: httpx takes 0.4 s, each of Google's clients up to 1 s and 70 MB.
        match type:
            case "webhook":
                return self._open_webhook()
            case "pubsub.publish":
                with _client():
                    from tai_autonomics.actuators.pubsub import PubSubActuator
                return await PubSubActuator.open(self._place, emulator=self._settings.pubsub_emulator_host)
            case "cloud_run.scale":
                with _client():
                    from tai_autonomics.actuators.cloud_run import CloudRunScale
                return await CloudRunScale.open(self._place)
            case "cloud_run.rollback":
                with _client():
                    from tai_autonomics.actuators.cloud_run import CloudRunRollback
                return await CloudRunRollback.open(self._place)
            case "throttle" | "entitlement.suspend":
                return Inside(self._clock)

    def _open_webhook(self) -> Actuator:
        from tai_autonomics.actuators.webhook import Policy, WebhookActuator

        secrets, allowed = self._secrets, self._settings.webhook_addresses_allowed
        if secrets is None:
            raise InvalidSetting(NO_SECRETS)
        policy = Policy(secrets.receivers, allowed.networks if allowed is not None else ())
        return WebhookActuator(policy, self._clock)

    def _problem_of(self, order: Order) -> str | None:
        try:
            match order:
                case Webhook():
                    from tai_autonomics.actuators.webhook import secrets_for

                    assert self._secrets is not None, "the type is open"
                    secrets_for(order, self._secrets.receivers)
                case Publish():
                    topic(order.topic, self._place)
                case Scale() | Rollback():
                    service(order.service, self._place)
                case _:
                    pass
        except ValueError as error:
            return str(error)
        return None


def orders_of(plans: Plans) -> tuple[Order, ...]:
    """Every order that a rule of any plan may give, each once."""
    return tuple(dict.fromkeys(rule.order for plan in plans.plans.values() for rule in plan.governor.rules))


@contextmanager
def _client() -> Iterator[None]:
    """Around the import of one of Google's clients."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InvalidSetting(f"{NO_CLIENT} ({error})") from error
