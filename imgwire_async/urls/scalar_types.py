"""Types of the single values that rules and fields accept: numbers, and the keywords of `literals.py`.

Numeric text such as "300" is accepted in an options mapping only. A type checker could not distinguish "300"
from "abc", so these types contain no `str`.
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

# An enum member is replaced by its value, which a type checker does not know.
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
