"""What a scenario may say of experiment `privacy`."""

from typing import Annotated

import msgspec

Digits = Annotated[int, msgspec.Meta(ge=1, le=9)]


class Privacy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Ids are enumerated for each number of ``digits``; a guess is timed in ``rounds`` of ``guesses`` (scrypt: 1).

    ``patients`` are looked for in each enumeration.  ``people`` visit hospitals, of whom ``targets`` are looked for;
    ``population`` is divided into classes, and ``samples`` of it too.
    """

    digits: Annotated[list[Digits], msgspec.Meta(min_length=1)] = msgspec.field(default_factory=lambda: [4, 6])
    rounds: Annotated[int, msgspec.Meta(ge=6, le=10_000)] = 8
    guesses: Annotated[int, msgspec.Meta(ge=100, le=10_000_000)] = 10_000
    patients: Annotated[int, msgspec.Meta(ge=1, le=10)] = 10
    documents: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 10
    people: Annotated[int, msgspec.Meta(ge=100, le=1_000_000)] = 4_000
    targets: Annotated[int, msgspec.Meta(ge=10, le=1_000_000)] = 300
    population: Annotated[int, msgspec.Meta(ge=1_000, le=10_000_000)] = 100_000
    samples: Annotated[list[Annotated[int, msgspec.Meta(ge=2, le=1_000_000)]], msgspec.Meta(min_length=1)] = (
        msgspec.field(default_factory=lambda: [1_000, 10_000])
    )

    def __post_init__(self) -> None:
        if max(self.samples) > self.population:
            raise ValueError(f"Expected samples of at most the population of {self.population}")
