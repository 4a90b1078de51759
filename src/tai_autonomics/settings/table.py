"""Every variable, by the field that it fills."""

from typing import Final, get_type_hints

from tai_autonomics.settings.bounds import Bounds
from tai_autonomics.settings.forms import Setting

TABLE: Final[dict[str, Setting]] = {
    field: hint.__metadata__[0] for field, hint in get_type_hints(Bounds, include_extras=True).items()
}
"""Each field of Settings with the variable that fills it."""
