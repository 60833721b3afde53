"""What a scenario may say of experiment `storage`."""

from typing import Annotated

import msgspec

from bench.ranges import Roles

Blocks = Annotated[int, msgspec.Meta(ge=4, le=100_000)]
Fill = Annotated[int, msgspec.Meta(ge=1, le=15)]


class Storage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Chains of each number of ``blocks``, each block of ``fills`` transactions.

    Restarts are timed at ``restart_blocks`` full blocks, ``repeats`` times; ``keep`` blocks stay whole when one is
    pruned.  ``block_sizes`` are those of blocks that proofs are taken from.
    """

    topology: Roles = msgspec.field(default_factory=lambda: [3, 3, 4, 2])
    blocks: Annotated[list[Blocks], msgspec.Meta(min_length=2)] = msgspec.field(default_factory=lambda: [40, 120, 240])
    fills: Annotated[list[Fill], msgspec.Meta(min_length=2)] = msgspec.field(default_factory=lambda: [1, 5, 15])
    restart_blocks: Annotated[list[Blocks], msgspec.Meta(min_length=2)] = msgspec.field(
        default_factory=lambda: [20, 60, 120]
    )
    repeats: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 3
    keep: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10
    block_sizes: Annotated[list[Annotated[int, msgspec.Meta(ge=1, le=512)]], msgspec.Meta(min_length=2)] = (
        msgspec.field(default_factory=lambda: [1, 2, 4, 8, 15, 32, 64, 128, 256])
    )
