"""The sign-off's sections, in the order of the production checklist."""

from typing import Final

from tai_autonomics.cli.checklist import cloud, functions, guarding, health, load, telling
from tai_autonomics.cli.checklist.lines import Found, Row, Section, left_open, shown
from tai_autonomics.cli.checklist.run import Run


async def the_time_is_recorded(run: Run) -> Found:
    return shown(f"{run.began_at:%Y-%m-%dT%H:%M:%SZ}, version {run.version or 'unknown'}, at {run.wanted.url}")


async def the_deployer_is_named(run: Run) -> Found:
    if run.wanted.deployed_by is None:
        return left_open("give --deployed-by NAME")
    return shown(run.wanted.deployed_by)


async def a_person_has_looked(_: Run) -> Found:
    return left_open("a person reads this page, decides about each open line, and signs here")


SIGN_OFF: Final = Section(
    "Deployment Checklist Sign-Off",
    (
        Row("signed-time", "Deployment date and time recorded", the_time_is_recorded, late=True),
        Row("signed-by", "Deployed by", the_deployer_is_named, late=True),
        Row("signed-review", "Reviewed by", a_person_has_looked, late=True),
    ),
)
SECTIONS: Final[tuple[Section[Run], ...]] = (
    health.SECTION,
    functions.SECTION,
    guarding.SECTION,
    telling.SECTION,
    load.SECTION,
    cloud.SECTION,
    SIGN_OFF,
)
