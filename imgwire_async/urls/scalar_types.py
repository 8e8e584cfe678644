"""Types, for type checkers, of single values that rules accept: numbers, and the keywords of `literals.py`.

The types of numbers do not contain `str`, because a type checker could not tell "300" from "abc". A caller
who wants to pass "300" can use a mapping of options, whose values have no type.
"""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Literal, TypeAlias

from imgwire_async.urls.literals import (
    AlgorithmName,
    FormatName,
    GravityAlias,
    GravityName,
    ProfileName,
    ResizingAlias,
    ResizingName,
    SubsamplingName,
)

# Enum members are allowed, because the checks replace a member by its value.
Integer: TypeAlias = int | Decimal | Enum
Number: TypeAlias = float | Decimal | Fraction | Enum
Quality: TypeAlias = Integer | Literal["auto"]
Progressive: TypeAlias = bool | Literal["auto"]
Format: TypeAlias = FormatName | Enum
Subsampling: TypeAlias = SubsamplingName | Enum
Profile: TypeAlias = ProfileName | Enum
Algorithm: TypeAlias = AlgorithmName | Enum
Resizing: TypeAlias = ResizingName | ResizingAlias | Enum
Gravity: TypeAlias = GravityName | GravityAlias | Enum
GravityRule: TypeAlias = Gravity | Literal["ce:sm"]
