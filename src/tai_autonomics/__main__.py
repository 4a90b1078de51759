"""`python -m tai_autonomics`, and the console script `tai-autonomics`."""

import sys
from typing import NoReturn

from tai_autonomics.cli.app import run


def main() -> NoReturn:
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
