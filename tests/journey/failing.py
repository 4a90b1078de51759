"""
`python -m tests.journey.failing …` is the program with a mistake in it that raises, with what it holds in words.

FAILING_AT says where: "start" is where the service begins, "serving" where receipts are listed and a webhook is sent.
"""

import os
from typing import Any, NoReturn

from tai_autonomics import wiring
from tai_autonomics.__main__ import main
from tai_autonomics.actuators.webhook import WebhookActuator
from tai_autonomics.wiring import serving


class Mistake(RuntimeError):
    """What nobody foresaw."""


def fails_at_the_start(loaded: Any, **_: Any) -> NoReturn:
    raise Mistake(f"forced at the start: {loaded} {loaded!r} {loaded.settings}")


def strike_serving() -> None:
    """Each frame that raises has the secrets among its locals."""
    real = serving.front_door

    def front_door(settings: Any, parts: Any, told: Any, verifying: Any, *more: Any) -> Any:
        async def fails(*_: Any, **__: Any) -> NoReturn:
            secrets = settings.webhook_signing_secrets
            raise Mistake(f"forced in a request: {settings!r} {settings} {secrets} {parts!r} {verifying!r}")

        parts.queries.receipts = fails
        return real(settings, parts, told, verifying, *more)

    async def attempt(actuator: Any, *_: Any) -> NoReturn:
        secrets = actuator._policy.secrets
        raise Mistake(f"forced in an attempt for {len(secrets)}: {actuator._policy!r} {actuator!r}")

    serving.front_door = front_door
    WebhookActuator.attempt = attempt  # type: ignore[method-assign]


if __name__ == "__main__":
    if os.environ["FAILING_AT"] == "start":
        wiring.serve = fails_at_the_start
    else:
        strike_serving()
    main()
