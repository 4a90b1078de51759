"""
The engine's own programs, pg_dump and pg_restore: on the PATH, new enough, and told how to connect.

Everybody on the machine may read a program's arguments, so a password goes by its environment.
"""

import asyncio
import os
import re
import shutil
from asyncio.subprocess import DEVNULL, PIPE
from typing import Final, Literal

from tai_autonomics.errors import StoreUnavailable
from tai_autonomics.stores.postgres.connections import Connection, child_connection

Program = Literal["pg_dump", "pg_restore"]

SAID_CHARACTERS_MAX: Final = 300


async def check(connection: Connection, *names: Program) -> None:
    """Raises StoreUnavailable when one is missing or older than the connection's server."""
    server = connection.info.server_version // 10_000
    remedy = f"install PostgreSQL's client programs of version {server} or newer (apt-get install postgresql-client)"
    for name in names:
        if shutil.which(name) is None:
            raise StoreUnavailable(f"{name} is not on the PATH: {remedy}")
        _, said, _ = await _end_of(name, "--version")
        found = re.search(r"\) (\d+)", said)
        if found is None or int(found[1]) < server:
            version = "of an unknown version" if found is None else f"{found[1]}, and older than the server"
            raise StoreUnavailable(f"{name} is {version}: {remedy}")


async def run(name: Program, *arguments: str, url: str) -> None:
    """To its end; it ends with us. Raises StoreUnavailable with the first thing that it said when it failed."""
    connection, secret = child_connection(url)
    status, _, said = await _end_of(name, "--no-password", f"--dbname={connection}", *arguments, **secret)
    if status != 0:
        raise StoreUnavailable(f"{name}: {_first(said)}")


async def _end_of(name: Program, *arguments: str, **environ: str) -> tuple[int, str, str]:
    """Its exit status, and what it said to both sides."""
    process = await asyncio.create_subprocess_exec(
        name, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env={**os.environ, "LC_ALL": "C", **environ}
    )
    try:
        out, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out.decode(errors="replace"), said.decode(errors="replace")


def _first(said: str) -> str:
    """The line that says what failed; those below quote rows and statements."""
    lines = [line for line in said.splitlines() if "error:" in line] or said.splitlines() or ["no reason given"]
    return lines[0].partition("error: ")[2][:SAID_CHARACTERS_MAX] or lines[0][:SAID_CHARACTERS_MAX]
