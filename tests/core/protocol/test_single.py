"""The baseline without agreement: one orders, the others follow what it has signed, in order."""

from typing import Any

import msgspec
import pytest

from ehrcore.block import Block, OrdererCertificate
from ehrcore.consensus.single import SingleOrderer
from ehrcore.effects import SetTimer, Work
from ehrcore.messages import Finalised, Mined
from ehrcore.params import ConsensusRule
from tests.core.protocol.conftest import Council, Run, check_invariants, make_params

ORDERER, FOLLOWER = "administrator-0", "administrator-1"


@pytest.fixture
def council() -> Council:
    return Council(4, rule=SingleOrderer, consensus=ConsensusRule.SINGLE_ORDERER)


def chain_of(council: Council, count: int, signer: str = ORDERER) -> list[Finalised]:
    scribe, chain = council.scribe, list[Finalised]()
    for nonce in range(count):
        parent = chain[-1].block.header if chain else None
        block = scribe.block([scribe.endorsed(scribe.transaction(nonce))], parent, proposer=signer)
        chain.append(Finalised(block, OrdererCertificate(scribe.cryptos[signer].sign(block.header))))
    return chain


def followed(council: Council, *given: Finalised) -> list[Block]:
    for final in given:
        council.tell(FOLLOWER, final)
    return [step.block for step in council.decided[FOLLOWER]]


def test_the_orderer_cuts_a_block_and_all_follow(council: Council) -> None:
    council.ready()
    assert [name for name, given in council.decided.items() if given] == [ORDERER]
    council.settle()
    assert len(council.hashes()) == 1
    assert all(len(given) == 1 for given in council.decided.values())


def test_followers_append_in_order_whatever_the_order_of_arrival(council: Council) -> None:
    chain = chain_of(council, 4)
    one, two, three, four = chain
    assert followed(council, three, three, two) == []
    assert followed(council, one, one, four, two) == [final.block for final in chain]


def false_blocks(council: Council) -> dict[str, Finalised]:
    (good,), (other,) = chain_of(council, 1), chain_of(council, 1, FOLLOWER)
    scribe, block = council.scribe, good.block
    return {
        "of another administrator": other,
        "under the orderer's name": Finalised(
            block, OrdererCertificate(scribe.cryptos["administrator-2"].sign(block.header))
        ),
        "with a changed header": Finalised(
            Block(msgspec.structs.replace(block.header, timestamp=9), block.transactions), good.certificate
        ),
        "with other transactions": Finalised(Block(block.header, ()), good.certificate),
        "of another administrator, though the orderer signed it": Finalised(
            other.block, OrdererCertificate(scribe.cryptos[ORDERER].sign(other.block.header))
        ),
        "with a certificate of stake": Finalised(block, scribe.certificate(block)),
    }


NAMES = tuple(false_blocks(Council(4, rule=SingleOrderer, consensus=ConsensusRule.SINGLE_ORDERER)))


@pytest.mark.parametrize("name", NAMES)
def test_a_block_that_the_orderer_did_not_sign_is_refused(council: Council, name: str) -> None:
    assert followed(council, false_blocks(council)[name]) == []
    (good,) = chain_of(council, 1)
    assert followed(council, good) == [good.block]


def test_a_forgery_takes_no_early_blocks_place(council: Council) -> None:
    one, two = chain_of(council, 2)
    forged = Finalised(two.block, OrdererCertificate(bytes(64)))
    assert followed(council, forged, two, forged, one) == [one.block, two.block]


def test_what_comes_early_is_bounded(council: Council) -> None:
    chain = chain_of(council, 100)
    followed(council, *chain[1:])
    assert len(council.machines[FOLLOWER]._early) < 100


def test_an_orderer_that_has_lost_its_blocks_follows_them_and_goes_on_after_them(council: Council) -> None:
    chain = chain_of(council, 2)
    council.tell(ORDERER, *chain)
    assert [item.block for item in council.decided[ORDERER]] == [final.block for final in chain]
    assert council.machines[ORDERER]._tip.height == 2


def test_no_other_rules_messages_count(council: Council) -> None:
    council.tell(FOLLOWER, Mined(chain_of(council, 1)[0].block))
    assert council.hashes() == set()
    machine: Any = council.machines[ORDERER]
    assert machine.on_timer("any", 0) == machine.on_work(0, bytes(8), 0) == []


def test_it_needs_no_timer_and_no_work(council: Council) -> None:
    council.ready()
    council.settle()
    steps = [step for given in council.steps.values() for step in given]
    assert not [step for step in steps if isinstance(step, SetTimer | Work)]


@pytest.mark.parametrize("size", [1, 4])
def test_a_network_under_a_single_orderer(size: int) -> None:
    run = Run(make_params((3, 3, size, 2), consensus=ConsensusRule.SINGLE_ORDERER, is_modelled=False))
    run.submit(30).run()
    check_invariants(run)
    assert {len(chain) for chain in run.decided().values()} == {2}
