"""The command `ehrcore`: good ledgers are shown and verified, everything else is one line and code 2."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ehrcore import __version__
from ehrcore.__main__ import main
from ehrcore.block import Genesis
from ehrcore.drive.cost import FREE
from ehrcore.drive.sim import SimSetup, Simulation
from ehrcore.effects import Requested
from ehrcore.ledger import SqliteLedger
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Limits, Topology
from ehrcore.records import ClinicalRecord, RecordKind
from ehrcore.types import MINUTE

ROOT = Path(__file__).parents[2]
BLOCKS = 3


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A ledger of three blocks with real signatures, as a file's bytes."""
    path = tmp_path_factory.mktemp("ledger") / "contributor-0.db"
    params = ChainParams("demo", Topology(1, 1, 1, 1), 1, 1, limits=Limits(max_transactions=2))
    network = found_network(params, "cryptography", "demo")
    with SqliteLedger.create(path, Genesis(network.params, network.certificates)) as ledger:
        simulation = Simulation(network, SimSetup("demo", FREE), lambda *_: None, {"contributor-0": ledger})
        for number in range(2 * BLOCKS):
            record = ClinicalRecord(RecordKind.BILL, "p", "Claim", f"/hospital/{number}.json", b"{}")
            simulation.inject(number, "visitor-0", Requested(record, network.authority.pseudonym("p")))
        simulation.run(MINUTE)
        assert ledger.height == BLOCKS
    return path.read_bytes()


@pytest.fixture
def ledger(tmp_path: Path, written: bytes) -> Path:
    path = tmp_path / "ledger.db"
    path.write_bytes(written)
    return path


def exit_code(*words: str) -> int | str | None:
    try:
        main(words)
    except SystemExit as end:
        return end.code
    return 0


