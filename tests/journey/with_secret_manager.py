"""
`python -m tests.journey.with_secret_manager …` is the program, with a double in place of Google's Secret Manager.

SECRET_MANAGER is its address.
"""

import os

from tests.engines.secret_manager import transport_to

from tai_autonomics.__main__ import main
from tai_autonomics.wiring import secret_manager

if __name__ == "__main__":
    secret_manager.transport = lambda: transport_to(os.environ["SECRET_MANAGER"])
    main()
