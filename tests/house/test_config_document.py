"""
docs/CONFIG.md says what `settings` reads, no more and no less.

`python -m tests.house.test_config_document` writes its table anew.
"""

import re
from pathlib import Path

from tai_autonomics.settings import TABLE, Setting

DOCUMENT = Path(__file__).parents[2] / "docs" / "CONFIG.md"
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"


def table() -> str:
    rows = ["| variable | default | allowed | what it does |", "|---|---|---|---|", *map(row, TABLE.values())]
    return "".join(f"{line}\n" for line in rows)


def row(setting: Setting) -> str:
    default = f"`{setting.default}`" if setting.default is not None else "unset"
    if setting.dev_default is not None:
        default += f", in dev `{setting.dev_default}`"
    names = f"`{setting.name}`" + (f" or `{setting.name}_FILE`" if setting.secret else "")
    return f"| {names} | {default} | {setting.form.allowed} | {setting.doc} |"


def with_table(text: str) -> str:
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}{table()}{END}{rest.partition(END)[2]}"


def test_the_table_of_the_document_is_that_of_the_code() -> None:
    text = DOCUMENT.read_text()
    assert text == with_table(text), "write it anew: python -m tests.house.test_config_document"


def test_the_document_names_no_variable_that_nothing_reads() -> None:
    known = {name for setting in TABLE.values() for name in (setting.name, f"{setting.name}_FILE")}
    named = set(re.findall(r"\bTAI_[A-Z_]+\b", DOCUMENT.read_text()))
    assert named - known == set()


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text()))
