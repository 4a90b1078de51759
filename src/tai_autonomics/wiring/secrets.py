"""Secrets that are kept elsewhere: who is asked for them."""

from tai_autonomics.errors import InvalidSetting
from tai_autonomics.settings import Fetched


def fetch(name: str) -> Fetched:
    """Ask Secret Manager (settings.Fetch). Blocks. Raises InvalidSetting, also where its client is not installed."""
    try:
        # Imported only where a setting names it: Google's client takes a second and 70 MB.
        from tai_autonomics.wiring import secret_manager
    except ModuleNotFoundError as error:
        raise InvalidSetting(
            f"Secret Manager's client is not installed ({error}): pip install 'tai-autonomics[gcp]'"
        ) from error
    return secret_manager.fetch(name)
