"""Tests of the links of web pages, which are listings of folders."""

from __future__ import annotations

import time

import pytest

from imgwire_async.batch.sources.cloud_page import find_links

URL = "http://host/p/"


@pytest.mark.parametrize(
    ("page", "links"),
    [
        ('<a href="a.jpg">x</a>', ["http://host/p/a.jpg"]),
        ("<A class='x'\n HREF='a.jpg'>", ["http://host/p/a.jpg"]),
        ('<a href="/p/a.jpg"><a href="http://host/p/b.jpg">', ["http://host/p/a.jpg", "http://host/p/b.jpg"]),
        ('<a href="a.jpg"><a href="a.jpg"><a href="../">', ["http://host/p/a.jpg"]),
        ('<a data-href="a.jpg"> <abbr href="b.jpg"> href="c.jpg"', []),
        ("see http://host/p/a.jpg", ["http://host/p/a.jpg"]),
        ("", []),
    ],
)
def test_links_are_found_in_anchors_and_in_the_text(page: str, links: list[str]) -> None:
    assert find_links(page, URL, with_text=True) == links


@pytest.mark.parametrize(
    "part", ["<a ", "<a href", '<a href="', "<a\t href=\n", " ", "http://", "<a href='x' ", 'href="']
)
def test_the_search_takes_no_longer_for_a_page_that_is_made_for_that(part: str) -> None:
    page = "<a" + part * (300_000 // len(part))
    start = time.process_time()
    find_links(page, URL, with_text=True)
    # Far more than it takes on a busy machine, and far less than a search that goes back over the text.
    assert time.process_time() - start < 2
