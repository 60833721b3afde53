"""A commit certificate is worth strictly more than two thirds of the stake, once per administrator, for one block."""

import hashlib
from collections import Counter
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehrcore.block import Attestation, OrdererCertificate, StakeCertificate, VoteBody, WorkCertificate
from ehrcore.codec import encode
from ehrcore.consensus.finality import verify_certificate
from ehrcore.consensus.validators import Validator, ValidatorSet
from ehrcore.errors import ValidationError
from tests.core.protocol.conftest import PREVOTE, Scribe, make_network, make_params


def names(*indices: int) -> tuple[str, ...]:
    return tuple(f"administrator-{index}" for index in indices)


def is_accepted(scribe: Scribe, block: Any, certificate: Any) -> bool:
    try:
        verify_certificate(
            scribe.crypto, scribe.params, scribe.validators, block.header, scribe.hash(block), certificate
        )
    except ValidationError as error:
        return error.rule != "certificate"
    return True


@pytest.mark.parametrize(
    ("stakes", "voters", "is_enough"),
    [
        ((1, 1, 1), (0, 1), False),  # exactly two thirds
        ((1, 1, 1), (0, 1, 2), True),
        ((1, 1, 1, 1), (0, 1), False),
        ((1, 1, 1, 1), (1, 2, 3), True),
        ((2, 1, 1, 1, 1), (0, 1, 2), False),  # 4 of 6
        ((2, 1, 1, 1, 1), (0, 1, 2, 3), True),
        ((10, 1, 5, 3), (0, 1), False),  # 11 of 19
        ((10, 1, 5, 3), (0, 3), True),  # 13 of 19
        ((10, 1, 5, 3), (1, 2, 3), False),  # three of four, but 9 of 19
        ((7,), (0,), True),
    ],
)
def test_more_than_two_thirds_of_the_stake_and_not_of_the_heads(
    stakes: tuple[int, ...], voters: tuple[int, ...], is_enough: bool
) -> None:
    scribe = Scribe(make_network(make_params((3, 3, len(stakes), 1), is_modelled=False), stakes))
    block = scribe.block([])
    assert is_accepted(scribe, block, scribe.certificate(block, names(*voters))) == is_enough


@pytest.mark.parametrize("total", [3, 6, 9, 30, 300, 3 << 50])
def test_exactly_a_third_is_no_third_and_exactly_two_thirds_no_quorum(total: int) -> None:
    crypto = make_network(make_params()).crypto("visitor-0")
    validators = ValidatorSet(crypto, [Validator("administrator-0", total, bytes(33))])
    third = total // 3
    assert [validators.is_third(held) for held in (third - 1, third, third + 1)] == [False, False, True]
    assert [validators.is_quorum(held) for held in (2 * third - 1, 2 * third, 2 * third + 1)] == [False, False, True]


@given(stakes=st.lists(st.integers(1, 12) | st.integers(1, 1 << 40), min_size=1, max_size=9), data=st.data())
def test_quorums_of_any_stakes_are_those_of_exact_fractions(stakes: list[int], data: st.DataObject) -> None:
    crypto = make_network(make_params()).crypto("visitor-0")
    members = [Validator(f"administrator-{index}", stake, bytes(33)) for index, stake in enumerate(stakes)]
    validators = ValidatorSet(crypto, members)
    chosen = data.draw(st.lists(st.booleans(), min_size=len(stakes), max_size=len(stakes)))
    held = sum(stake for stake, is_in in zip(stakes, chosen, strict=True) if is_in)
    assert validators.is_quorum(held) == (Fraction(held, sum(stakes)) > Fraction(2, 3))
    assert validators.is_third(held) == (Fraction(held, sum(stakes)) > Fraction(1, 3))


@given(stakes=st.lists(st.integers(1, 12), min_size=1, max_size=7))
def test_two_quorums_share_more_than_a_third_of_the_stake(stakes: list[int]) -> None:
    """Hence an honest node, while the dishonest hold a third at most."""
    crypto = make_network(make_params()).crypto("visitor-0")
    validators = ValidatorSet(crypto, [Validator(f"node-{i}", s, bytes(33)) for i, s in enumerate(stakes)])
    total = sum(stakes)
    quorums = [held for held in range(total + 1) if validators.is_quorum(held)]
    assert all(validators.is_third(2 * held - total) for held in quorums)


def voted(scribe: Scribe, shown: Any, **changes: Any) -> StakeCertificate:
    """Votes of everyone for something else than this block in round 0."""
    body = VoteBody(scribe.chain, 1, 0, 2, scribe.hash(shown))
    body = msgspec.structs.replace(body, **changes)
    return StakeCertificate(0, tuple(Attestation(n, scribe.cryptos[n].sign(body)) for n in names(0, 1, 2, 3)))


