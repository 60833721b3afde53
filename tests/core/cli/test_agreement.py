"""Agreements by command: drafted, signed, submitted, listed and ended on a running network; and what is no draft."""

import base64
from pathlib import Path

import msgspec
import pytest

from ehrcore.agreements import Terms
from ehrcore.cli.agreement import FORMAT, Draft, read_draft
from ehrcore.codec import encode
from ehrcore.drafting import parse_clauses, write_clauses
from ehrcore.drive.net.client import folder_of
from ehrcore.identity import FOREVER

CLAUSES = """
[[clauses]]
then = "permit"
when = { any = [{ fact = "action", is = "write" }, { fact = "purpose", in = ["TREAT", "PATRQT"] }] }

[[clauses]]
then = "require"
when = { not = { fact = "uses", at_least = 100 } }

[[clauses]]
then = "permit"
"""


@pytest.fixture
def clauses(tmp_path: Path) -> Path:
    path = tmp_path / "clauses.toml"
    path.write_text(CLAUSES)
    return path


@pytest.fixture
def founded(run, tmp_path) -> Path:
    folder = tmp_path / "network"
    assert run("network", "init", "--folder", folder).code in {0, None}
    return folder


def write_draft(folder: Path, path: Path, **changes: object) -> Path:
    """A draft between the network's visitor and somebody else."""
    chain = folder_of(folder)[1].chain
    always = parse_clauses({"clauses": [{"then": "permit"}]})
    terms = Terms("person-1", "visitor-0", bytes(32), always, 0, FOREVER, bytes(16))
    draft = Draft(format=FORMAT, chain=chain, terms=base64.b64encode(encode(terms)).decode())
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(draft, **changes)))
    return path


def test_clauses_are_shown_in_words(clauses) -> None:
    import tomllib

    assert write_clauses(parse_clauses(tomllib.loads(clauses.read_text()))) == [
        "permit when (action is write) or (purpose is TREAT or PATRQT)",
        "require when not (uses at least 100)",
        "permit",
    ]


def test_who_signs_sees_the_terms_and_the_draft_holds_the_signature(run, founded, tmp_path) -> None:
    path = write_draft(founded, tmp_path / "draft")
    done = run("agreement", "sign", path, "--as", "visitor-0", "--folder", founded)
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.lines] == ["agreement", "patient", "provider", "period", "clause"]
    draft, _ = read_draft(path, folder_of(founded)[1].chain)
    assert draft.signer == "visitor-0"
    assert draft.signature
    again = run("agreement", "submit", path, "--as", "visitor-0", "--folder", founded)
    assert (again.code, again.err) == (
        2, "ehrcore: --as: expected the party that has not signed yet, found visitor-0\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"format": "ehrcore-agreement-2"}, "format: expected ehrcore-agreement-1, found 'ehrcore-agreement-2'"),
        ({"chain": "ab" * 32}, "chain: expected"),
        ({"terms": "%"}, "expected the draft of an agreement, found:"),
        ({"terms": "kA=="}, "expected the draft of an agreement, found: Terms: expected canonical bytes"),
        ({"signature": "zz"}, "expected the draft of an agreement, found: Expected `str` matching regex"),
        ({}, "expected the other party's signature, found none"),
    ],
)
def test_what_is_no_draft_is_told_in_one_line(run, founded, tmp_path, changes, told) -> None:
    path = write_draft(founded, tmp_path / "draft", **changes)
    done = run("agreement", "submit", path, "--as", "visitor-0", "--folder", founded)
    assert done.code == 2
    assert told in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("name", ["clauses.toml", "clauses.json"])
@pytest.mark.parametrize(
    "text",
    ["", "[[clauses]]\nthen = 'allow'\n", "\x00", "[" * 20_000, '{"clauses":' * 5_000, "x = " + "[" * 5_000,
     "x" * 70_000, "x = " + "9" * 5_000,
     "[[clauses]]\nthen = 'permit'\nwhen = { fact = 'uses', is = 1979-05-27 }\n", "null", "[]"],
    ids=["empty", "effect", "nul", "brackets", "braces", "deep", "long", "digits", "date", "null", "list"],
)  # fmt: skip
def test_what_are_no_clauses_is_told_in_one_line(run, founded, tmp_path, name, text) -> None:
    (tmp_path / name).write_text(text)
    words = ("--as", "visitor-0", "--with", "person-1", "--clauses", tmp_path / name)
    done = run("agreement", "propose", "--folder", founded, *words)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert len(done.err) < 500


@pytest.mark.slow
def test_an_agreement_by_command_from_its_draft_to_its_end(started, run, clauses, tmp_path) -> None:
    folder, draft = started(), tmp_path / "draft"
    for words in (("alice", "--patient", "p1"), ("bob", "--practitioner")):
        assert run("person", "enrol", *words, "--folder", folder).code == 0
    doctor = (folder / "persons" / "bob" / "subject").read_text()

    def agreement(*words: object) -> object:
        return run("agreement", *words, "--folder", folder)

    words = ("--as", "bob", "--with", "alice", "--clauses", clauses, "-o", draft)
    assert (agreement("propose", *words).code, draft.stat().st_mode & 0o777) == (0, 0o600)
    assert agreement("sign", draft, "--as", "alice").code == 0
    done = agreement("submit", draft, "--as", "bob")
    assert (done.code, done.lines[-1].split()[-1]) == (0, "valid"), done.out
    again = agreement("submit", draft, "--as", "bob")
    assert (again.code, again.lines[-1].split()[-1]) == (1, "already-agreed")
    listed = agreement("list", "--of", doctor)
    name, tx_id = listed.lines[0].split()
    assert (name, listed.lines[-2].split()) == ("agreement", ["uses", "0"])
    assert agreement("list", "--of", "visitor-0").out == ""
    assert agreement("terminate", tx_id, "--as", "visitor-0").lines[-1].split()[-1] == "no-such-agreement"
    assert agreement("terminate", tx_id, "--as", "alice").code == 0
    assert (agreement("list").out, agreement("terminate", tx_id, "--as", "authority").code) == ("", 1)
