"""
PostgreSQL, for several instances: any of them appends to any ledger.

    store        the port
    ├── appending    one append of many tenants, in one transaction that no tenant can spoil for another
    ├── holding      a head kept locked while its tenant is read, decided and appended, for fairness
    ├── erasing      what was erased, until it is gone
    ├── reading      what a transaction can ask
    ├── migrating    the schema, under a lock
    ├── connections  the pool, the limits of every transaction, and what each error means
    └── statements   the SQL
    backup       a copy, by pg_dump
    replacing    a store brought back beside, by pg_restore, and then in the place of the one that is there
    └── programs     pg_dump and pg_restore themselves
"""

from tai_autonomics.stores.postgres.reading import Durability
from tai_autonomics.stores.postgres.store import PostgresStore

__all__ = ["Durability", "PostgresStore"]
