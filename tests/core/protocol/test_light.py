"""A light client believes certificates of those who voted at the time, and nothing else."""

from collections.abc import Iterable

import msgspec
import pytest

from ehrcore.block import Attestation, Change, Header, StakeCertificate, Validator, VoteBody
from ehrcore.consensus.validators import ValidatorSet
from ehrcore.errors import ValidationError
from ehrcore.light import LightClient
from tests.core.protocol.conftest import PRECOMMIT, Scribe

NAMES = tuple(f"administrator-{index}" for index in range(4))


def voters_of(scribe: Scribe, **stakes: int) -> ValidatorSet:
    """Administrators by index (``a0=2``) with their stakes."""
    members = (
        Validator(name := f"administrator-{key[1:]}", stake, scribe.network.keys[name].public_bytes)
        for key, stake in stakes.items()
    )
    return ValidatorSet(scribe.crypto, members)


def header(scribe: Scribe, height: int, voters: ValidatorSet, following: ValidatorSet | None = None) -> Header:
    block = scribe.block((), height=height, validators=voters.digest)
    return msgspec.structs.replace(block.header, next_validators=(following or voters).digest)


def certify(scribe: Scribe, head: Header, names: Iterable[str]) -> StakeCertificate:
    body = VoteBody(scribe.chain, head.height, 0, PRECOMMIT, scribe.crypto.hash_struct(head))
    return StakeCertificate(0, tuple(Attestation(name, scribe.cryptos[name].sign(body)) for name in names))


class Story:
    """Four equal voters; from height 5 on administrator 3 is gone, from height 9 on administrator 0 has most."""

    def __init__(self, scribe: Scribe) -> None:
        self.scribe = scribe
        self.first = scribe.validators
        self.second = voters_of(scribe, a0=1, a1=1, a2=1)
        self.third = voters_of(scribe, a0=7, a1=1, a2=1)
        self.trail = (
            self.change(4, self.first, self.second, NAMES),
            self.change(8, self.second, self.third, NAMES[:3]),
        )
        self.client = LightClient(scribe.crypto, scribe.params, scribe.chain, self.first)

    def change(self, height: int, voters: ValidatorSet, following: ValidatorSet, names: Iterable[str]) -> Change:
        head = header(self.scribe, height, voters, following)
        return Change(head, certify(self.scribe, head, names), following.members)

    def verify(self, height: int, voters: ValidatorSet, names: Iterable[str], trail: tuple[Change, ...] = ()) -> None:
        head = header(self.scribe, height, voters)
        self.client.verify(head, certify(self.scribe, head, names), trail)


@pytest.fixture
def story(scribe: Scribe) -> Story:
    return Story(scribe)


def test_headers_of_every_term_verify_in_any_order_once_the_trail_is_known(story: Story) -> None:
    story.verify(3, story.first, NAMES[:3])
    story.verify(12, story.third, NAMES[:1], story.trail)
    story.verify(6, story.second, NAMES[:3])
    story.verify(4, story.first, NAMES[1:], story.trail)


def test_a_set_certifies_its_own_term_alone(story: Story) -> None:
    story.verify(12, story.third, NAMES[:1], story.trail)
    for height, voters in ((5, story.first), (9, story.second), (3, story.second), (8, story.third)):
        with pytest.raises(ValidationError, match="^validators"):
            story.verify(height, voters, NAMES)


def test_without_the_trail_other_voters_are_not_believed(story: Story) -> None:
    with pytest.raises(ValidationError, match="^validators"):
        story.verify(6, story.second, NAMES[:3])
    with pytest.raises(ValidationError, match="^validators"):
        story.verify(12, story.third, NAMES[:1], story.trail[:1])


def test_a_trail_must_be_certified_and_name_whom_its_header_names(story: Story) -> None:
    thin = story.change(4, story.first, story.second, NAMES[:2])
    with pytest.raises(ValidationError, match="two thirds"):
        story.verify(6, story.second, NAMES[:3], (thin,))
    usurped = msgspec.structs.replace(story.trail[0], validators=voters_of(story.scribe, a3=1).members)
    with pytest.raises(ValidationError, match="^next-validators"):
        story.verify(6, story.second, NAMES[:3], (usurped,))


def test_less_than_a_quorum_of_the_stake_or_another_chain_is_no_proof(story: Story) -> None:
    with pytest.raises(ValidationError, match="two thirds"):
        story.verify(3, story.first, NAMES[:2])
    with pytest.raises(ValidationError, match="two thirds"):
        story.verify(12, story.third, NAMES[1:3], story.trail)
    head = msgspec.structs.replace(header(story.scribe, 3, story.first), chain=bytes(32))
    with pytest.raises(ValidationError, match="^chain"):
        story.client.verify(head, certify(story.scribe, head, NAMES))
