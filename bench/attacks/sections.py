"""The sections of a scenario that are about attacks on ledgers, stores and digests."""

from typing import Annotated

import msgspec

from bench.ranges import Count, Names


class Tamper(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is changed in ledgers of each of ``suites``: bits in ``bytes`` bytes drawn by the seed, in every byte if 0.

    A field that stands in several places is changed in one of them, or, with ``every_place``, in each.
    """

    suites: Names = msgspec.field(default_factory=lambda: ["sha256", "sha1", "md5"])
    bytes: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    every_place: bool = False


class Collisions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Published collisions, and those of the folder ``pairs`` (files NAME.a and NAME.b), in variants with ``suites``.

    Besides, collisions are searched for on digests cut to each of ``bits`` bits: ``searches`` times each, or as
    often as about ``hashes`` hashes allow, but twice.
    """

    suites: Names = msgspec.field(default_factory=lambda: ["sha256", "sha1", "md5"])
    pairs: str = ""
    bits: Annotated[list[Annotated[int, msgspec.Meta(ge=8, le=56)]], msgspec.Meta(min_length=3)] = msgspec.field(
        default_factory=lambda: [24, 28, 32, 36, 40, 44]
    )
    searches: Count = 20
    hashes: Count = 2_000_000
