"""What a block may be, rule by rule: each mutation breaks exactly one; and what its transactions do in order."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from ehrcore.block import Block, Enrolment, Revocation, StakeCertificate
from ehrcore.errors import IdentityError, ValidationError
from ehrcore.identity import Reason
from ehrcore.messages import Finalised
from ehrcore.params import Limits
from ehrcore.replay import WINDOW
from ehrcore.state import ChainState
from ehrcore.types import Role
from tests.core.protocol.conftest import Scribe, make_network, make_params

Mutation = Callable[[Scribe, Finalised], Finalised]


@pytest.fixture
def state(scribe: Scribe) -> ChainState:
    return scribe.state()


def good(scribe: Scribe) -> Finalised:
    return scribe.final([scribe.endorsed(scribe.transaction(nonce)) for nonce in range(3)])


def header(**changes: Any) -> Mutation:
    """A header changed before it was voted on, so that the certificate holds for it."""

    def mutate(scribe: Scribe, final: Finalised) -> Finalised:
        changed = msgspec.structs.replace(final.block.header, **changes)
        block = Block(changed, final.block.transactions)
        return Finalised(block, scribe.certificate(block))

    return mutate


def without_certificate(scribe: Scribe, final: Finalised) -> Finalised:
    return Finalised(final.block, StakeCertificate(0, ()))


def changed_after_the_vote(scribe: Scribe, final: Finalised) -> Finalised:
    return Finalised(Block(msgspec.structs.replace(final.block.header, timestamp=5), final.block.transactions),
                     final.certificate)  # fmt: skip


def swapped_transactions(scribe: Scribe, final: Finalised) -> Finalised:
    return Finalised(Block(final.block.header, final.block.transactions[::-1]), final.certificate)


def one_transaction_less(scribe: Scribe, final: Finalised) -> Finalised:
    return Finalised(Block(final.block.header, final.block.transactions[:-1]), final.certificate)


def one_byte_in_a_transaction(scribe: Scribe, final: Finalised) -> Finalised:
    first, *rest = final.block.transactions
    changed = msgspec.structs.replace(first, outcome=bytes([first.outcome[0] ^ 1]) + first.outcome[1:])
    return Finalised(Block(final.block.header, (changed, *rest)), final.certificate)


def sixteen_transactions(scribe: Scribe, final: Finalised) -> Finalised:
    return scribe.final([scribe.endorsed(scribe.transaction(nonce)) for nonce in range(16)])


def over_30720_bytes(scribe: Scribe, final: Finalised) -> Finalised:
    every = range(3)
    items = []
    for nonce in range(15):
        tx = scribe.transaction(nonce, location="/" + "x" * 511)
        item = scribe.endorsed(tx)
        many = item.approvals * 12
        items.append(msgspec.structs.replace(item, endorsements=scribe.endorsements(tx, every), approvals=many))
    return scribe.final(items)


MUTATIONS: dict[str, tuple[str, Mutation]] = {
    "another chain": ("chain", header(chain=b"\1" * 32)),
    "height 0": ("height", header(height=0)),
    "height 2": ("height", header(height=2)),
    "another parent": ("previous", header(previous=b"\1" * 32)),
    "other validators": ("validators", header(validators=b"\1" * 32)),
    "a proposer that is none": ("proposer", header(proposer="agent-0")),
    "an unknown proposer": ("proposer", header(proposer="administrator-9")),
    "no certificate": ("certificate", without_certificate),
    "a header changed after the vote": ("certificate", changed_after_the_vote),
    "another root": ("merkle-root", header(merkle_root=b"\1" * 32)),
    "transactions swapped": ("merkle-root", swapped_transactions),
    "one byte changed": ("merkle-root", one_byte_in_a_transaction),
    "one transaction less": ("size", one_transaction_less),
    "another size": ("size", header(size=2)),
    "sixteen transactions": ("size", sixteen_transactions),
    "more than 30,720 bytes": ("bytes", over_30720_bytes),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_block_is_refused_with(scribe: Scribe, state: ChainState, name: str) -> None:
    rule, mutate = MUTATIONS[name]
    before = state.height, state.tip, state.digest
    bad = mutate(scribe, good(scribe))
    with pytest.raises(ValidationError) as caught:
        state.validate(bad.block, bad.certificate)
    assert caught.value.rule == rule
    assert (state.height, state.tip, state.digest) == before
    fine = good(scribe)
    assert state.validate(fine.block, fine.certificate).reasons == (Reason.ACCEPTED,) * 3


def test_time_does_not_run_backwards(scribe: Scribe, state: ChainState) -> None:
    first = good(scribe)
    state.apply(first.block, state.validate(first.block, first.certificate))
    second = scribe.final([], first.block.header, timestamp=first.block.header.timestamp - 1)
    with pytest.raises(ValidationError, match="^timestamp: "):
        state.validate(second.block, second.certificate)


def test_a_block_is_not_applied_twice(scribe: Scribe, state: ChainState) -> None:
    first = good(scribe)
    state.apply(first.block, state.validate(first.block, first.certificate))
    with pytest.raises(ValidationError, match="^height: expected 2, found 1"):
        state.validate(first.block, first.certificate)


@pytest.mark.parametrize("name", [name for name in MUTATIONS if MUTATIONS[name][0] in {"merkle-root", "certificate"}])
def test_before_its_turn_a_block_is_checked_for_what_does_not_depend_on_the_blocks_between(
    scribe: Scribe, state: ChainState, name: str
) -> None:
    rule, mutate = MUTATIONS[name]
    bad = mutate(scribe, good(scribe))
    with pytest.raises(ValidationError, match=f"^{rule}: "):
        state.validate_final(bad.block, bad.certificate)
    for final in scribe.finals(3):
        state.validate_final(final.block, final.certificate)


# -- transactions in a block -------------------------------------------------------------------------------------------


class Chain:
    """A state and the blocks that are put on it."""

    def __init__(self, **changes: Any) -> None:
        self.scribe = Scribe(make_network(make_params(**changes)))
        self.state, self.parent = self.scribe.state(), None

    def add(self, *items: Any, **changes: Any) -> list[Reason]:
        """Put transactions, endorsed unless they are already, on the chain; what became of them."""
        endorsed = [item if hasattr(item, "outcome") else self.scribe.endorsed(item) for item in items]
        final = self.scribe.final(endorsed, self.parent, **changes)
        verdict = self.state.validate(final.block, final.certificate)
        self.state.apply(final.block, verdict)
        self.parent = final.block.header
        return list(verdict.reasons)


@pytest.fixture
def chain() -> Chain:
    return Chain()


def test_a_revocation_between_endorsement_and_commit_marks_the_transaction_and_commits_the_rest() -> None:
    """Paper, step 4: the second validation finds who is no longer allowed."""
    chain = Chain(topology=(3, 3, 4, 2, 2))
    scribe = chain.scribe
    mine, other = scribe.transaction(0), scribe.transaction(0, "visitor-1")
    revocation = scribe.order(Revocation(scribe.serial_of("visitor-0")))
    assert chain.add(revocation) == [Reason.ACCEPTED]
    assert chain.add(mine, other) == [Reason.REVOKED, Reason.ACCEPTED]


def test_within_a_block_each_transaction_sees_the_ones_before_it(chain: Chain) -> None:
    scribe = chain.scribe
    revocation = scribe.order(Revocation(scribe.serial_of("visitor-0")))
    found = chain.add(scribe.transaction(0), revocation, scribe.transaction(1))
    assert found == [Reason.ACCEPTED, Reason.ACCEPTED, Reason.REVOKED]


def test_a_nonce_twice_in_a_block_counts_once(chain: Chain) -> None:
    one, two = chain.scribe.transaction(5), chain.scribe.transaction(5, content=b"other")
    assert chain.add(one, two) == [Reason.ACCEPTED, Reason.REPLAYED]
    assert chain.add(two) == [Reason.REPLAYED]


def test_a_nonce_of_a_refused_transaction_stays_fresh(chain: Chain) -> None:
    bad, fine = chain.scribe.transaction(5, signer="agent-0"), chain.scribe.transaction(5)
    assert chain.add(bad, fine) == [Reason.BAD_SIGNATURE, Reason.ACCEPTED]


@pytest.mark.parametrize("high", [WINDOW, WINDOW + 1, (1 << 53) - 1])
def test_a_nonce_that_its_own_block_pushes_out_of_the_window_is_too_old(chain: Chain, high: int) -> None:
    """Without this, 'fresh before the block' would mark a bit beyond the window: 2^53 of them, in the worst case."""
    found = chain.add(*(chain.scribe.transaction(nonce) for nonce in (high, 0, high - WINDOW, high - WINDOW + 1)))
    assert found == [Reason.ACCEPTED, Reason.REPLAYED, Reason.REPLAYED, Reason.ACCEPTED]
    assert chain.add(chain.scribe.transaction(high - WINDOW + 1)) == [Reason.REPLAYED]


def test_a_new_visitor_may_act_once_its_enrolment_is_on_the_chain(chain: Chain) -> None:
    scribe = chain.scribe
    enrolment = scribe.order(Enrolment(scribe.certify("visitor-9")))
    later = [scribe.transaction(nonce, "visitor-9", "visitor-0") for nonce in range(2)]
    assert chain.add(later[0]) == [Reason.UNKNOWN_AUTHOR]
    assert chain.add(enrolment, later[0]) == [Reason.ACCEPTED, Reason.ACCEPTED]
    assert chain.add(later[1]) == [Reason.ACCEPTED]


def test_a_rotated_key_takes_over_and_the_old_one_stops(chain: Chain) -> None:
    scribe = chain.scribe
    rotation = scribe.order(Enrolment(scribe.certify("visitor-0", key_of="agent-2")))
    old, new = scribe.transaction(0), scribe.transaction(1, signer="agent-2")
    assert chain.add(rotation, old, new) == [Reason.ACCEPTED, Reason.BAD_SIGNATURE, Reason.ACCEPTED]


def test_an_older_certificate_and_a_foreign_one_are_refused(chain: Chain) -> None:
    scribe = chain.scribe
    old = scribe.network.certificates[0]
    foreign = msgspec.structs.replace(scribe.certify("visitor-9").body, network="others")
    signed = msgspec.structs.replace(old, body=foreign, signature=scribe.crypto.sign(foreign))
    orders = [scribe.order(Enrolment(item), nonce) for nonce, item in enumerate((old, signed))]
    assert chain.add(*orders) == [Reason.BAD_CERTIFICATE] * 2


def test_revoking_an_agent_ends_its_endorsements_and_a_coordinator_its_approvals(chain: Chain) -> None:
    scribe = chain.scribe
    assert chain.add(scribe.order(Revocation(scribe.serial_of("agent-2")), 0)) == [Reason.ACCEPTED]
    tx = scribe.transaction(0)
    by_two = msgspec.structs.replace(scribe.endorsed(tx), endorsements=scribe.endorsements(tx, (1, 2)))
    assert chain.add(by_two) == [Reason.POLICY]
    assert chain.add(tx) == [Reason.ACCEPTED]
    assert chain.add(scribe.order(Revocation(scribe.serial_of("coordinator-1")), 1)) == [Reason.ACCEPTED]
    assert chain.add(scribe.transaction(1)) == [Reason.APPROVALS]


@pytest.mark.parametrize(("field", "reason"), [("endorsements", Reason.POLICY), ("approvals", Reason.APPROVALS)])
def test_policy_is_checked_again_in_every_block(chain: Chain, field: str, reason: Reason) -> None:
    tx = chain.scribe.transaction()
    item = chain.scribe.endorsed(tx)
    given = getattr(item, field)
    for bad in ((), given[:1], given[:1] * 2, (*given[:1], msgspec.structs.replace(given[1], signature=bytes(64)))):
        assert chain.add(msgspec.structs.replace(item, **{field: bad})) == [reason]
    assert chain.add(msgspec.structs.replace(item, outcome=bytes(32))) == [Reason.APPROVALS]
    assert chain.add(item) == [Reason.ACCEPTED]


def test_certificates_are_judged_at_the_blocks_time(chain: Chain) -> None:
    scribe = chain.scribe
    enrolment = scribe.order(Enrolment(scribe.certify("visitor-9", not_before=50, not_after=60)))
    assert chain.add(enrolment, timestamp=0) == [Reason.ACCEPTED]
    for nonce, (at, reason) in enumerate(
        [(49, Reason.NOT_YET_VALID), (50, Reason.ACCEPTED), (59, Reason.ACCEPTED), (60, Reason.EXPIRED)]
    ):
        assert chain.add(scribe.transaction(nonce, "visitor-9", "visitor-0"), timestamp=at) == [reason]


def test_an_empty_block_is_a_block(chain: Chain) -> None:
    assert chain.add() == []
    assert chain.state.height == 1


def test_the_state_digest_covers_every_block_and_what_became_of_its_transactions() -> None:
    chains = [Chain() for _ in range(3)]
    fine, bad = chains[0].scribe.transaction(0), chains[0].scribe.transaction(0, signer="agent-0")
    for chain, tx in zip(chains, (fine, fine, bad), strict=True):
        chain.add(tx)
    assert chains[0].state.digest == chains[1].state.digest != chains[2].state.digest


def test_limits_are_the_chains_own() -> None:
    chain = Chain(limits=Limits(max_transactions=1))
    with pytest.raises(ValidationError, match="^size: "):
        chain.add(chain.scribe.transaction(0), chain.scribe.transaction(1))


def test_a_chain_does_not_start_with_certificates_that_do_not_verify(scribe: Scribe) -> None:
    first, *rest = scribe.network.certificates
    forged = (msgspec.structs.replace(first, signature=bytes(64)), *rest)
    with pytest.raises(IdentityError):
        ChainState(scribe.params, scribe.chain, forged, scribe.crypto)


def test_validating_changes_nothing(scribe: Scribe, state: ChainState) -> None:
    final = scribe.final([scribe.endorsed(scribe.order(Revocation(scribe.serial_of("visitor-0"))))])
    for _ in range(2):
        state.validate(final.block, final.certificate)
    assert state.registry.check("visitor-0", Role.VISITOR, 0)[0] is Reason.ACCEPTED
    state.apply(final.block, state.validate(final.block, final.certificate))
    assert state.registry.check("visitor-0", Role.VISITOR, 0)[0] is Reason.REVOKED
