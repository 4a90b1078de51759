"""Where a value comes from: the layers, the file that a secret may lie in, and `.env`."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from tai_autonomics.errors import InvalidSetting
from tai_autonomics.settings.forms import Setting
from tai_autonomics.settings.references import GSM, Fetch, resource
from tai_autonomics.settings.table import TABLE

OUR_PREFIXES: Final = ("TAI_", "MARKETPLACE_WEBHOOK_", "PUBSUB_PUSH_")
FILE_BYTES_MAX: Final = 64 * 1024
"""A `.env` or a NAME_FILE that is larger is not what somebody meant."""


class Found(Struct, frozen=True):
    """A value before it is understood; `problem` says why there is none. It may be a secret, so it has no text."""

    text: str | None
    source: str
    problem: str = ""
    is_kept: bool = False
    """In a file or in Secret Manager, where it may become another while the process runs."""

    def __repr__(self) -> str:
        return f"Found(source={self.source!r}, problem={self.problem!r})"


def find(setting: Setting, layers: Mapping[str, Mapping[str, str]], *, dev: bool, fetch: Fetch | None) -> Found:
    for source, layer in layers.items():
        text, file = layer.get(setting.name, ""), layer.get(f"{setting.name}_FILE", "") if setting.secret else ""
        if text and file:
            return Found(None, source, f"is set, and so is {setting.name}_FILE: keep one of them")
        if text:
            is_elsewhere = setting.secret and text.startswith(GSM)
            return _fetch_secret(text, source, fetch) if is_elsewhere else Found(text, source)
        if file:
            return _read_secret(f"{setting.name}_FILE", Path(file))
    if dev and setting.dev_default is not None:
        return Found(setting.dev_default, "dev default")
    return Found(setting.default, "default")


def _read_secret(name: str, file: Path) -> Found:
    try:
        text = _read_text(file).rstrip("\r\n")
    except (OSError, ValueError) as error:
        return _kept(None, name, f"cannot be read from {name}: {_why(error)}")
    return _kept(text, name) if text else _kept(None, name, f"cannot be read from {name}: the file is empty")


def _fetch_secret(reference: str, source: str, fetch: Fetch | None) -> Found:
    try:
        name = resource(reference)
    except ValueError as error:
        return _kept(None, source, f"the value {error}")
    if fetch is None:
        return _kept(None, source, f"{GSM}{name} is in Secret Manager, which is not asked here")
    try:
        fetched = fetch(name)
        text = fetched.content.decode("utf-8-sig").rstrip("\r\n")
    except InvalidSetting as error:
        return _kept(None, source, f"{GSM}{name} cannot be read: {error}")
    except UnicodeDecodeError as error:
        return _kept(None, source, f"{GSM}{name} cannot be read: {_why(error)}")
    if not text:
        return _kept(None, source, f"{GSM}{name} cannot be read: version {fetched.version} is empty")
    return _kept(text, f"{GSM}{name.rpartition('/versions/')[0]}, version {fetched.version}")


def _kept(text: str | None, source: str, problem: str = "") -> Found:
    return Found(text, source, problem, is_kept=True)


def _read_text(file: Path) -> str:
    with file.open("rb") as opened:
        content = opened.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise ValueError(f"it is larger than {FILE_BYTES_MAX} bytes")
    return content.decode("utf-8-sig")


def _why(error: OSError | ValueError) -> str:
    """What went wrong, without the bytes that a decoder would quote."""
    match error:
        case OSError():
            return error.strerror or type(error).__name__
        case UnicodeDecodeError():
            return "it is not UTF-8"
        case _:
            return str(error)


def read_dotenv(file: Path) -> dict[str, str]:
    """Lines of NAME=value; blank lines, `# comments`, a leading `export` and one pair of quotes are understood."""
    try:
        lines = _read_text(file).splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidSetting(f"{file}: {_why(error)}") from error
    written: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = re.fullmatch(r"""\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*("[^"]*"|'[^']*'|[^\s"'#]\S*|)\s*(#.*)?""", line)
        if found is None:
            raise InvalidSetting(f"{file}:{number}: is not NAME=value; quote a value that holds a space or a #")
        written[found[1]] = found[2][1:-1] if found[2][:1] in ("'", '"') else found[2]
    return written


def unread(names: set[str]) -> tuple[str, ...]:
    """One warning for each variable with our prefix that nothing reads, in the order of the names."""
    known = [
        name for setting in TABLE.values() for name in (setting.name, f"{setting.name}_FILE")[: 1 + setting.secret]
    ]
    warnings = []
    for name in sorted(names):
        if name.startswith(OUR_PREFIXES) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            warnings.append(f"{name} is set and nothing reads it" + (f"; is {near[0]} meant?" if near else ""))
    return tuple(warnings)
