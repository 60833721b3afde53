"""Evidence convicts the guilty and nobody else."""

from typing import Any

import msgspec
import pytest

from ehrcore.block import Evidence, Statement
from ehrcore.consensus.evidence import is_contradiction, statement_of
from ehrcore.consensus.seam import Accused
from ehrcore.identity import Reason, Registry
from ehrcore.rules import AUTHORITY, check_transaction
from ehrcore.state import open_registry
from tests.core.protocol.conftest import NIL, PRECOMMIT, PREVOTE, Council, Scribe

GUILTY = "administrator-1"
A, B = b"\x0a" * 32, b"\x0b" * 32


def evidence(scribe: Scribe, *, other: dict[str, Any] | None = None, signer: str = GUILTY) -> Evidence:
    """Two prevotes for one place; ``other`` replaces fields of the second one's body."""
    first = scribe.vote(GUILTY, A, 0, PREVOTE)
    body = msgspec.structs.replace(scribe.vote(GUILTY, B, 0, PREVOTE).body, **(other or {}))
    return Evidence(GUILTY, statement_of(first), Statement(body, scribe.cryptos[signer].sign(body)))


def is_shown(scribe: Scribe, shown: Evidence) -> bool:
    key = scribe.network.keys[GUILTY].public_bytes
    return is_contradiction(scribe.crypto, scribe.chain, key, shown)


def test_two_votes_in_one_place_convict(scribe: Scribe) -> None:
    assert is_shown(scribe, evidence(scribe))
    assert is_shown(scribe, evidence(scribe, other={"block": NIL}))


@pytest.mark.parametrize(
    "other", [{"block": A}, {"round": 1}, {"height": 2}, {"step": PRECOMMIT}, {"chain": bytes(32)}], ids=str
)
def test_words_for_different_places_or_the_same_words_convict_nobody(scribe: Scribe, other: dict[str, Any]) -> None:
    assert not is_shown(scribe, evidence(scribe, other=other))


def test_what_another_has_signed_convicts_nobody(scribe: Scribe) -> None:
    assert not is_shown(scribe, evidence(scribe, signer="administrator-2"))


def test_two_proposals_in_one_round_convict(scribe: Scribe) -> None:
    blocks = [scribe.block([scribe.endorsed(scribe.transaction(nonce))]) for nonce in (1, 2)]
    proposer = scribe.validators.proposer(scribe.crypto, scribe.chain, 1, 0).node
    first, second = (statement_of(scribe.propose(block)) for block in blocks)
    key = scribe.network.keys[proposer].public_bytes
    assert is_contradiction(scribe.crypto, scribe.chain, key, Evidence(proposer, first, second))
    assert not is_contradiction(scribe.crypto, scribe.chain, key, Evidence(proposer, first, first))


# -- as a transaction --------------------------------------------------------------------------------------------------


def judge(scribe: Scribe, shown: Evidence, author: str = "administrator-0", nonce: int = 1 * 4 + 1) -> Reason:
    registry: Registry = open_registry(scribe.params, scribe.network.certificates, scribe.crypto)
    tx = scribe.signed(shown, nonce, author, author)
    return check_transaction(scribe.crypto, registry, None, scribe.chain, tx, 0)


def test_administrators_alone_accuse_under_the_offences_own_nonce(scribe: Scribe) -> None:
    shown = evidence(scribe)
    assert judge(scribe, shown) is Reason.ACCEPTED
    assert judge(scribe, shown, nonce=6) is Reason.BAD_EVIDENCE
    assert judge(scribe, shown, "visitor-0") is Reason.WRONG_ROLE
    assert judge(scribe, shown, "agent-0") is Reason.WRONG_ROLE
    assert judge(scribe, shown, AUTHORITY) is Reason.NO_RIGHT


def test_evidence_that_shows_nothing_is_refused(scribe: Scribe) -> None:
    assert judge(scribe, evidence(scribe, other={"round": 1})) is Reason.BAD_EVIDENCE
    stranger = msgspec.structs.replace(evidence(scribe), offender="administrator-9")
    assert judge(scribe, stranger) is Reason.BAD_EVIDENCE
    innocent = msgspec.structs.replace(evidence(scribe), offender="administrator-2")
    assert judge(scribe, innocent, nonce=1 * 4 + 2) is Reason.BAD_EVIDENCE


# -- found by a machine ------------------------------------------------------------------------------------------------


def accusations(council: Council, name: str) -> list[Evidence]:
    return [step.evidence for step in council.steps[name] if isinstance(step, Accused)]


def test_an_offender_is_accused_once_whatever_else_it_says() -> None:
    council = Council(4)
    guilty = council.bystander(1)
    judge_ = next(name for name in council.names if name != guilty)
    words = [
        council.scribe.vote(guilty, block, round_, step) for round_ in (0, 1) for step in (1, 2) for block in (A, B)
    ]
    council.tell(judge_, *words, *words)
    (found,) = accusations(council, judge_)
    key = council.scribe.network.keys[guilty].public_bytes
    assert (found.offender, is_contradiction(council.scribe.crypto, council.scribe.chain, key, found)) == (guilty, True)


def test_a_proposer_of_two_blocks_is_accused_and_the_first_block_counts() -> None:
    council = Council(4)
    guilty = council.proposer()
    judge_ = next(name for name in council.names if name != guilty)
    blocks = [council.scribe.block([council.scribe.endorsed(council.scribe.transaction(nonce))], proposer=guilty)
              for nonce in (1, 2)]  # fmt: skip
    council.tell(judge_, *(council.scribe.propose(block) for block in blocks), sender=guilty)
    assert [found.offender for found in accusations(council, judge_)] == [guilty]
    assert council.machines[judge_]._record.proposals[0].body.block == council.scribe.hash(blocks[0])


def test_the_same_word_twice_or_a_forged_second_one_accuses_nobody() -> None:
    council = Council(4)
    innocent = council.bystander(1)
    judge_ = next(name for name in council.names if name != innocent)
    first, second = (council.scribe.vote(innocent, block, 0, PREVOTE) for block in (A, B))
    council.tell(judge_, first, first, msgspec.structs.replace(second, signature=bytes(64)))
    assert accusations(council, judge_) == []
