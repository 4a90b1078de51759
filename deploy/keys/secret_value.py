"""
Whether the service could use what a file holds as JWT_KEYS, or as a setting that is a secret.

    secret_value.py SETTING FILE      exit status 0, or 1 with why; the value itself is never said
"""

import sys
from pathlib import Path

from tai_autonomics.errors import InvalidSetting
from tai_autonomics.identity.keys import load_keys
from tai_autonomics.settings import Settings


def main() -> None:
    setting, file = sys.argv[1:]
    try:
        if setting == "JWT_KEYS":
            load_keys(Path(file))
        else:
            Settings.load({f"{setting}_FILE": file})
    except InvalidSetting as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
