"""Where receipts rest: the forms of STORE_URL."""

import re
from typing import Final

from tai_autonomics.settings.forms import Form


def parse_collection(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", text):
        raise ValueError("has another form")
    if text in FIRESTORE_COLLECTIONS:
        raise ValueError("is a collection of the store for something else")
    return text


def parse_store(text: str) -> str:
    if text.startswith(FIRESTORE):
        firestore_named(text)
        return text
    if text.startswith(POSTGRESQL):
        return _parse_postgresql(text)
    if not text.startswith("sqlite://"):
        raise ValueError("has an unknown scheme")
    if text != IN_MEMORY and not re.fullmatch(r"sqlite:///[^?#\0]+", text):
        raise ValueError("does not name a file")
    return text


_POSTGRESQL_URL: Final = re.compile(
    r"""postgres(ql)?:// ([^/?#@\s]*@)? (HOST(,HOST)*)? /[^/?#@\s]+ (\?OPTION(&OPTION)*)?""".replace(
        "HOST", r"(\[[0-9A-Fa-f:.]+\] | [A-Za-z0-9._-]+)(:[0-9]{1,5})?"
    ).replace("OPTION", r"[a-z_]+=[^&\#\s]*"),
    re.VERBOSE | re.ASCII,
)


def _parse_postgresql(text: str) -> str:
    """So narrow because a password in a wrong place would be quoted by the driver and shown by `config`."""
    if not _POSTGRESQL_URL.fullmatch(text):
        raise ValueError("does not name a database, or holds a character that a URL writes as %XX")
    return text


def firestore_named(url: str) -> tuple[str | None, str | None]:
    """The project and the database that firestore://project/database names; either may be left out."""
    found = re.fullmatch(rf"firestore://({PROJECT})?(?:/({DATABASE})?)?", url)
    if found is None:
        raise ValueError("does not name a project and a database")
    return found[1], found[2]


PROJECT: Final = r"(?:[a-z0-9.-]{1,64}:)?[a-z][a-z0-9-]{4,28}[a-z0-9]"
DATABASE: Final = r"\(default\)|[a-z][a-z0-9-]{2,61}[a-z0-9]"
FIRESTORE_COLLECTIONS: Final = frozenset(
    (
        "heads",
        "claims",
        "parts",
        "erased",
        "dropped",
        "snapshots",
        "bases",
        "due",
        "quarantine",
        "policies",
        "chunks",
        "meta",
    )
)
"""Those of the Firestore store beside its receipts."""
IN_MEMORY: Final = "sqlite://:memory:"
FIRESTORE: Final = "firestore://"
POSTGRESQL: Final = ("postgresql://", "postgres://")
STORE: Final = Form(
    "sqlite:///path (sqlite:////path from the root), postgresql://user:password@host:port/database?option=value"
    " or firestore://project/database",
    parse_store,
)
