"""
Whether a file for `gcloud run deploy --env-vars-file` (YAML, a name and a text each) would let the service start.

    env_vars_file.py FILE      exit status 0, or 1 with a line for each mistake

A name that nothing reads, a value that its setting does not take, a secret in the clear and what a shared store lacks
are mistakes. It needs this project installed; what a reference to Secret Manager holds is not looked at.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

from tai_autonomics.errors import InvalidSetting
from tai_autonomics.settings import FIRESTORE, TABLE, Settings
from tai_autonomics.settings.references import GSM, resource

OF_CLOUD_RUN: Final = frozenset({"PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"})
SECRETS: Final = frozenset(setting.name for setting in TABLE.values() if setting.secret)
NAMES: Final = frozenset(setting.name for setting in TABLE.values()) | {f"{name}_FILE" for name in SECRETS}
UNSEEN: Final = {"STORE_URL": "postgresql://unseen@unseen/unseen"}
"""What stands for a value that is elsewhere, where the service could not start without one."""


class _TwiceIsWrong(yaml.SafeLoader):
    """YAML lets a name be there twice, and the last one count."""


def _mapping(loader: _TwiceIsWrong, node: yaml.MappingNode) -> dict[object, object]:
    pairs = [(loader.construct_object(key), loader.construct_object(value)) for key, value in node.value]
    if len(dict(pairs)) != len(pairs):
        raise yaml.YAMLError("a name is there twice")
    return dict(pairs)


_TwiceIsWrong.add_constructor("tag:yaml.org,2002:map", _mapping)


def mistakes(text: str) -> list[str]:
    try:
        written = yaml.load(text, _TwiceIsWrong)  # noqa: S506 -- a SafeLoader
    except yaml.YAMLError as error:
        return [f"not YAML of names and texts: {error}"]
    if not isinstance(written, dict):
        return ["not YAML of names and texts: NAME: 'value', one a line"]
    found = [
        f"{name}: the value is no text: write it between quotes"
        for name, value in written.items()
        if not isinstance(value, str)
    ]
    environ = {str(name): value for name, value in written.items() if isinstance(value, str)}
    found += [f"{name}: Cloud Run sets it" for name in environ if name in OF_CLOUD_RUN]
    found += [f"{name}: nothing reads it" for name in environ if name not in NAMES | OF_CLOUD_RUN]
    found += _in_the_clear(environ)
    return found + _of_settings({name: value for name, value in environ.items() if name in NAMES})


def _in_the_clear(environ: Mapping[str, str]) -> list[str]:
    found = []
    for name in sorted(SECRETS & environ.keys()):
        value = environ[name]
        if value.startswith(GSM):
            try:
                resource(value)
            except ValueError as error:
                found.append(f"{name}: the value {error}")
        elif not value.startswith(FIRESTORE):
            found.append(f"{name}: a secret in the clear; name where it is: {GSM}projects/PROJECT/secrets/SECRET")
    return found


def _of_settings(environ: Mapping[str, str]) -> list[str]:
    """As the service judges them. What is elsewhere is left out, and with it what only agrees with it."""
    elsewhere = {name for name in SECRETS & environ.keys() if not environ[name].startswith(FIRESTORE)}
    elsewhere |= {f"{name}_FILE" for name in SECRETS} & environ.keys()
    seen = {name: value for name, value in environ.items() if name not in elsewhere}
    seen |= {name: value for name, value in UNSEEN.items() if elsewhere & {name, f"{name}_FILE"}}
    if elsewhere & {"MARKETPLACE_WEBHOOK_SECRETS", "MARKETPLACE_WEBHOOK_SECRETS_FILE"}:
        seen.pop("MARKETPLACE_WEBHOOK_TENANTS", None)
    try:
        Settings.load(seen | {"K_SERVICE": "a-service"}, serving=True)
    except InvalidSetting as error:
        return str(error).splitlines()
    return []


def main() -> None:
    found = mistakes(Path(sys.argv[1]).read_text("utf-8"))
    print("\n".join(f"{sys.argv[1]}: {each}" for each in found), end="\n" if found else "")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
