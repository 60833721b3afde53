"""Negative controls: what must break an invariant, or the harness is broken.

A mutant is a bug planted in the rules, or one liar too many.  The search has to find it among its own random schedules,
or under a schedule made for it, and the same schedule has to pass without it.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import msgspec

from ehrcore.block import Validator
from ehrcore.consensus import finality
from ehrcore.consensus.pos import ProofOfStake
from ehrcore.consensus.rounds import HeightVotes
from ehrcore.consensus.validators import ValidatorSet
from ehrcore.errors import ParameterError
from ehrcore.faults.plan import Behaviour, Byzantine, Fault, FaultPlan, Twin, partition
from ehrcore.faults.schedules import Schedule, administrators
from ehrcore.messages import Vote
from ehrcore.params import ConsensusRule
from ehrcore.types import MILLISECOND

Patch = tuple[Any, str, Any]


class Mutant(msgspec.Struct, frozen=True):
    """A planted bug: ``patches`` replace attributes, ``change`` makes a schedule worse than is allowed.

    ``rules`` are the invariants of which one must break, ``made`` a schedule made for it, if there is one;
    ``overlooked`` are invariants that are not asked under it, so that the harm itself shows.
    """

    text: str
    rules: tuple[str, ...]
    patches: tuple[Patch, ...] = ()
    change: Callable[[Schedule], Schedule] | None = None
    nodes: int = 4
    made: Schedule | None = None
    overlooked: frozenset[str] = frozenset()


def find_mutant(name: str) -> Mutant | None:
    """The mutant of a name, None for ""; `ParameterError` if there is none of it."""
    if name and name not in MUTANTS:
        raise ParameterError(f"mutant: expected one of {', '.join(MUTANTS)}, found {name!r}")
    return MUTANTS[name] if name else None


def planted(mutant: Mutant | None) -> AbstractContextManager[None]:
    """With the mutant's bug in the rules; without it again afterwards."""
    return patched(mutant.patches if mutant else ())


@contextmanager
def patched(patches: Iterable[Patch]) -> Iterator[None]:
    """With the attributes of classes or modules replaced (owner, name, value); as they were again afterwards."""
    chosen = tuple(patches)
    before = [(owner, name, owner.__dict__[name]) for owner, name, _ in chosen]
    try:
        for owner, name, value in chosen:
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


# -- bugs --------------------------------------------------------------------------------------------------------------


def _is_two_thirds(self: ValidatorSet, stake: int) -> bool:
    return 3 * stake >= 2 * self.total_stake


def _is_most_heads(self: ValidatorSet, heads: int) -> bool:
    return 3 * heads > 2 * len(self.members)


def _find_head(self: ValidatorSet, node: str) -> Validator | None:
    member = self._by_node.get(node)
    return Validator(member.node, 1, member.public_key) if member else None


def _proposer_by_turns(self: ValidatorSet, _crypto: Any, _chain: bytes, height: int, round_: int) -> Validator:
    return self.members[(height + round_) % len(self.members)]


def _do_nothing(*_: Any) -> None:
    """Instead of a check that raises, or of something that matters."""


def _say_yes(*_: Any) -> bool:
    return True


def _find_any_of_round(self: HeightVotes, vote: Vote) -> Vote | None:
    mine = [
        held for (round_, _, voter), held in self._first.items() if (round_, voter) == (vote.body.round, vote.voter)
    ]
    return mine[0] if mine else None


# -- schedules ---------------------------------------------------------------------------------------------------------


def _make_fork(nodes: int) -> Schedule:
    """A third of the nodes lies to each half of the others as that half likes it: one as a twin, more in concert."""
    names = administrators(nodes)
    liars, honest = names[: nodes // 3], names[nodes // 3 :]
    half = len(honest) // 2
    faults: list[Fault] = [*partition(honest[:half], honest[half:])]
    if len(liars) == 1:
        faults.append(Twin(liars[0], honest[:half], honest[half:]))
    else:
        faults = [Byzantine(name, Behaviour.EQUIVOCATE) for name in liars]
    load = tuple(number * 100 * MILLISECOND for number in range(60))
    plan = FaultPlan(tuple(faults))
    return Schedule(f"fork {nodes}", ConsensusRule.PROOF_OF_STAKE, (1,) * nodes, MILLISECOND, 0, load, plan)


def _add_liars(schedule: Schedule) -> Schedule:
    """Two liars of four, who split the other two between them."""
    names = list(administrators(4))
    random.Random(f"{schedule.label}|two liars").shuffle(names)
    kept = [fault for fault in schedule.plan.faults if not isinstance(fault, Byzantine | Twin)]
    lies = [Byzantine(name, Behaviour.EQUIVOCATE) for name in names[:2]]
    return msgspec.structs.replace(schedule, stakes=(1,) * 4, plan=FaultPlan((*kept, *lies)))


_TWO_THIRDS: Final[tuple[Patch, ...]] = ((ValidatorSet, "is_quorum", _is_two_thirds),)
#: The negative controls by name.
MUTANTS: Final[dict[str, Mutant]] = {
    "two-liars": Mutant("two of four administrators lie", ("agreement",), change=_add_liars),
    "two-thirds-of-3": Mutant(
        "a quorum is at least two thirds, of 3", ("quorum",), _TWO_THIRDS, nodes=3
    ),
    "two-thirds-of-6": Mutant(
        "a quorum is at least two thirds, of 6", ("quorum",), _TWO_THIRDS, nodes=6
    ),
    "fork-of-3": Mutant(
        "the same, and only what comes of it is looked at", ("agreement",), _TWO_THIRDS, nodes=3,
        made=_make_fork(3), overlooked=frozenset({"quorum"}),
    ),
    "fork-of-6": Mutant(
        "the same, and only what comes of it is looked at", ("agreement",), _TWO_THIRDS, nodes=6,
        made=_make_fork(6), overlooked=frozenset({"quorum"}),
    ),
    "no-lock": Mutant(
        "who has precommitted a block prevotes any other", ("lock", "agreement"),
        ((ProofOfStake, "_may_accept", _say_yes),),
    ),
    "no-log": Mutant(
        "who restarts has forgotten what it said", ("double-sign",), ((ProofOfStake, "_recall", _do_nothing),)
    ),
    "heads": Mutant(
        "votes are counted, not stake", ("quorum",),
        ((ValidatorSet, "is_quorum", _is_most_heads), (ValidatorSet, "find", _find_head)),
    ),
    "turns": Mutant(
        "proposers take turns whatever their stake", ("validity",), ((ValidatorSet, "proposer", _proposer_by_turns),)
    ),
    "hasty": Mutant(
        "a prevote and a precommit of one round are taken for a contradiction", ("evidence",),
        ((HeightVotes, "first", _find_any_of_round),),
    ),
    "blind": Mutant(
        "certificates are not verified", ("quorum", "agreement", "validity"),
        ((finality, "_verify_stake", _do_nothing),),
    ),
    "mute": Mutant(
        "nobody says anything twice", ("liveness",), ((ProofOfStake, "_repeat", _do_nothing),)
    ),
}  # fmt: skip
