"""What `tai-autonomics config` shows, secrets masked."""

from msgspec import Struct

from tai_autonomics.settings.loading import Loaded
from tai_autonomics.settings.masking import masked
from tai_autonomics.settings.table import TABLE


class Shown(Struct, frozen=True):
    """One line of `tai-autonomics config`; a secret is masked."""

    name: str
    value: str
    source: str


def shown(loaded: Loaded) -> tuple[Shown, ...]:
    """What is in force and where it came from, in the order of the table."""
    return tuple(
        Shown(setting.name, masked(getattr(loaded.settings, field), setting), loaded.sources[setting.name])
        for field, setting in TABLE.items()
    )
