"""A pruned ledger: verified from genesis as far as that goes, and found out wherever it was changed."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ehrcore.__main__ import main
from ehrcore.block import Bond, Enrolment, Genesis, RecordRef, leaf_bytes
from ehrcore.codec import decode, encode
from ehrcore.consent import Access, Consent, Withdrawal
from ehrcore.drive.cost import FREE
from ehrcore.drive.pruned import UNCHECKED, Head, PrunedLedger, is_pruned, prune
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Persist, Received, Requested
from ehrcore.errors import LedgerError
from ehrcore.identity import Reason
from ehrcore.ledger import SqliteLedger
from ehrcore.merkle import verify_inclusion
from ehrcore.messages import Submit
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Limits, Topology
from ehrcore.records import RecordKind, make_record
from ehrcore.types import MINUTE, SECOND
from tests.core.protocol import persons
from tests.core.protocol import test_agreements as agreements

BLOCKS, CUT = 12, 8


@dataclass(frozen=True)
class Chain:
    path: Path
    pruned: Path
    state: bytes
    tip: bytes


@pytest.fixture(scope="module")
def chain(tmp_path_factory) -> Chain:
    """Blocks of one transaction each: records, and two orders (one of them refused) among those that are let go of."""
    folder = tmp_path_factory.mktemp("pruned")
    params = ChainParams("pruned", Topology(1, 1, 4, 1), 1, 1, limits=Limits(1, max_wait_ns=MINUTE))
    network = found_network(params, "cryptography", "pruned")
    path = folder / "ledger.sqlite"
    with SqliteLedger.create(path, Genesis(network.params, network.certificates)) as ledger:
        simulation = Simulation(network, SimSetup("pruned", FREE), lambda *_: None, {"contributor-0": ledger})
        for number in range(BLOCKS):
            at = number * SECOND
            orders = {
                2: lambda at: network.authority.bond(network.chain, "administrator-1", 5, at),
                4: lambda at: network.authority.unbond(network.chain, "administrator-2", 9, at),
            }
            if number in orders:
                simulation.inject(at, "agent-0", Received("authority-0", Submit(orders[number](at))))
                continue
            record = make_record(RecordKind.BILL, "p1", "Claim", b'{"n":%d}' % number)
            simulation.inject(at, "visitor-0", Requested(record, network.authority.pseudonym("p1")))
        simulation.run(10 * MINUTE)
        state = ledger.verify()
        assert ledger.height == BLOCKS
        assert prune(ledger, folder / "pruned.sqlite", BLOCKS - CUT) == CUT
    return Chain(path, folder / "pruned.sqlite", state.digest, state.tip)


def opened(path: Path) -> PrunedLedger:
    return PrunedLedger(path)


def test_it_ends_at_the_same_state_with_the_same_voters(chain: Chain) -> None:
    with closing(opened(chain.pruned)) as pruned, SqliteLedger.open(chain.path) as whole:
        state, first = pruned.verify()
        full = whole.verify()
        bodies = [entry.block.transactions[0].transaction.body for entry in whole.entries(1, CUT + 1)]
    assert (state.digest, state.tip, first) == (chain.state, chain.tip, CUT + 1)
    assert state.validators.members == full.validators.members
    assert {member.node: member.stake for member in state.validators.members}["administrator-1"] == 6
    used = [state.is_used(body) for body in bodies]
    assert used == [full.is_used(body) for body in bodies], "what was used up before is used up still"
    assert sum(used) == len(bodies) - 1, "all but the nonce of the order that was refused"


def test_old_records_are_gone_and_orders_are_not(chain: Chain) -> None:
    with closing(opened(chain.pruned)) as pruned:
        kept = [item.endorsed.transaction.body.payload for head in pruned.heads() for item in head.kept]
        reasons = [head.reasons[item.index] for head in pruned.heads() for item in head.kept]
    assert not any(isinstance(payload, RecordRef) for payload in kept)
    assert isinstance(kept[0], Bond)
    assert reasons == [Reason.ACCEPTED, Reason.NO_STAKE]


def test_consents_of_blocks_that_are_gone_are_still_in_force(tmp_path: Path) -> None:
    world = persons.World(is_modelled=False)
    ledger = SqliteLedger.create(tmp_path / "whole", Genesis(world.scribe.params, world.scribe.network.certificates))
    world.add((persons.SYSTEM, persons.write()), (persons.PATIENT, persons.consent()))
    world.add((persons.OTHER, persons.consent(pseudonym=persons.THEIRS)))
    world.add((persons.OTHER, Withdrawal(world.tx_id())), (persons.DOCTOR, persons.read()))
    assert world.add((persons.DOCTOR, persons.read())) == [Reason.ACCEPTED]
    state = world.scribe.state()
    with ledger:
        for final in world.finals:
            verdict = state.validate(final.block, final.certificate)
            digest = state.apply(final.block, verdict)
            ledger.append(Persist(final.block, final.certificate, verdict.reasons, digest))
        prune(ledger, tmp_path / "pruned", 1)
    with closing(opened(tmp_path / "pruned")) as pruned:
        found, first = pruned.verify()
        kept = {type(item.endorsed.transaction.body.payload) for head in pruned.heads() for item in head.kept}
    assert (first, kept) == (5, {Enrolment, Consent, Withdrawal, Access})
    assert persons.content(found) == persons.content(world.state)


def test_records_that_were_uses_of_an_agreement_are_counted_still(tmp_path: Path) -> None:
    world = agreements.World(is_modelled=False)
    cited = world.agree()
    world.add((agreements.DOCTOR, agreements.write(cited)), (agreements.DOCTOR, agreements.write()))
    world.add((agreements.DOCTOR, agreements.write(cited)))
    assert world.add((agreements.DOCTOR, agreements.write(cited))) == [Reason.CLAUSES], "it permits two"
    state, genesis = world.scribe.state(), Genesis(world.scribe.params, world.scribe.network.certificates)
    with SqliteLedger.create(tmp_path / "whole", genesis) as ledger:
        for final in world.finals:
            verdict = state.validate(final.block, final.certificate)
            digest = state.apply(final.block, verdict)
            ledger.append(Persist(final.block, final.certificate, verdict.reasons, digest))
        prune(ledger, tmp_path / "pruned", 1)
    with closing(opened(tmp_path / "pruned")) as pruned:
        found, _ = pruned.verify()
    assert found.digest == state.digest
    assert found.agreements.find(cited).uses == 2


def test_recent_records_are_proven_from_it(chain: Chain) -> None:
    with closing(opened(chain.pruned)) as pruned, SqliteLedger.open(chain.path) as whole:
        recent = list(pruned.entries())
        assert recent == list(whole.entries())[CUT:]
        tree = whole._crypto.merkle_tree(tuple(map(leaf_bytes, recent[-1].block.transactions)))
        leaf, header = leaf_bytes(recent[-1].block.transactions[0]), recent[-1].block.header
        verify_inclusion(whole._crypto.suite, header.merkle_root, header.size, 0, leaf, tree.prove_inclusion(0))


def test_with_enough_to_keep_nothing_goes(chain: Chain, tmp_path: Path) -> None:
    with SqliteLedger.open(chain.path) as ledger:
        assert prune(ledger, tmp_path / "all.sqlite", BLOCKS + 5) == 0
    with closing(opened(tmp_path / "all.sqlite")) as pruned:
        state, first = pruned.verify()
    assert (state.digest, first) == (chain.state, 1)


Change = Callable[[Head], Head]


def head_with(**changes: Any) -> Change:
    return lambda head: msgspec.structs.replace(head, **changes)


def forge_header(**changes: Any) -> Change:
    return lambda head: msgspec.structs.replace(head, header=msgspec.structs.replace(head.header, **changes))


def move_order(head: Head) -> Head:
    kept = msgspec.structs.replace(head.kept[0], path=(bytes(32),))
    return msgspec.structs.replace(head, kept=(kept,))


@pytest.mark.parametrize(
    ("height", "change", "told"),
    [
        (2, forge_header(merkle_root=bytes(32)), "certificate"),
        (2, forge_header(previous=bytes(32)), "previous"),
        (2, head_with(state=bytes(32)), "expected state"),
        (2, head_with(reasons=(Reason.EXPIRED,)), "expected state"),
        (2, head_with(reasons=()), "expected 1 verdicts"),
        (3, head_with(kept=()), "validators"),
        (3, move_order, "proof"),
    ],
    ids=["root", "link", "state", "verdict", "verdicts", "an order left out", "an order that is not in the block"],
)
def test_a_changed_head_is_found(chain: Chain, tmp_path: Path, height: int, change: Change, told: str) -> None:
    path = tmp_path / "changed.sqlite"
    path.write_bytes(chain.pruned.read_bytes())
    with closing(sqlite3.connect(path)) as db:
        (content,) = db.execute("SELECT content FROM heads WHERE height = ?", (height,)).fetchone()
        changed = change(decode(content, Head))
        db.execute("UPDATE heads SET content = ? WHERE height = ?", (encode(changed), height))
        db.commit()
    with closing(opened(path)) as pruned, pytest.raises(LedgerError, match=told):
        pruned.verify()


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM heads WHERE height = 8",
        "DELETE FROM blocks WHERE height = 10",
        "DELETE FROM heads WHERE height = 1",
    ],
)
def test_a_missing_block_is_found(chain: Chain, tmp_path: Path, statement: str) -> None:
    path = tmp_path / "changed.sqlite"
    path.write_bytes(chain.pruned.read_bytes())
    with closing(sqlite3.connect(path)) as db:
        db.execute(statement)
        db.commit()
    with closing(opened(path)) as pruned, pytest.raises(LedgerError, match="height"):
        pruned.verify()


def test_the_commands_say_what_is_gone(chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "copy.sqlite"
    before = chain.path.read_bytes()
    main(["ledger", "prune", str(chain.path), "--keep", "4", "-o", str(target)])
    assert chain.path.read_bytes() == before
    assert is_pruned(target)
    assert not is_pruned(chain.path)
    main(["ledger", "verify", str(target), "--tip", chain.tip.hex()])
    out = capsys.readouterr().out
    assert f"{BLOCKS} blocks verified from genesis, records from {CUT + 1} on" in out
    assert "a node needs a whole ledger" in out
    for item in UNCHECKED:
        assert out.count(f"not checked in blocks 1 to {CUT}: {item}") == 2
    with pytest.raises(SystemExit) as ended:
        main(["ledger", "prune", str(chain.path), "--keep", "4", "-o", str(target)])
    assert ended.value.code != 0
    assert "File exists" in capsys.readouterr().err
    with pytest.raises(LedgerError, match="application_id"):
        SqliteLedger.open(target)
