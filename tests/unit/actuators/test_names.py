"""Full names of what lies in Google Cloud."""

import pytest

from tai_autonomics.actuators.names import Place, service, topic

PLACE = Place("acme-prod", "europe-west1")


def test_a_full_name_stays_and_needs_no_place() -> None:
    assert topic("projects/acme-prod/topics/actions", Place()) == "projects/acme-prod/topics/actions"
    full = "projects/example.com:p-1/locations/europe-west1/services/api"
    assert service(full, Place()) == full


def test_a_bare_name_lies_in_the_services_own_project_and_region() -> None:
    assert topic("actions", PLACE) == "projects/acme-prod/topics/actions"
    assert service("api", PLACE) == "projects/acme-prod/locations/europe-west1/services/api"


def test_a_bare_name_without_a_place_says_which_setting_is_missing() -> None:
    with pytest.raises(ValueError, match="GCP_PROJECT_ID"):
        topic("actions", Place())
    with pytest.raises(ValueError, match="GCP_PROJECT_ID"):
        service("api", Place())
    with pytest.raises(ValueError, match="TAI_GCP_REGION"):
        service("api", Place("acme-prod"))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a/b",
        "projects/acme-prod/topics/",
        "projects/p/topics/actions",
        "google-topic",
        "projects/acme-prod/topics/a/b",
        "pr jects",
        "aktionen-ü",
    ],
)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        topic(name, PLACE)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "API",
        "api-",
        "projects/p/services/api",
        "a" * 50,
        "projects/p/locations/l/services/api",
        "projects/p/locations/l",
    ],
)
def test_a_service_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        service(name, PLACE)


def test_the_longest_service_is_one() -> None:
    assert service("a" * 49, PLACE).endswith("/services/" + "a" * 49)
