"""The table of rules is what the machine does: every move is a row, every row is a move that happens."""

import random
from collections import Counter
from typing import Any

import pytest

import ehrcore.consensus.pos as module
from ehrcore.consensus.pos import RULES, Phase, Rule
from ehrcore.consensus.seam import Step
from tests.core.protocol.conftest import NIL, PRECOMMIT, PREVOTE, Council
from tests.core.protocol.test_pos_safety import Liar, play

Moves = Counter[tuple[str, Phase]]


def watch(rule: Rule, moves: Moves) -> Rule:
    """The rule, writing down each move with the phase before it and holding it to what its row says."""

    def act(machine: Any, found: Any, now: int, steps: list[Step]) -> None:
        before, place = machine._phase, (machine._height, machine._round)
        rule.act(machine, found, now, steps)
        moves[rule.name, before] += 1
        assert before in rule.phases
        assert machine._phase is (before if rule.to is None else rule.to)
        is_new_place = (machine._height, machine._round) > place
        assert is_new_place == (rule.to in {Phase.IDLE, Phase.PROPOSE}), rule.name

    return rule._replace(act=act)


@pytest.fixture
def moves(monkeypatch: pytest.MonkeyPatch) -> Moves:
    found: Moves = Counter()
    rules = tuple(watch(rule, found) for rule in RULES)
    monkeypatch.setattr(module, "RULES", rules)
    by_phase = {phase: tuple(r for r in rules if phase in r.phases and not r.timer) for phase in Phase}
    monkeypatch.setattr(module, "_BY_PHASE", by_phase)
    return found


def test_every_move_is_in_the_table_and_every_row_happens(moves: Moves) -> None:
    for seed in range(200):
        chance = random.Random(f"rules|{seed}")
        council = Council(4)
        liar = Liar(council) if seed % 2 else None
        council.ready(*council.machines)
        for _ in range(60):
            play(council, [chance.getrandbits(16) for _ in range(4)], may_lose=seed % 3 != 0)
            if liar:
                liar.lie(chance.getrandbits(16))
        council.settle()
    council = Council(4)
    late = council.bystander(2)
    council.ready(late)
    others = [name for name in council.names if name != late]
    council.tell(late, *(council.scribe.vote(name, NIL, 1, PREVOTE) for name in others))
    council = Council(4)
    late = council.bystander(1)
    council.ready(late)
    council.tell(late, *(council.scribe.vote(name, NIL, 0, PRECOMMIT) for name in council.names if name != late))
    council.fire_all(late, "precommit")
    assert set(moves) == {(rule.name, phase) for rule in RULES for phase in rule.phases}


def test_rules_have_distinct_names_and_lines() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.lines and rule.when and rule.then for rule in RULES)
