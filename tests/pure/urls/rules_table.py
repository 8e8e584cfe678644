"""Write the table of rules into docs/urls.md. Run: `python tests/pure/urls/rules_table.py`."""

from __future__ import annotations

from pathlib import Path

from imgwire_async.urls.rules import RULE_TABLE

PAGE = Path(__file__).parents[3] / "docs" / "urls.md"
BEGIN, END = "<!-- rules: made by tests/pure/urls/rules_table.py -->", "<!-- /rules -->"


def table() -> str:
    """Return the table as Markdown, with one row per rule."""
    lines = ["| rule | other names | value |", "| --- | --- | --- |"]
    for rule in RULE_TABLE:
        aliases = ", ".join(f"`{name}`" for name in rule.aliases)
        lines.append(f"| `{rule.name}` | {aliases} | {rule.value_type.description} |")
    return "\n".join(lines)


def page_with_table(page: str) -> str:
    """Return the text of the page with the current table between its two comments."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page_with_table(PAGE.read_text("utf-8")), "utf-8")
