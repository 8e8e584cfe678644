"""Idempotency keys, shards and escaped names."""

from __future__ import annotations

import hashlib
from types import MappingProxyType

import attrs
import pytest
from drawing import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from imgwire_async.batch.items import Identity
from imgwire_async.batch.keys import (
    KEY_PREFIX,
    Shard,
    derived_key,
    destination_id,
    escape_key,
    fingerprint,
    key_bytes,
    key_text,
    parse_shard,
    shard_of,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()))
FILE = ("/photos", "a.jpg", Identity(3, mtime_ns=4), {"file_name": "a.jpg", "custom_metadata": {"n": 1}}, 0)


def test_a_derived_key_never_changes_between_versions() -> None:
    # Another value would upload every file again whose journal is lost.
    assert derived_key(*FILE) == (
        "imgwire-batch-1-fe947261d9fca69dbba6aceae56458b4b1112ad4d6df4f930f40f09c30793fc1"
    )


@pytest.mark.parametrize(
    "other",
    [
        ("/photos2", *FILE[1:]),
        (FILE[0], "b.jpg", *FILE[2:]),
        (*FILE[:2], Identity(4, mtime_ns=4), *FILE[3:]),
        (*FILE[:2], Identity(3, mtime_ns=5), *FILE[3:]),
        (*FILE[:2], Identity(3, mtime_ns=4, tag="4"), *FILE[3:]),
        (*FILE[:2], Identity(3, mtime_ns=4, sha256="ab"), *FILE[3:]),
        (*FILE[:3], {"file_name": "a.jpg", "custom_metadata": {"n": "1"}}, 0),
        (*FILE[:3], {"file_name": "a.jpg", "custom_metadata": {"n": True}}, 0),
        (*FILE[:4], 1),
    ],
)
def test_another_file_body_or_generation_has_another_key(
    other: tuple[str, str, Identity, dict[str, object], int],
) -> None:
    assert derived_key(*other) != derived_key(*FILE)


def test_a_copy_with_another_time_has_the_same_key_if_the_hash_is_known() -> None:
    first, second = Identity(3, 4, sha256="ab"), Identity(3, 5, sha256="ab")
    assert derived_key("s", "k", first, {}) == derived_key("s", "k", second, {})


def test_the_order_and_the_class_of_the_fields_do_not_matter() -> None:
    identity = Identity(1)
    one = derived_key("s", "k", identity, {"a": 1, "b": {"c": 2, "d": 3}})
    assert one == derived_key("s", "k", identity, {"b": MappingProxyType({"d": 3, "c": 2}), "a": 1})


def test_a_field_that_json_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes"):
        derived_key("s", "k", Identity(1), {"a": b""})


@given(source=ANY_TEXT, key=ANY_TEXT, tag=st.none() | ANY_TEXT, generation=st.integers(0, 9))
def test_the_service_accepts_every_derived_key(
    source: str, key: str, tag: str | None, generation: int
) -> None:
    derived = derived_key(source, key, Identity(1, tag=tag), {"x": key}, generation)
    assert derived.startswith(KEY_PREFIX)
    assert 1 <= len(derived) <= 255
    assert derived.isascii()
    assert derived.isprintable()


@given(ANY_TEXT, ANY_TEXT)
def test_keys_keep_their_text_and_their_order_as_bytes(first: str, second: str) -> None:
    assert key_text(key_bytes(first)) == first
    assert (key_bytes(first) < key_bytes(second)) == (first < second)


# --- shards -------------------------------------------------------------------------------------------------


def test_the_shard_comes_from_the_first_eight_bytes_of_the_hash() -> None:
    number = int.from_bytes(hashlib.sha256("é.jpg".encode()).digest()[:8], "big")
    assert shard_of("é.jpg", 16) == number % 16 + 1


@given(ANY_TEXT, st.integers(1, 50))
def test_each_key_is_in_exactly_one_shard(key: str, count: int) -> None:
    assert sum(key in Shard(index, count) for index in range(1, count + 1)) == 1


@settings(max_examples=examples(20))
@given(st.integers(1, 999_999), st.data())
def test_the_text_of_a_shard_can_be_parsed(count: int, data: st.DataObject) -> None:
    shard = Shard(data.draw(st.integers(1, count)), count)
    assert parse_shard(str(shard)) == shard


@pytest.mark.parametrize(
    "text", ["", "3", "0/16", "17/16", "3/0", "3/16/1", " 3/16", "3/16\n", "-1/2", "٣/١٦", "a/b"]
)
def test_another_text_is_no_shard(text: str) -> None:
    with pytest.raises(ValueError, match='"3/16"'):
        parse_shard(text)


@pytest.mark.parametrize("value", [3, (3, 16), b"3/16", None])
def test_another_type_is_no_shard(value: object) -> None:
    with pytest.raises(TypeError, match='"3/16"'):
        parse_shard(value)


# --- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "escaped"),
    [
        ("a/é 50%.jpg", "a/é 50%.jpg"),
        (b"a\xff\xe9.jpg".decode("utf-8", "surrogateescape"), "a%FF%E9.jpg"),
        ("half \ud83d.jpg", "half %ED%A0%BD.jpg"),
    ],
)
def test_bytes_that_are_not_utf_8_are_escaped(key: str, escaped: str) -> None:
    assert escape_key(key) == escaped


@given(ANY_TEXT)
def test_an_escaped_key_is_valid_utf_8(key: str) -> None:
    assert escape_key(key).encode("utf-8").decode("utf-8") == escape_key(key)


def test_destinations_differ_by_url_and_environment_only() -> None:
    assert destination_id("https://a/", "e") == destination_id("https://a", "e")
    assert len({destination_id("https://a", "e"), destination_id("https://a", None)}) == 2


def test_a_fingerprint_has_eight_characters_of_no_use() -> None:
    key = "sk_test_0123456789abcdef"
    assert len(fingerprint(key)) == 8
    assert fingerprint(key) not in key
    assert fingerprint(key) != fingerprint(key + "x")


def test_an_identity_has_no_other_fields_than_those_that_a_key_contains() -> None:
    # A new field must enter `derived_key` and `plan.compare`, too.
    assert [field.name for field in attrs.fields(Identity)] == ["size", "mtime_ns", "sha256", "tag"]
