"""The table of docs/urls.md, made from the rows. `python tests/pure/urls/rules_table.py` writes it into the page."""

from __future__ import annotations

from pathlib import Path

from imgwire_async.urls.rules import ROWS

PAGE = Path(__file__).parents[3] / "docs" / "urls.md"
BEGIN, END = "<!-- rules: made by tests/pure/urls/rules_table.py -->", "<!-- /rules -->"


def table() -> str:
    """One line per rule, in the order of the rows."""
    lines = ["| rule | other names | value |", "| --- | --- | --- |"]
    for rule in ROWS:
        others = ", ".join(f"`{name}`" for name in rule.aliases)
        lines.append(f"| `{rule.name}` | {others} | {rule.value_type.description} |")
    return "\n".join(lines)


def page_with_table(page: str) -> str:
    """The page, with the table of today between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text("utf-8")), "utf-8")