MUTATIONS: dict[str, Any] = {
    "no votes": lambda *_: StakeCertificate(0, ()),
    "one voter three times": lambda scribe, block: StakeCertificate(0, scribe.certificate(block, names(0)).votes * 3),
    "a duplicate beyond a quorum": lambda scribe, block: StakeCertificate(
        0, (*scribe.certificate(block).votes, *scribe.certificate(block, names(0)).votes)
    ),
    "a stranger among them": lambda scribe, block: StakeCertificate(
        0, (*scribe.certificate(block).votes, *scribe.certificate(block, ["agent-0"]).votes)
    ),
    "votes of agents": lambda scribe, block: scribe.certificate(block, ["agent-0", "agent-1", "agent-2"]),
    "one vote under another's name": lambda scribe, block: StakeCertificate(
        0,
        (
            *scribe.certificate(block, names(0, 1)).votes,
            Attestation("administrator-2", scribe.certificate(block, names(3)).votes[0].signature),
        ),
    ),
    "one bad vote beyond a quorum": lambda scribe, block: StakeCertificate(
        0, (*scribe.certificate(block, names(0, 1, 2)).votes, Attestation("administrator-3", bytes(64)))
    ),
    "another block": lambda scribe, block: voted(scribe, block, block=bytes(32)),
    "no block": lambda scribe, block: voted(scribe, block, block=b""),
    "another round": lambda scribe, block: voted(scribe, block, round=1),
    "round not as shown": lambda scribe, block: StakeCertificate(1, scribe.certificate(block).votes),
    "another height": lambda scribe, block: voted(scribe, block, height=2),
    "another chain": lambda scribe, block: voted(scribe, block, chain=b"\1" * 32),
    "prevotes": lambda scribe, block: voted(scribe, block, step=PREVOTE),
    "another rule's: orderer": lambda scribe, block: OrdererCertificate(
        scribe.cryptos["administrator-0"].sign(block.header)
    ),
    "another rule's: work": lambda *_: WorkCertificate(()),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_certificate_is_refused_with(real_scribe: Scribe, name: str) -> None:
    block = real_scribe.block([])
    assert is_accepted(real_scribe, block, real_scribe.certificate(block))
    assert not is_accepted(real_scribe, block, MUTATIONS[name](real_scribe, block))


def test_a_certificate_of_one_block_certifies_no_other(real_scribe: Scribe) -> None:
    certificate = real_scribe.certificate(real_scribe.block([]))
    assert not is_accepted(real_scribe, real_scribe.block([], timestamp=5), certificate)


# -- the proposer ------------------------------------------------------------------------------------------------------


def test_proposers_are_drawn_in_proportion_to_stake() -> None:
    stakes, draws = (1, 2, 3, 4), 4_000
    scribe = Scribe(make_network(make_params(), stakes))
    drawn = Counter(
        scribe.validators.proposer(scribe.crypto, scribe.chain, draw // 4, draw % 4).node for draw in range(draws)
    )
    expected = {name: draws * stake / sum(stakes) for name, stake in zip(names(0, 1, 2, 3), stakes, strict=True)}
    chi_square = sum((drawn[name] - mean) ** 2 / mean for name, mean in expected.items())
    # The 99.9 % point of chi-square with three degrees of freedom (any table).
    assert chi_square < 16.27


def test_the_draw_is_the_same_for_everyone_whatever_the_order_of_the_members(scribe: Scribe) -> None:
    backwards = ValidatorSet(scribe.crypto, reversed(scribe.validators.members))
    assert backwards.digest == scribe.validators.digest
    for height in range(1, 40):
        one = scribe.validators.proposer(scribe.crypto, scribe.chain, height, 0)
        assert backwards.proposer(scribe.network.crypto("agent-0"), scribe.chain, height, 0) == one


def test_the_draw_is_the_hash_of_chain_height_and_round_modulo_the_stake() -> None:
    crypto = make_network(make_params()).crypto("visitor-0")
    validators = ValidatorSet(crypto, [Validator(f"node-{i}", i + 1, bytes(33)) for i in range(4)])
    tickets = [f"node-{i}" for i in range(4) for _ in range(i + 1)]
    for round_ in range(40):
        digest = hashlib.sha256(encode(("proposer", bytes(32), 1, round_))).digest()
        drawn = tickets[int.from_bytes(digest) % len(tickets)]
        assert validators.proposer(crypto, bytes(32), 1, round_).node == drawn
