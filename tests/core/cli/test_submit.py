"""Submitting: all or nothing before it begins, and nothing believed that is not proven."""

import time
from pathlib import Path

import pytest

from ehrcore.drive.net.plan import NetworkFolder


@pytest.fixture
def silent(tmp_path: Path, run, free_ports) -> Path:
    """A founded network of which no node runs."""
    folder = tmp_path / "net"
    assert run("network", "init", "--folder", folder, "--first-port", free_ports(5)).code == 0
    return folder


def test_a_file_that_is_no_record_stops_the_batch_before_anything_is_stored(silent, records, run) -> None:
    records[3].write_text('{"resourceType":"Bundle"}')
    done = run("submit", "--folder", silent, records[0].parent)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert f"{records[3]}: expected a resource of one of the record kinds, found 'Bundle'" in done.err
    assert not list((silent / "objects").rglob("*"))
    assert not (silent / "nodes" / "visitor-0" / "nonce").exists()


@pytest.mark.parametrize("name", ["agent-0", "visitor-1", ""])
def test_only_a_visitor_can_submit(silent, records, run, name) -> None:
    done = run("submit", "--folder", silent, "--visitor", name, *records)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"ehrcore: --visitor: expected one of visitor-0, found {name!r}\n"


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "x"])
def test_a_time_out_is_a_positive_number(silent, records, run, seconds) -> None:
    done = run("submit", "--folder", silent, "--timeout", seconds, *records)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "argument --timeout: invalid number of seconds value" in done.err


def test_without_the_authority_no_patient_has_a_name(silent: Path, records, run) -> None:
    (silent / "authority").rename(silent.parent / "elsewhere")
    for words in (("submit", *records), ("audit", "--patient", "p1")):
        done = run(*words, "--folder", silent)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert f"{silent / 'authority'}: expected the authority, who names patients, on this host" in done.err


def test_a_visitors_key_has_to_be_its_own_and_secret(silent: Path, records, run) -> None:
    key = silent / "nodes" / "visitor-0" / "signing.key"
    key.chmod(0o644)
    assert (
        "expected a secret that its owner alone may read (0600), found 0644"
        in run("submit", "--folder", silent, *records).err
    )
    key.chmod(0o600)
    key.write_bytes((silent / "nodes" / "agent-0" / "signing.key").read_bytes())
    assert "expected the private key that visitor-0 is certified for" in run("submit", "--folder", silent, *records).err
    key.unlink()
    done = run("submit", "--folder", silent, *records)
    assert (done.code, done.err.count("\n")) == (2, 1)


@pytest.mark.parametrize("words", [("submit", "FILE"), ("audit",), ("read", "00" * 32), ("prove", "00" * 32)])
def test_a_network_that_is_down_is_named(silent: Path, records, run, words) -> None:
    begin = time.monotonic()
    done = run(*(records[0] if word == "FILE" else word for word in words), "--folder", silent)
    assert (done.code, done.out, done.err.count("\n")) == (1 if words[0] in {"read", "prove"} else 2, "", 1)
    assert "expected an answer, found: Connection refused" in done.err
    assert time.monotonic() - begin < 60, "it is not waited for"


def test_status_of_a_network_that_is_down_names_every_node(silent: Path, run) -> None:
    done = run("status", "--folder", silent)
    assert (done.code, done.err) == (1, "")
    assert [line.split()[:2] for line in done.lines[1:]] == [
        [name, "down"] for name in NetworkFolder(silent).read_plan().nodes if name != "visitor-0"
    ]
    assert run("status", "--folder", silent, "--json").out.count("null") == 4


def test_down_where_nothing_runs_says_so(silent: Path, run) -> None:
    done = run("network", "down", "--folder", silent)
    assert (done.code, done.out) == (0, f"{silent}: no node was running\n")


@pytest.mark.parametrize("name", ["visitor-0", "agent-9"])
def test_resync_of_what_is_no_node_is_refused(silent: Path, run, name) -> None:
    done = run("network", "resync", "--folder", silent, name)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert f"found {name}" in done.err


def test_resync_without_files_says_so(silent: Path, run) -> None:
    done = run("network", "resync", "--folder", silent, "contributor-0", "--ledger")
    assert (done.code, done.out) == (2, "")
    assert "expected a ledger, found none" in done.err


def test_resync_keeps_what_it_puts_aside(silent: Path, run) -> None:
    home = silent / "nodes" / "contributor-0"
    for number in (1, 2):
        for name in ("ledger.sqlite", "ledger.sqlite-wal", "index.sqlite"):
            (home / name).write_text(f"{name} {number}")
        (home / "journal.sqlite").write_text("kept")
        done = run("network", "resync", "--folder", silent, "contributor-0", "--ledger")
        assert (done.code, done.err) == (0, "")
        assert f"contributor-0: kept as ledger.sqlite.damaged-{number}" in done.lines
        assert "fetches every block from its peers" in done.out
        assert (home / f"ledger.sqlite-wal.damaged-{number}").read_text() == f"ledger.sqlite-wal {number}"
        assert not (home / "ledger.sqlite").exists()
    assert (home / "journal.sqlite").read_text() == "kept"


def test_resync_leaves_shares_of_keys_alone_unless_they_are_named(silent: Path, run) -> None:
    home = silent / "nodes" / "contributor-0"
    for name in ("ledger.sqlite", "journal.sqlite", "keys.sqlite", "keys.key"):
        (home / name).write_text(name)
    assert run("network", "resync", "--folder", silent, "contributor-0").code == 0
    assert not (home / "ledger.sqlite").exists()
    assert (home / "keys.sqlite").read_text() == "keys.sqlite"
    done = run("network", "resync", "--folder", silent, "contributor-0", "--keys")
    assert (done.code, done.lines[0]) == (0, "contributor-0: kept as keys.sqlite.damaged-1")
    assert "no erasure reaches it" in done.lines[1]
    assert (home / "keys.key").exists(), "what was put aside is of no use without it"
