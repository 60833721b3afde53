"""Reading on the command line: by the patient's consent, and not otherwise; what is erased nobody reads again."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_a_record_is_read_by_consent_shown_by_evidence_and_gone_when_erased(
    started, records, run, tmp_path: Path
) -> None:
    network = started("--contributors", "3")

    def say(*words: object) -> str:
        done = run(*words, "--folder", network)
        assert (done.code, done.err) == (0, ""), words
        return done.out

    def refuse(*words: object) -> str:
        done = run(*words, "--folder", network)
        assert (done.code, done.out, done.err.count("\n")) == (1, "", 1), words
        return done.err

    said = say("submit", records[0], records[3])
    first, other = re.findall(r"^[0-9a-f]{64}", said, re.MULTILINE)
    copy, evidence, proof = tmp_path / "copy", tmp_path / "evidence.json", tmp_path / "proof.json"
    why = refuse("read", first, "-o", copy, "--evidence", evidence)
    assert why == (
        "ehrcore: read: expected it to be permitted, found: no consent of the patient that lets visitor-0 do so "
        "for TREAT (--as says who asks, --purpose what for)\n"
    )
    assert not copy.exists()
    assert not evidence.exists()
    say("person", "enrol", "anna", "--patient", "p0")
    say("read", first, "--as", "anna", "--purpose", "PATRQT", "-o", copy)
    assert copy.read_bytes() == records[0].read_bytes()
    assert "no consent of the patient" in refuse("search", "--patient", "p0")
    say("consent", "grant", "--as", "anna", "--to", "visitor-0")
    say("read", first, "-o", copy, "--evidence", evidence)
    assert copy.stat().st_mode & evidence.stat().st_mode & 0o777 == 0o600
    say("prove", first, "-o", proof)
    hits = say("search", "--patient", "p0").splitlines()
    assert {line[:64] for line in hits[:-1]} == {first, other}
    assert hits[-1].startswith("2 records of patient ")
    assert [line[:64] for line in say("search", "--patient", "p0", "--kind", "bill").splitlines()[:-1]] == [other]
    assert "no-right" in refuse("erase", first, "--as", "visitor-0")
    assert "erased from block" in say("erase", first, "--as", "anna")
    assert "the record has been erased" in refuse("read", first)
    assert "erased from block" in say("erase", other, "--by-authority")
    assert [line.split()[-1] for line in say("search", "--patient", "p0").splitlines()[:-1]] == ["erased"] * 2
    assert say("audit").splitlines()[-1] == "nothing was found"
    # What somebody has kept of it can still be shown for what it was.
    assert run("verify-proof", proof, "--record", copy, "--evidence", evidence).code == 0
    assert run("verify-proof", proof, "--record", records[3], "--evidence", evidence).code == 1
