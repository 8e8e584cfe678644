"""Tests that the page on image URLs has the current table of rules."""

from __future__ import annotations

from rules_table import PAGE, page_with_table

from imgwire_async.urls.rules import RULE_TABLE


def test_the_table_of_the_page_is_current() -> None:
    page = PAGE.read_text("utf-8")
    assert page == page_with_table(page), "run: python tests/pure/urls/rules_table.py"
    assert all(f"| `{rule.name}` |" in page for rule in RULE_TABLE)
