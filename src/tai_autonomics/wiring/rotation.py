"""
Secrets that are replaced while the service runs: read again, judged, and put in force or left.

    files, Secret Manager --in a thread--> what is there now --another, and good--> in force
                                                             --another, and bad---> told; the old one stays
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

from tai_autonomics.errors import InvalidPlans, InvalidSetting
from tai_autonomics.identity.keys import Keys, KeysInForce, load_keys
from tai_autonomics.settings import Loaded, Reread, SigningSecrets, WebhookSecrets
from tai_autonomics.telemetry.observer import Telemetry
from tai_autonomics.wiring.actuators import Actuators
from tai_autonomics.wiring.policies import PlansInForce
from tai_autonomics.wiring.senders import Senders

T = TypeVar("T")

STAYS: Final = "; what was in force stays"


class Rotation:
    """`keys` are those of JWT_KEYS, if it is set."""

    def __init__(
        self,
        loaded: Loaded,
        *,
        keys: KeysInForce | None,
        actuators: Actuators,
        senders: Senders,
        plans: PlansInForce,
        observer: Telemetry,
    ) -> None:
        self._loaded, self._keys, self._actuators, self._senders = loaded, keys, actuators, senders
        self._plans, self._observer = plans, observer
        self._seen: dict[str, object] = {}

    async def read(self, *, asked: bool = False) -> None:
        """Read every secret again; tell what is wrong and what changed, and if it was `asked` for, that none did."""
        problems: list[str] = []
        changed: list[str] = []
        rereads, keys = await in_thread(self._read)
        if isinstance(keys, InvalidSetting):
            problems.append(f"{keys}{STAYS}")
        elif keys is not None and self._keys is not None and self._keys.replace(keys):
            changed.append("JWT_KEYS")
        for each in rereads:
            try:
                if await self._put(each):
                    changed.append(each.name)
            except (InvalidSetting, InvalidPlans) as error:
                problems.append(f"{each.name}: {error}{STAYS}")
        if problems:
            self._observer.failed("secrets", InvalidSetting("\n".join(problems)))
        if changed or asked:
            self._observer.logs.log.info("the secrets were read again", changed=changed)

    def _read(self) -> tuple[tuple[Reread, ...], Keys | InvalidSetting | None]:
        keys: Keys | InvalidSetting | None = None
        if self._keys is not None and self._loaded.settings.jwt_keys is not None:
            try:
                keys = load_keys(self._loaded.settings.jwt_keys)
            except InvalidSetting as error:
                keys = error
        return self._loaded.read_again(), keys

    async def _put(self, each: Reread) -> bool:
        """Whether it was put in force. Raises InvalidSetting, InvalidPlans where it cannot be used."""
        if each.problem:
            raise InvalidSetting(each.problem)
        before = self._seen.get(each.field, getattr(self._loaded.settings, each.field))
        if each.value == before:
            return False
        match each.value:
            case SigningSecrets():
                await self._actuators.replace_secrets(each.value, self._plans())
                self._seen[each.field] = each.value
                return True
            case WebhookSecrets():
                self._senders.replace_secrets(each.value)
                self._seen[each.field] = each.value
                return True
            case _:
                # STORE_URL: connections and their pool are made once.
                self._seen[each.field] = each.value
                message = "a secret has changed that comes into force with a restart"
                self._observer.logs.log.warning(message, setting=each.name, source=each.source)
                return False


async def in_thread(work: Callable[[], T]) -> T:
    """What `work` returns or raises; a thread of its own, which nobody waits for when the process ends."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        failed: BaseException | None = None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  # whoever waits has it
            failed = error
        with suppress(RuntimeError):  # the loop may be gone
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=run, name="secrets", daemon=True).start()
    return await done
