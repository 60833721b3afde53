from pathlib import Path

import pytest

from ehrcore.drive.net.index import TransactionIndex
from ehrcore.errors import LedgerError


def test_the_first_place_of_a_transaction_counts(tmp_path: Path) -> None:
    index = TransactionIndex(tmp_path / "index.sqlite")
    index.add([(1, b"one", [b"a", b"b"]), (2, b"two", [b"b", b"c"])])
    assert [index.find(tx_id) for tx_id in (b"a", b"b", b"c", b"d")] == [(1, 0), (1, 1), (2, 1), None]
    assert (index.reach(), index.count()) == ((2, b"two"), 3)
    index.clear()
    assert (index.reach(), index.find(b"a")) == ((0, b""), None)
    index.close()


def test_it_is_there_when_it_is_opened_again_and_made_anew_if_damaged(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    first = TransactionIndex(path)
    first.add([(1, b"one", [b"a"])])
    first.close()
    again = TransactionIndex(path)
    assert again.find(b"a") == (1, 0)
    again.close()
    path.write_bytes(b"no database at all" * 300)
    anew = TransactionIndex(path)
    assert anew.reach() == (0, b"")
    anew.close()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"index\.sqlite: expected room for an index"):
        TransactionIndex(tmp_path / "nowhere" / "index.sqlite")
