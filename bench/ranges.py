"""Ranges that a scenario's values have to be in."""

from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
# Bounded above, too: TOML has an infinity.
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Names = Annotated[list[str], msgspec.Meta(min_length=1)]
Roles = Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=100)]], msgspec.Meta(min_length=4, max_length=4)]
Topologies = Annotated[list[Roles], msgspec.Meta(min_length=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3_600)]
