"""
`make load`: a short load on a service of its own; exit 1, with a line for each figure of the checklist's floor missed.

    fresh service --> locust -f locustfile.py (and its health probe) --> figures --> 0 or 1
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import say
from benchmarks.servers import ServerGone
from benchmarks.steady.traffic import STOP_SECONDS_MAX, LoadFailed, Pace, fresh_service, locust, number


def main() -> int:
    pace = Pace(
        users=int(number("LOAD_USERS", 100, lowest=1)),
        rate=number("LOAD_RATE", 4, lowest=0.01),
        seconds=int(number("LOAD_SECONDS", 30, lowest=1)),
        tenants=int(number("LOAD_TENANTS", 200, lowest=1)),
    )
    say(f"{pace.users} users, each {pace.rate:g} requests/s, over {pace.tenants} tenants for {pace.seconds} s")
    with (
        TemporaryDirectory(prefix="tai-load-") as kept,
        fresh_service() as (server, key),
        locust(server, key, pace, directory=Path(kept)) as running,
    ):
        return running.wait(pace.seconds + STOP_SECONDS_MAX)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (LoadFailed, ServerGone) as error:
        sys.exit(str(error))
