"""What may be done, and what of it does no more when it is done twice."""

import pytest

from tai_autonomics.domain.actions import (
    ActionType,
    Order,
    Publish,
    Rollback,
    Scale,
    SuspendEntitlements,
    Throttle,
    Webhook,
    is_idempotent,
    type_of,
)


@pytest.mark.parametrize(
    ("order", "type_", "idempotent"),
    [
        (Webhook("https://hooks.example"), "webhook", True),
        (Webhook("https://hooks.example", idempotent=False), "webhook", False),
        (Publish("topic"), "pubsub.publish", True),
        (Scale("api", 1, 10), "cloud_run.scale", True),
        (Rollback("api"), "cloud_run.rollback", True),
        (Throttle(1, 60, 600), "throttle", True),
        (SuspendEntitlements(), "entitlement.suspend", True),
    ],
)
def test_every_order_has_its_type_and_only_a_webhook_may_not_be_idempotent(
    order: Order, type_: ActionType, idempotent: bool
) -> None:
    assert (type_of(order), is_idempotent(order)) == (type_, idempotent)
