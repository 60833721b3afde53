import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ehrcore.block import WorkCertificate
from ehrcore.codec import encode
from ehrcore.consensus.seam import Tip
from ehrcore.drive.net import journal as journal_module
from ehrcore.drive.net.journal import Journal
from ehrcore.drive.net.node import REMEMBERED_BLOCKS, _read_kept
from ehrcore.errors import LedgerError
from ehrcore.messages import Finalised
from ehrcore.params import ConsensusRule, WorkRule
from ehrcore.roles import Administrator
from tests.core.protocol.conftest import Scribe, make_network, make_params

CHAIN = bytes(32)


def reopened(path: Path) -> Journal:
    return Journal.open(path, CHAIN, "agent-0")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path):
    opened = reopened(path)
    yield opened
    opened.close()


def read_beside(path: Path) -> Journal:
    """What a process that starts after a crash would find: only what is committed."""
    return reopened(path)


def test_what_is_committed_is_there_after_a_crash_and_what_is_not_is_not(path: Path, journal: Journal) -> None:
    journal.add_pending(b"1", b"one")
    journal.commit()
    journal.add_pending(b"2", b"two")
    assert read_beside(path).pending() == {b"1": b"one"}
    assert journal.commits == 1


def test_every_start_has_a_greater_number_whatever_the_clock_says(path: Path) -> None:
    found = []
    for now in (100, 50, 50, 1_000):
        journal = reopened(path)
        found.append(journal.begin_epoch(now))
        journal.close()
    assert found == [100, 101, 102, 1_000]


def test_a_start_that_was_cut_short_leaves_no_half_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torn = journal_module.FORMAT._replace(schema="CREATE TABLE chain (x); CREATE TABLE chain (x);")
    monkeypatch.setattr(journal_module, "FORMAT", torn)
    with pytest.raises(LedgerError):
        reopened(path)
    assert list(path.parent.iterdir()) == []


def test_to_forget_waits_for_something_urgent(path: Path, journal: Journal) -> None:
    journal.add_pending(b"1", b"one")
    journal.commit()
    journal.settle([b"1"])
    journal.commit()
    assert read_beside(path).pending() == {b"1": b"one"}
    journal.add_pending(b"2", b"two")
    journal.commit()
    assert read_beside(path).pending() == {b"2": b"two"}
    assert journal.commits == 2


def test_others_words_are_durable_before_the_own_that_rest_on_them(path: Path, journal: Journal) -> None:
    journal.say(1, b"theirs", is_own=False)
    journal.commit()
    assert read_beside(path).said(1) == []
    journal.say(1, b"mine", is_own=True)
    journal.commit()
    assert read_beside(path).said(1) == [b"theirs", b"mine"]


def test_what_is_said_again_is_kept_once(path: Path, journal: Journal) -> None:
    """A node that is stuck says the same again and again, blocks of half a megabyte among it."""
    for _ in range(3):
        journal.say(1, b"theirs", is_own=False)
        journal.say(1, b"mine", is_own=True)
        journal.commit()
    assert read_beside(path).said(1) == [b"theirs", b"mine"]
    assert journal.commits == 1
    journal.say(1, b"more of theirs", is_own=False)
    journal.say(1, b"mine", is_own=True)
    journal.commit()
    assert read_beside(path).said(1) == [b"theirs", b"mine", b"more of theirs"]


def test_a_final_block_ends_what_was_said_up_to_it(journal: Journal) -> None:
    for height in (1, 2):
        journal.say(height, b"%d" % height, is_own=True)
    journal.add_final(Tip(1, b"a", 10), b"block 1")
    journal.commit()
    assert (journal.said(1), journal.said(2)) == ([], [b"2"])
    assert journal.tip() == Tip(1, b"a", 10)


def test_the_last_blocks_are_kept_and_the_oldest_go(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "KEPT_BLOCKS", 3)
    for height in range(1, 6):
        journal.add_final(Tip(height, b"%d" % height, height), b"block %d" % height)
    journal.commit()
    assert journal.finals(3, 10) == [b"block 3", b"block 4", b"block 5"]
    assert journal.finals(4, 1) == [b"block 4"]
    # Nothing rather than a gap: who asks for block 2 could do nothing with block 3.
    assert journal.finals(2, 10) == []


def test_an_order_is_kept_once_and_in_order(journal: Journal) -> None:
    for tx_id in (b"b", b"a", b"b"):
        journal.add_order(tx_id, tx_id * 2)
    journal.commit()
    assert journal.orders() == [b"bb", b"aa"]


def test_closing_keeps_everything(path: Path) -> None:
    first = reopened(path)
    first.add_pending(b"1", b"one")
    first.settle([b"1"])
    first.say(1, b"theirs", is_own=False)
    first.close()
    assert (reopened(path).pending(), reopened(path).said(1)) == ({}, [b"theirs"])


def test_a_journal_of_another_node_or_chain_is_refused(path: Path, journal: Journal) -> None:
    for chain, node in ((CHAIN, "agent-1"), (bytes([1]) * 32, "agent-0")):
        with pytest.raises(LedgerError, match="found another's"):
            Journal.open(path, chain, node)


def test_what_is_no_journal_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(b"something else entirely" * 400)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="expected a node's journal"):
        reopened(path)
    assert path.read_bytes() == before


def test_another_database_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE pending (x)")
    db.close()
    with pytest.raises(LedgerError, match="application_id"):
        reopened(path)


def test_a_damaged_journal_is_named(path: Path) -> None:
    first = reopened(path)
    for number in range(500):
        first.add_pending(number.to_bytes(32), bytes(400))
    first.close()
    data = bytearray(path.read_bytes())
    for place in range(3 * 4_096, len(data), 4_096):
        data[place : place + 64] = b"\xff" * 64
    path.write_bytes(data)
    with pytest.raises(LedgerError, match=r"journal\.sqlite"):
        reopened(path)


def test_a_journal_that_cannot_be_written_says_so(path: Path, journal: Journal) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("DROP TABLE pending")
    other.close()
    journal.add_pending(b"1", b"one")
    with pytest.raises(LedgerError, match="expected a journal that can be written"):
        journal.commit()


@pytest.mark.parametrize(
    ("window", "count"), [(0, 20), (5, 20), (5, 3), (REMEMBERED_BLOCKS + 5, REMEMBERED_BLOCKS + 9)]
)
def test_the_headers_of_a_retarget_window_are_read_back(tmp_path, window, count):
    """What an administrator under proof of work needs to know the difficulty when it starts again."""
    scribe = Scribe(
        make_network(make_params(consensus=ConsensusRule.PROOF_OF_WORK, work=WorkRule(retarget_window=window)))
    )
    blocks = [scribe.block([])]
    for _ in range(count - 1):
        blocks.append(scribe.block([], blocks[-1].header))
    context = scribe.network.context("administrator-0")
    with closing(Journal.open(tmp_path / "journal.sqlite", scribe.chain, "administrator-0")) as journal:
        for block in blocks:
            tip = Tip(block.header.height, scribe.hash(block), block.header.timestamp)
            journal.add_final(tip, encode(Finalised(block, WorkCertificate(()))))
        journal.commit()
        kept = _read_kept(journal, None, context)
    headers = [block.header for block in blocks]
    assert list(kept.recent) == headers[-max(window, REMEMBERED_BLOCKS) :]
    assert Administrator(replace(context, kept=kept))
