"""Full names of what lies in Google Cloud; a bare name is completed with the service's own project and region."""

import re
from typing import Final

from msgspec import Struct

_PROJECT: Final = r"(?:[a-z0-9.-]{1,64}:)?[a-z0-9-]{1,63}"
_TOPIC_NAME: Final = r"[A-Za-z][A-Za-z0-9._~+%-]{2,254}"
_SERVICE_NAME: Final = r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
_TOPIC: Final = re.compile(rf"projects/{_PROJECT}/topics/{_TOPIC_NAME}", re.ASCII)
_SERVICE: Final = re.compile(rf"projects/{_PROJECT}/locations/[a-z0-9-]{{1,63}}/services/{_SERVICE_NAME}", re.ASCII)
_BARE_TOPIC: Final = re.compile(_TOPIC_NAME, re.ASCII)
_BARE_SERVICE: Final = re.compile(_SERVICE_NAME, re.ASCII)


class Place(Struct, frozen=True):
    """Where bare names are looked for: GCP_PROJECT_ID and TAI_GCP_REGION."""

    project: str | None = None
    region: str | None = None


def topic(name: str, place: Place) -> str:
    """projects/<project>/topics/<name>. Raises ValueError that says what is wrong or missing."""
    if _TOPIC.fullmatch(name):
        return name
    if not _BARE_TOPIC.fullmatch(name):
        raise ValueError("the topic is neither projects/<project>/topics/<name> nor a bare name")
    if place.project is None:
        raise ValueError("the topic has a bare name, and GCP_PROJECT_ID is not set")
    return f"projects/{place.project}/topics/{name}"


def service(name: str, place: Place) -> str:
    """projects/<project>/locations/<region>/services/<name>. Raises ValueError that says what is wrong or missing."""
    if _SERVICE.fullmatch(name):
        return name
    if not _BARE_SERVICE.fullmatch(name):
        raise ValueError("the service is neither projects/<project>/locations/<region>/services/<name> nor a bare name")
    if place.project is None or place.region is None:
        missing = "GCP_PROJECT_ID" if place.project is None else "TAI_GCP_REGION"
        raise ValueError(f"the service has a bare name, and {missing} is not set")
    return f"projects/{place.project}/locations/{place.region}/services/{name}"
