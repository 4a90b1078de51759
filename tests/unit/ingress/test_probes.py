"""Probes answer from memory."""

from tests.unit.ingress.front import House


def test_health_is_ok_and_lists_its_checks() -> None:
    response = House().get("/health", token=None)
    assert (response.status, response.json) == (
        200,
        {"status": "ok", "version": "1.2.3", "checks": {"store": "ok", "clock": "ok"}},
    )


def test_health_names_the_check_that_fails() -> None:
    house = House()
    house.checks["store"] = "disk full"
    response = house.get("/health", token=None)
    assert (response.status, response.json["status"], response.json["checks"]["store"]) == (
        503,
        "unavailable",
        "disk full",
    )


def test_health_names_plans_that_can_be_held_and_no_longer_granted() -> None:
    house = House()
    house.retired_plans = ("legacy",)
    response = house.get("/health", token=None)
    assert (response.status, response.json["status"], response.json["retired_plans"]) == (200, "ok", ["legacy"])


def test_liveness_depends_on_nothing() -> None:
    house = House()
    house.checks["store"] = "disk full"
    assert house.get("/health/live", token=None).json == {"status": "ok"}


def test_metrics_come_in_the_format_that_is_asked_for() -> None:
    house = House()
    plain = house.get("/metrics", token="viewer")
    asked = house.get("/metrics", token="viewer", headers={"Accept": "application/openmetrics-text"})
    assert (plain.status, plain.body, plain.headers["content-type"]) == (200, b"tai_up 1\n", "text/plain")
    assert asked.headers["content-type"] == "application/openmetrics-text"
