"""What `tai-autonomics config` shows, secrets masked."""

import re

from msgspec import Struct

from tai_autonomics.settings.forms import Address, Setting
from tai_autonomics.settings.loading import Loaded
from tai_autonomics.settings.table import TABLE


class Shown(Struct, frozen=True):
    """One line of `tai-autonomics config`; a secret is masked."""

    name: str
    value: str
    source: str


def shown(loaded: Loaded) -> tuple[Shown, ...]:
    """What is in force and where it came from, in the order of the table."""
    return tuple(
        Shown(setting.name, _masked(getattr(loaded.settings, field), setting), loaded.sources[setting.name])
        for field, setting in TABLE.items()
    )


def _masked(value: object, setting: Setting) -> str:
    match value:
        case None:
            return "off" if setting.name == "TAI_METRICS_ADDRESS" else ""
        case Address(host, port):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case float():
            return f"{value:g}"
        case str() if setting.secret:
            return re.sub(r"([?&](?:ssl)?password=)[^&]*", r"\1***", re.sub(r"//[^/@]*@", "//***@", value))
        case _:
            return str(value)
