"""
SQLite, the embedded default: one writing process, one file, or none (`None`: a ledger in memory, for tests).

    store        the port, asynchronous
    ├── writer       the one connection that writes, in its own thread: appends, leases, quarantine, policies
    ├── reading      what every connection can ask
    ├── checkpoints  moving the journal into the file, out of the writer's way
    ├── files        opening: directory, lock, settings, schema
    └── statements   the SQL
    backup       a copy beside the writer, and a copy put in its place
"""

from tai_autonomics.stores.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