def test_a_good_ledger_is_verified_from_genesis(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("ledger", "verify", str(ledger)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    first, chain, tip, state = out.splitlines()
    assert first == f"{ledger}: {BLOCKS} blocks verified from genesis"
    assert chain.endswith("(sha256, p256, pos)")
    assert len({line.split()[1] for line in (chain, tip, state)}) == 3


def test_a_good_ledger_is_shown_block_by_block(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("ledger", "show", str(ledger)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    heading, *lines = out.splitlines()
    assert heading.split() == ["height", "time", "[s]", "transactions", "marked", "invalid", "proposer"]
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert {tuple(line.split()[2:]) for line in lines} == {("2", "0", "administrator-0")}


@pytest.mark.parametrize("action", ["verify", "show"])
def test_looking_changes_nothing(ledger: Path, action: str, written: bytes) -> None:
    exit_code("ledger", action, str(ledger))
    assert ledger.read_bytes() == written
    assert [path.name for path in ledger.parent.iterdir()] == ["ledger.db"]


def _missing(path: Path) -> str:
    path.unlink()
    return "expected a ledger file, found none"


def _folder(path: Path) -> str:
    path.unlink()
    path.mkdir()
    return "expected a ledger"


def _below_a_file(path: Path) -> str:
    path.unlink()
    path.parent.rmdir()
    path.parent.write_text("")
    return "expected a ledger"


def _empty(path: Path) -> str:
    path.write_bytes(b"")
    return "expected application_id"


def _garbage(path: Path) -> str:
    path.write_bytes(b"not a ledger\n" * 900)
    return "expected a ledger, found: file is not a database"


def _other_database(path: Path) -> str:
    path.unlink()
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE blocks (height INTEGER)")
    db.commit()
    db.close()
    return "expected application_id"


def _truncated(path: Path) -> str:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    return str(path)


def _header_alone(path: Path) -> str:
    path.write_bytes(path.read_bytes()[:100])
    return str(path)


SPOILED = [_missing, _folder, _below_a_file, _empty, _garbage, _other_database, _truncated, _header_alone]


@pytest.mark.parametrize("action", ["verify", "show"])
@pytest.mark.parametrize("spoil", SPOILED)
def test_what_is_no_ledger_is_one_line_and_code_2(
    ledger: Path, capsys: pytest.CaptureFixture[str], spoil: Callable[[Path], str], action: str
) -> None:
    expected = spoil(ledger)
    assert exit_code("ledger", action, str(ledger)) == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert err.startswith(f"ehrcore: {ledger}: ")
    assert expected in err
    assert "verified" not in out


def _change(path: Path, statement: str, *values: Any) -> None:
    db = sqlite3.connect(path)
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
    db.execute(statement, values)
    db.commit()
    db.close()


def test_a_changed_block_is_named(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(ledger, "UPDATE blocks SET content = substr(content, 1, length(content) - 1) || x'00' WHERE height = 2")
    assert exit_code("ledger", "verify", str(ledger)) == 2
    err = capsys.readouterr().err
    assert "block 2" in err
    assert err.count("\n") == 1


def test_a_missing_block_is_named(ledger: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _change(ledger, "DELETE FROM blocks WHERE height = 2")
    assert exit_code("ledger", "show", str(ledger)) == 2
    out, err = capsys.readouterr()
    assert "expected block 2, found block 3" in err
    assert len(out.splitlines()) == 2, "what comes before is shown"


MISTAKES = [
    ((), "the following arguments are required: COMMAND"),
    (("ledger",), "the following arguments are required: ACTION"),
    (("ledger", "verify"), "the following arguments are required: file"),
    (("ledger", "mend", "a"), "invalid choice: 'mend'"),
    (("chain",), "invalid choice: 'chain'"),
    (("--fast",), "required: COMMAND"),
    (("ledger", "show", "a", "b"), "unrecognized arguments: b"),
    (("network",), "the following arguments are required: ACTION"),
    (("network", "restart"), "invalid choice: 'restart'"),
    (("network", "resync"), "the following arguments are required: NAME"),
    (("submit",), "the following arguments are required: FILE"),
    (("read",), "the following arguments are required: ID"),
    (("audit", "--patient"), "argument --patient: expected one argument"),
]


@pytest.mark.parametrize(("words", "expected"), MISTAKES)
def test_a_mistake_is_one_line_that_names_the_help(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: str
) -> None:
    assert exit_code(*words) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("ehrcore")
    assert expected in err
    assert err.endswith("--help)\n")


HELP = [("--help",), ("ledger", "--help"), ("ledger", "verify", "-h"), ("network", "up", "-h"), ("submit", "-h")]


@pytest.mark.parametrize("words", HELP)
def test_help_is_printed_and_good(capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    assert exit_code(*words) == 0
    out, err = capsys.readouterr()
    assert out.startswith("usage: ehrcore")
    assert err == ""


def test_nothing_heavy_is_imported_before_it_is_known_what_is_wanted() -> None:
    code = "import sys, ehrcore.__main__ as m; m.build_parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"aiohttp", "asyncio", "cryptography", "msgspec", "rich", "sqlite3", "ssl"} & set(done.stdout.split())


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("--version") == 0
    assert capsys.readouterr().out == f"ehrcore {__version__}\n"


def test_an_interrupt_is_said(
    ledger: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ehrcore.cli.ledger.verify", interrupt)
    assert exit_code("ledger", "verify", str(ledger)) == 130
    assert capsys.readouterr().err == "ehrcore: interrupted\n"


def start(*words: str, **options: Any) -> "subprocess.Popen[str]":
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    command = [sys.executable, "-m", "ehrcore", *words]
    return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, **streams)


@pytest.mark.parametrize("words", [("ledger", "show"), ("ledger", "verify"), ("--help",), ("--version",)])
def test_a_reader_who_leaves_early_causes_no_traceback(ledger: Path, words: tuple[str, ...]) -> None:
    process = start(*words, *([str(ledger)] if len(words) > 1 else []))
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) in {0, 1}
    assert err == ""


def test_without_any_standard_output_a_ledger_is_verified_all_the_same(ledger: Path) -> None:
    command = f'exec "{sys.executable}" -m ehrcore ledger verify "{ledger}" >&-'
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_process_of_its_own_ends_with_code_2_and_one_line(tmp_path: Path) -> None:
    process = start("ledger", "verify", str(tmp_path / "none.db"))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)


def test_verify_compares_the_chain_and_the_tip_with_what_is_known_from_elsewhere(
    ledger: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["ledger", "verify", str(ledger)])
    lines = dict(line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:])
    main(["ledger", "verify", str(ledger), "--chain", lines["chain"], "--tip", lines["tip"].upper()])
    for option in ("--chain", "--tip"):
        with pytest.raises(SystemExit) as stop:
            main(["ledger", "verify", str(ledger), option, "00" * 32])
        assert stop.value.code == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert f"expected {option[2:]} 0000" in error


def test_every_help_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    import argparse

    from ehrcore.cli.parser import build_parser

    monkeypatch.setenv("COLUMNS", "80")
    waiting, seen = [build_parser()], 0
    while waiting:
        parser = waiting.pop()
        seen += 1
        assert max(map(len, parser.format_help().splitlines())) <= 80, parser.prog
        groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        waiting += [command for group in groups for command in group.choices.values()]
    assert seen > 30
