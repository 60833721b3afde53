"""The section ``variants`` of a scenario."""

from typing import Annotated

import msgspec

from bench.ranges import Count, Names, Positive, Roles

Bits = list[Annotated[int, msgspec.Meta(ge=0, le=40)]]
_Names = Annotated[list[str], msgspec.Meta(min_length=2)]


class Factors(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Levels of the factorial design, at least two of each factor.

    Every combination of every rule (proof of work once per difficulty) and these is simulated in each of the first
    ``repeats``, over ``blocks`` full blocks saturated and as many at the offered load.
    """

    suites: _Names = msgspec.field(default_factory=lambda: ["sha256", "sha1", "md5", "sha3-256"])
    curves: _Names = msgspec.field(default_factory=lambda: ["p256", "secp256k1"])
    difficulty_bits: Bits = msgspec.field(default_factory=lambda: [12, 18])
    block_transactions: Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=200)]], msgspec.Meta(min_length=2)] = (
        msgspec.field(default_factory=lambda: [5, 15])
    )
    topologies: Annotated[list[Roles], msgspec.Meta(min_length=2)] = msgspec.field(
        default_factory=lambda: [[2, 2, 4, 1], [3, 3, 7, 2]]
    )
    blocks: Count = 6
    repeats: Count = 3


class Variants(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Consensus rules and hash suites against each other.

    At ``equal_risk_bits`` proof of work is simulated in the first ``risk_repeats`` with ``confirmations`` and with as
    many as an equal risk takes.  ``extrapolate_bits`` are difficulties that nobody simulates: a model says what they
    would be.
    """

    topology: Roles = msgspec.field(default_factory=lambda: [3, 3, 5, 2])
    suites: Names = msgspec.field(default_factory=lambda: ["sha256", "sha1", "md5"])
    difficulty_bits: Bits = msgspec.field(default_factory=lambda: [10, 12, 14, 16, 20])
    confirmations: Annotated[int, msgspec.Meta(ge=0, le=100)] = 6
    transactions: Count = 300
    outstanding: Count = 180
    offered_per_second: Positive = 20.0
    repeats: Count = 3
    equal_risk_bits: Annotated[int, msgspec.Meta(ge=0, le=40)] = 18
    risk_repeats: Count = 3
    extrapolate_bits: Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=128)]], msgspec.Meta(min_length=1)] = (
        msgspec.field(default_factory=lambda: [24, 28, 32, 40, 79])
    )
    factors: Factors = Factors()
