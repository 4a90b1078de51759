"""Full names of what lies in Google Cloud; a bare name is completed with the service's own project and region."""

from msgspec import Struct

from tai_autonomics.domain.actions import BARE_SERVICE, BARE_TOPIC, FULL_SERVICE, FULL_TOPIC


class Place(Struct, frozen=True):
    """Where bare names are looked for: GCP_PROJECT_ID and TAI_GCP_REGION."""

    project: str | None = None
    region: str | None = None


def topic(name: str, place: Place) -> str:
    """projects/<project>/topics/<name>. Raises ValueError that says what is wrong or missing."""
    if FULL_TOPIC.fullmatch(name):
        return name
    if not BARE_TOPIC.fullmatch(name):
        raise ValueError("the topic is neither projects/<project>/topics/<name> nor a bare name")
    if place.project is None:
        raise ValueError("the topic has a bare name, and GCP_PROJECT_ID is not set")
    return f"projects/{place.project}/topics/{name}"


def service(name: str, place: Place) -> str:
    """projects/<project>/locations/<region>/services/<name>. Raises ValueError that says what is wrong or missing."""
    if FULL_SERVICE.fullmatch(name):
        return name
    if not BARE_SERVICE.fullmatch(name):
        raise ValueError("the service is neither projects/<project>/locations/<region>/services/<name> nor a bare name")
    if place.project is None or place.region is None:
        missing = "GCP_PROJECT_ID" if place.project is None else "TAI_GCP_REGION"
        raise ValueError(f"the service has a bare name, and {missing} is not set")
    return f"projects/{place.project}/locations/{place.region}/services/{name}"
