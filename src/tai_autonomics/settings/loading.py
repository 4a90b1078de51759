"""The settings in force: read from every layer, understood, and in agreement with each other."""

from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from tai_autonomics.errors import InvalidSetting
from tai_autonomics.settings.bounds import Bounds
from tai_autonomics.settings.checking import disagreements, missing_to_serve, parse, understood
from tai_autonomics.settings.forms import Setting
from tai_autonomics.settings.masking import masked
from tai_autonomics.settings.reading import Found, find, read_dotenv, unread
from tai_autonomics.settings.references import Fetch
from tai_autonomics.settings.stores import firestore_named
from tai_autonomics.settings.table import TABLE


class Settings(Bounds, frozen=True, kw_only=True):
    """What is in force. Its text has the secrets masked."""

    def __repr__(self) -> str:
        fields = (f"{field}={masked(getattr(self, field), setting)}" for field, setting in TABLE.items())
        return f"Settings({', '.join(fields)})"

    @classmethod
    def load(
        cls,
        environ: Mapping[str, str],
        *,
        dev: bool = False,
        dotenv: Path | None = None,
        overrides: Mapping[str, str] | None = None,
        serving: bool = False,
        fetch: Fetch | None = None,
    ) -> "Loaded":
        """
        The settings in force; `dotenv` is read in dev alone and need not exist, `overrides` are the command line's.

        `serving` asks for what a service needs besides: where others reach it, nothing is made up. `fetch` reads a
        secret that is in Secret Manager; without it, such a one cannot be used. Raises InvalidSetting that names every
        wrong variable, with its problem and the allowed form.
        """
        written = read_dotenv(dotenv) if dev and dotenv is not None else {}
        layers = {"command line": overrides or {}, "environment": environ, ".env": written}
        found = {field: find(setting, layers, dev=dev, fetch=fetch) for field, setting in TABLE.items()}
        values, problems = parse(found)
        problems += disagreements(values, found, dev=dev)
        if serving:
            problems += missing_to_serve(values, found, on_cloud_run=bool(environ.get("K_SERVICE")))
        if problems:
            raise InvalidSetting("\n".join(problems))
        sources = {TABLE[field].name: one.source for field, one in found.items()}

        def read_again() -> tuple[Reread, ...]:
            kept = {field: TABLE[field] for field, one in found.items() if one.is_kept}
            return tuple(
                _reread(field, setting, find(setting, layers, dev=dev, fetch=fetch)) for field, setting in kept.items()
            )

        return Loaded(cls(**values), sources, unread({*environ, *written}), read_again)  # type: ignore[arg-type]


class Reread(Struct, frozen=True):
    """A secret of a file or of Secret Manager, as it is there now; `problem` says why it cannot be used."""

    field: str
    name: str
    value: object = None
    source: str = ""
    problem: str = ""

    def __repr__(self) -> str:
        return f"Reread(name={self.name!r}, source={self.source!r}, problem={self.problem!r})"


def _reread(field: str, setting: Setting, found: Found) -> Reread:
    if found.text is None:
        return Reread(field, setting.name, problem=found.problem or "is not set any more")
    try:
        return Reread(field, setting.name, understood(found.text, setting), found.source)
    except ValueError as error:
        return Reread(field, setting.name, problem=str(error))


class Loaded(Struct, frozen=True):
    """
    Settings, where each variable's value came from, and what an operator should hear of.

    `read_again` reads the secrets that are kept in files or in Secret Manager, each by itself; it blocks.
    """

    settings: Settings
    sources: dict[str, str]
    warnings: tuple[str, ...]
    read_again: Callable[[], tuple[Reread, ...]]


def firestore_place(settings: Settings) -> tuple[str, str]:
    """The project and the database of a Firestore STORE_URL, with what it leaves out filled in."""
    project, database = firestore_named(settings.store_url)
    project = project or settings.gcp_project_id
    assert project is not None, "load refuses a URL without a project where there is none"
    return project, database or settings.firestore_database or "(default)"
