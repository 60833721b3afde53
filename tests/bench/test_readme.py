"""README: its code runs, and every command, session, option and file that it names is there."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import app
from bench.experiments.catalogue import PROFILES, QUESTIONS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def commands(name: str) -> list[list[str]]:
    """Every call of a program in the shell blocks and in the text, as words without comments."""
    lines = "\n".join(blocks("sh")).splitlines() + re.findall(r"`([^`\n]+)`", README)
    parts = [part for line in lines for part in re.split(r"&&|\||<<", line)]
    return [words for words in (shlex.split(part, comments=True) for part in parts) if words[:1] == [name]]


def test_the_code_runs_and_ends_with_a_digest(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python")
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"[0-9a-f]{64}", lines[-1])
    assert any("visitor-0 final" in line for line in lines), "the record of the example gets its receipt"


def test_every_command_of_ehrbench_exists_with_its_options() -> None:
    found = commands("ehrbench")
    assert len(found) >= 5
    for words in found:
        assert words[1] in app.commands, words
        known = {flag for option in app.commands[words[1]].params for flag in option.opts}
        assert {word for word in words if word.startswith("--")} <= known, words
        if words[1] == "run":
            assert "--profile" not in words or words[words.index("--profile") + 1] in PROFILES
            assert all(word in QUESTIONS for word in words[2:3] if not word.startswith("-")), words


def test_every_command_of_ehrcore_exists_with_its_options() -> None:
    from ehrcore.cli.parser import build_parser

    found = commands("ehrcore")
    named = {build_parser().parse_args(words[1:]).run for words in found if len(words) > 1}
    assert named == {
        *(
            "network:up",
            "network:init",
            "network:down",
            "network:resync",
            "ledger:verify",
            "ledger:show",
            "ledger:prune_file",
        ),
        *(
            "submit:submit",
            "submit:sign",
            "read:read",
            "read:prove",
            "verify:verify_file",
            "audit:audit",
            "status:status",
            "order:order",
            "check:check",
            "protocol:show",
            "pseudonym:pseudonym",
            "search:search",
            "erase:erase",
            "person:enrol",
            "consent:grant",
            "consent:list_all",
            "consent:revoke",
            "consent:export",
            "agreement:propose",
            "agreement:sign",
            "agreement:submit",
            "agreement:terminate",
        ),
    }


@pytest.mark.slow
def test_the_walk_through_goes_as_it_says(tmp_path: Path) -> None:
    """Word for word, on a network as small as it can be with three contributors."""
    from tests.core.cli.conftest import run_process
    from tests.ports import find_ports

    (script,) = (block for block in blocks("sh") if "person enrol anna" in block)
    up = ("network", "up", "--detach", "--contributors", 3, "--first-port", find_ports(8), "--folder")
    assert run_process(*up, tmp_path / "ehr-network").code == 0
    shell = f'ehrcore() {{ "{sys.executable}" -m ehrcore "$@" || echo "code $?"; }}\n'
    try:
        done = subprocess.run(
            ["bash", "-eu", "-c", shell + script], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
    finally:
        run_process("network", "down", "--folder", tmp_path / "ehr-network")
    assert done.stdout.count("code 1\n") == script.count("# code 1") == done.stdout.count("code ")
    assert [line.partition("found: ")[2].partition(" that")[0] for line in done.stderr.splitlines()] == [
        "no consent of the patient", "no consent of the patient", "the record has been erased"
    ]  # fmt: skip
    record = (tmp_path / "records" / done.stdout.splitlines()[0].rpartition("/")[2]).read_bytes()
    assert {(tmp_path / name).read_bytes() for name in ("copy.json", "emergency.json", "own.json")} == {record}
    for words in ("asked to read a record", "broke the glass: unconscious", "signed a consent", "provision: permits"):
        assert f"proven   {words}" in re.sub(r"person-[0-9a-f]{16} (asked|signed)", r"\1", done.stdout)
    assert "1 stored records, 1 erased" in done.stdout
    assert done.stdout.endswith("nothing was found\n")


def test_every_session_of_nox_exists() -> None:
    source = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    sessions = set(re.findall(r"^@nox\.session(?:\(.*\))?\ndef (\w+)", source, re.MULTILINE))
    named = set(re.findall(r"nox -s (\w+)", README))
    assert {"bench", "tests", "speed"} <= named <= sessions


def test_every_experiment_has_its_line() -> None:
    table = README.partition("| experiment | question |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", table))) == set(QUESTIONS)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", README))))
def test_every_relative_link_leads_to_a_file(target: str) -> None:
    assert (ROOT / target).exists()


def test_every_path_of_the_packages_that_it_names_exists() -> None:
    for path in re.findall(r"`((?:bench|ehrcore)/[\w./]*)`", README):
        assert (ROOT / path).exists(), path


def test_every_module_of_the_library_that_it_names_exists() -> None:
    table = README.partition("| module | what it holds |")[2].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    names = [name.rstrip("/") for cell in cells for name in re.findall(r"`([\w/]+)`", cell)]
    assert len(names) > 20
    for name in names:
        assert importlib.util.find_spec(f"ehrcore.{name}"), name
