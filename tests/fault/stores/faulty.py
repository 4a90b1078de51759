"""A real SQLite connection that fails where a test says: before a statement (lost), or after it (persisted)."""

import sqlite3
from typing import Any, Literal

from msgspec import Struct

When = Literal["lost", "persisted"]


class Fault(Struct):
    """Strikes the first statement that starts with these words, once."""

    words: str
    when: When

    def strikes(self, statement: str) -> bool:
        return " ".join(statement.split()).startswith(self.words)


class Faults:
    """The faults still to come, those that struck, and the connections that were opened."""

    def __init__(self) -> None:
        self.coming: list[Fault] = []
        self.struck: list[Fault] = []
        self.opened: list[sqlite3.Connection] = []

    def expect(self, words: str, when: When) -> None:
        self.coming.append(Fault(words, when))

    def take(self, statement: str) -> Fault | None:
        fault = next((one for one in self.coming if one.strikes(statement)), None)
        if fault is not None:
            self.coming.remove(fault)
            self.struck.append(fault)
        return fault

    def factory(self) -> type[sqlite3.Connection]:
        faults = self

        class FaultyConnection(sqlite3.Connection):
            def __init__(self, *arguments: Any, **named: Any) -> None:
                super().__init__(*arguments, **named)
                faults.opened.append(self)

            def execute(self, statement: str, *parameters: Any) -> sqlite3.Cursor:
                fault = faults.take(statement)
                if fault is not None and fault.when == "lost":
                    raise sqlite3.OperationalError("disk I/O error")
                cursor = super().execute(statement, *parameters)
                if fault is not None:
                    raise sqlite3.OperationalError("disk I/O error")
                return cursor

        return FaultyConnection
