"""Files become records, all or none, and no nonce is ever used twice."""

import threading
from pathlib import Path

import pytest

from ehrcore.cli import records as records_module
from ehrcore.cli.records import RESERVED, Nonces, read_records
from ehrcore.errors import DeploymentError, RecordError


def test_folders_are_read_in_order_and_files_as_they_are_named(tmp_path: Path, records: list[Path]) -> None:
    other = tmp_path / "other.txt"
    other.write_bytes(records[0].read_bytes())
    (tmp_path / "records" / "notes.md").write_text("no record")
    deep = tmp_path / "records" / "deep"
    deep.mkdir()
    (deep / "a.json").write_bytes(records[1].read_bytes())
    found = read_records([other, tmp_path / "records"], is_lenient=False)
    assert [path for path, _ in found] == [other, deep / "a.json", *records]
    assert [record.body for _, record in found] == [path.read_bytes() for path, _ in found]


def test_one_that_is_no_record_is_named_and_nothing_is_read(records: list[Path]) -> None:
    records[2].write_text('{"resourceType":"Practitioner"}')
    with pytest.raises(RecordError, match=f"{records[2]}: expected a resource of one of the record kinds"):
        read_records(records, is_lenient=False)


def test_lenient_means_named_and_left_out(records: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    records[2].write_text("{")
    found = read_records(records, is_lenient=True)
    assert [path for path, _ in found] == [*records[:2], *records[3:]]
    err = capsys.readouterr().err
    assert err.startswith(f"ehrcore: {records[2]}: left out: expected a FHIR resource")
    assert err.count("\n") == 1
    with pytest.raises(RecordError, match="expected a record, found none"):
        read_records(records[2:3], is_lenient=True)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DeploymentError, match=f"{tmp_path / 'none'}: expected a file that can be read"):
        read_records([tmp_path / "none"], is_lenient=True)
    with pytest.raises(DeploymentError, match=f"{tmp_path}: expected files called \\*.json, found none"):
        read_records([tmp_path], is_lenient=True)


def test_nonces_follow_each_other(tmp_path: Path) -> None:
    nonces = Nonces(tmp_path)
    first, *others = [nonces.take() for _ in range(2 * RESERVED + 1)]
    assert others == list(range(first + 1, first + 2 * RESERVED + 1))


def test_a_counter_that_was_lost_begins_above_what_it_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From 0 again, nothing of its author would ever become final."""
    last = [Nonces(tmp_path).take() for _ in range(10)][-1]
    (tmp_path / "nonce").unlink()
    now = records_module.time.time()
    monkeypatch.setattr(records_module.time, "time", lambda: now + 1)
    assert Nonces(tmp_path).take() > last


def test_a_nonce_is_reserved_before_it_is_used_so_a_crash_skips_some_and_repeats_none(tmp_path: Path) -> None:
    taken: list[int] = []
    for count in (1, 3, RESERVED, 2):
        crashing = Nonces(tmp_path)
        for _ in range(count):
            taken.append(crashing.take())
            assert int((tmp_path / "nonce").read_text()) > taken[-1]
    assert len(set(taken)) == len(taken)
    assert taken == sorted(taken)


def test_many_at_once_never_share_a_nonce(tmp_path: Path) -> None:
    taken: list[int] = []

    def take() -> None:
        nonces = Nonces(tmp_path)
        taken.extend(nonces.take() for _ in range(RESERVED + 5))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 8 * (RESERVED + 5)


@pytest.mark.parametrize("content", [b"", b"x", b"-1", b"1.5", b"\xff", b" 7", str(1 << 53).encode()])
def test_a_damaged_counter_is_named_and_not_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "nonce").write_bytes(content)
    with pytest.raises(DeploymentError, match=f"{tmp_path / 'nonce'}: expected the next nonce in decimal"):
        Nonces(tmp_path).take()
    assert (tmp_path / "nonce").read_bytes() == content
