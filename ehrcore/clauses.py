"""Clauses of agreements: data that says what may be done, in a language that every node evaluates alike.

An expression is a small tree over the facts of one act.  There are no loops, no floats, no names to define and nothing
to call, so evaluation ends; size and depth are bounded where clauses are made or decoded, and steps are counted when
they are evaluated.  Evaluation is total: it answers for every tree and every fact, and never raises.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Final

import msgspec

from ehrcore.consent import Action
from ehrcore.errors import ParameterError
from ehrcore.types import Nanos

#: Bounds of one agreement: nodes of all its expressions together, nodes on a path from root to leaf, parts of one node.
MOST_NODES: Final = 128
MOST_DEPTH: Final = 8
MOST_PARTS: Final = 16
MOST_CLAUSES: Final = 16
#: Steps that the clauses of one agreement may take for one act: one per node, and what is in bounds never takes more.
FUEL: Final = 2 * MOST_NODES

Word = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9.-]*\Z")]


class WordFact(StrEnum):
    """Facts that are words.  A fact that an act does not have (a record's purpose) matches nothing."""

    ACTION = "action"
    AUTHOR = "author"
    EMERGENCY = "emergency"
    KIND = "kind"
    PURPOSE = "purpose"


class NumberFact(StrEnum):
    """Facts that are numbers: of bytes, nanoseconds since 1970, and acts under the agreement so far."""

    SIZE_BYTES = "size_bytes"
    SUBMITTED_AT = "submitted_at"
    USES = "uses"


class Comparison(StrEnum):
    """How a number is compared."""

    IS = "is"
    BELOW = "below"
    AT_LEAST = "at_least"


class Effect(StrEnum):
    """What follows if a clause's expression holds (for `REQUIRE`: if it does not)."""

    PERMIT = "permit"
    DENY = "deny"
    REQUIRE = "require"


def action_word(action: Action) -> str:
    """An action as clauses name it: ``read``, ``search`` or ``write``."""
    return action.name.lower()


class Match(msgspec.Struct, frozen=True, array_like=True, tag="match"):
    """A word is one of those listed."""

    fact: WordFact
    words: Annotated[tuple[Word, ...], msgspec.Meta(min_length=1, max_length=MOST_PARTS)]


class Compare(msgspec.Struct, frozen=True, array_like=True, tag="compare"):
    """A number compares as told; false if the act has no such number."""

    fact: NumberFact
    comparison: Comparison
    number: Nanos


class Not(msgspec.Struct, frozen=True, array_like=True, tag="not"):
    """The part does not hold."""

    part: "Expression"


class And(msgspec.Struct, frozen=True, array_like=True, tag="and"):
    """All parts hold; with no part, always."""

    parts: Annotated[tuple["Expression", ...], msgspec.Meta(max_length=MOST_PARTS)]


class Or(msgspec.Struct, frozen=True, array_like=True, tag="or"):
    """At least one part holds; with no part, never."""

    parts: Annotated[tuple["Expression", ...], msgspec.Meta(max_length=MOST_PARTS)]


Expression = Match | Compare | Not | And | Or


class Clause(msgspec.Struct, frozen=True, array_like=True):
    """When the expression holds, then the effect.  `ParameterError` if the expression is out of bounds."""

    effect: Effect
    when: Expression

    def __post_init__(self) -> None:
        measure(self.when)


def parts_of(expression: Expression) -> Sequence[Expression]:
    """The next level of the tree."""
    if isinstance(expression, And | Or):
        return expression.parts
    return (expression.part,) if isinstance(expression, Not) else ()


def measure(expression: Expression) -> int:
    """Count the nodes; `ParameterError` beyond `MOST_NODES` or `MOST_DEPTH`, found without walking any further."""
    count, depth, level = 0, 0, [expression]
    while level:
        count, depth = count + len(level), depth + 1
        if count > MOST_NODES:
            raise ParameterError(f"expression: expected at most {MOST_NODES} nodes, found {count} or more")
        if depth > MOST_DEPTH:
            raise ParameterError(f"expression: expected at most {MOST_DEPTH} levels, found {depth} or more")
        level = [part for item in level for part in parts_of(item)]
    return count


def validate_clauses(clauses: Sequence[Clause]) -> None:
    """Raise `ParameterError` unless all clauses together are within the bounds of one agreement."""
    if not 1 <= len(clauses) <= MOST_CLAUSES:
        raise ParameterError(f"clauses: expected 1 to {MOST_CLAUSES}, found {len(clauses)}")
    count = sum(measure(clause.when) for clause in clauses)
    if count > MOST_NODES:
        raise ParameterError(f"clauses: expected at most {MOST_NODES} nodes, found {count}")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one act; a fact that is not in its map is not had."""

    words: Mapping[WordFact, str]
    numbers: Mapping[NumberFact, int]


class _ExhaustedError(Exception):
    """Out of fuel; never leaves this module."""


class _Machine:
    """One evaluation: facts and the fuel that is left."""

    __slots__ = ("_facts", "fuel")

    def __init__(self, facts: Facts, fuel: int) -> None:
        self._facts, self.fuel = facts, fuel

    def holds(self, expression: Expression) -> bool:
        # Every call costs fuel, of which there is less than Python has stack: also a tree that was never measured ends.
        if self.fuel <= 0:
            raise _ExhaustedError
        self.fuel -= 1
        match expression:
            case Match(fact=fact, words=words):
                return self._facts.words.get(fact) in words
            case Compare(fact=number_fact, comparison=comparison, number=number):
                found = self._facts.numbers.get(number_fact)
                return found is not None and _COMPARISONS[comparison](found, number)
            case Not(part=part):
                return not self.holds(part)
            case And(parts=parts):
                return all(map(self.holds, parts))
            case Or(parts=parts):
                return any(map(self.holds, parts))


_COMPARISONS: Final[Mapping[Comparison, Callable[[int, int], bool]]] = MappingProxyType(
    {Comparison.IS: int.__eq__, Comparison.BELOW: int.__lt__, Comparison.AT_LEAST: int.__ge__}
)


def evaluate(clauses: Sequence[Clause], facts: Facts, fuel: int = FUEL) -> tuple[tuple[bool, ...], int]:
    """Whether each clause's expression holds, in order, and the steps that it took; fewer if ``fuel`` runs out."""
    machine, held = _Machine(facts, fuel), list[bool]()
    with contextlib.suppress(_ExhaustedError):
        for clause in clauses:
            held.append(machine.holds(clause.when))
    return tuple(held), fuel - machine.fuel


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether the act is in order, the steps it took to say so, and the first clause against it, if it is one."""

    is_permitted: bool
    steps: int
    clause: int | None = None


def decide(clauses: Sequence[Clause], facts: Facts, fuel: int = FUEL) -> Decision:
    """Whether the clauses let the act pass: every `REQUIRE` holds, no `DENY` does, and at least one `PERMIT` does.

    A clause that no ``fuel`` is left for stands against the act, whatever it says.
    """
    held, steps = evaluate(clauses, facts, fuel)
    for index, (clause, holds) in enumerate(zip(clauses, held, strict=False)):
        if clause.effect is not Effect.PERMIT and holds is (clause.effect is Effect.DENY):
            return Decision(is_permitted=False, steps=steps, clause=index)
    if len(held) < len(clauses):
        return Decision(is_permitted=False, steps=steps, clause=len(held))
    permits = (holds for clause, holds in zip(clauses, held, strict=True) if clause.effect is Effect.PERMIT)
    return Decision(any(permits), steps)
