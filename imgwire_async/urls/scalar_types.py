"""The types of single values that rules and fields take: numbers, and the words of `literals.py`.

Numbers are numbers here. Numeric text, as templates give it, is taken in a mapping: a type checker could not tell "300"
from "abc".
"""

from __future__ import annotations

from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Literal, TypeAlias

from imgwire_async.urls.literals import (
    AlgorithmWord,
    FormatWord,
    GravityAlias,
    GravityWord,
    ProfileWord,
    ResizingAlias,
    ResizingWord,
    SubsamplingWord,
)

# Enum members stand for their value; which values they have no type checker can tell.
Integer: TypeAlias = int | Decimal | Enum
Number: TypeAlias = float | Decimal | Fraction | Enum
Quality: TypeAlias = Integer | Literal["auto"]
Progressive: TypeAlias = bool | Literal["auto"]
Format: TypeAlias = FormatWord | Enum
Subsampling: TypeAlias = SubsamplingWord | Enum
Profile: TypeAlias = ProfileWord | Enum
Algorithm: TypeAlias = AlgorithmWord | Enum
Resizing: TypeAlias = ResizingWord | ResizingAlias | Enum
Gravity: TypeAlias = GravityWord | GravityAlias | Enum
GravityRule: TypeAlias = Gravity | Literal["ce:sm"]
