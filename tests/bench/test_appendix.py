"""The artifact appendix says what the rules and the reference run say, and every command in it is one."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import app, main
from bench.analysis.claims import read_rules
from bench.errors import BenchError
from bench.experiments.catalogue import PROFILES, QUESTIONS
from bench.report.appendix import TOLERANCE, render_appendix

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "results" / "reference"
PAGE = (ROOT / "ARTIFACT-APPENDIX.md").read_text(encoding="utf-8")
SESSIONS = set(
    re.findall(r"^@nox\.session(?:\(.*\))?\ndef (\w+)", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE)
)


def commands() -> list[list[str]]:
    """Every command of nox on the page, in blocks and in the text, as words without comments."""
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)).splitlines()
    found = [shlex.split(line, comments=True) for line in [*blocks, *re.findall(r"`([^`\n]+)`", PAGE)]]
    return [words for words in found if words[:2] == ["nox", "-s"]]


def rows() -> dict[str, list[str]]:
    """The row of each claim, as cells."""
    table = [line for line in PAGE.splitlines() if re.match(r"\| C\d\d \|", line)]
    return {
        cells[1]: cells[1:-1] for cells in ([cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in table)
    }


def test_the_page_is_what_the_reference_and_the_rules_give() -> None:
    """If this fails: nox -s ehrbench -- appendix -o ARTIFACT-APPENDIX.md."""
    assert render_appendix(REFERENCE) == PAGE


def test_every_claim_has_its_row_with_the_verdict_of_the_reference() -> None:
    kept = {item["id"]: item for item in json.loads((REFERENCE / "claims.json").read_text(encoding="utf-8"))["claims"]}
    found = rows()
    assert [*found] == [*read_rules().claims] == [*kept]
    seconds = {
        name: item["seconds"]
        for name, item in json.loads((REFERENCE / "manifest.json").read_text(encoding="utf-8"))["experiments"].items()
    }
    for name, (_, _, person, machine, command, expected, _) in found.items():
        assert expected.startswith(f"**{kept[name]['verdict']}**: ")
        if kept[name]["experiments"]:
            took = [seconds.get(experiment) for experiment in kept[name]["experiments"]]
            assert int(person) >= 2
            assert shlex.split(command.strip("`"))[4:-2] == kept[name]["experiments"]
            assert (machine == "–") if None in took else (60 * (int(machine) - 1) <= sum(took) <= 60 * int(machine))


def test_every_command_exists_with_its_options() -> None:
    found = commands()
    assert {words[2] for words in found} >= {"kick", "bench", "verify", "tests", "ehrbench", "archive"}
    for words in found:
        assert words[2] in SESSIONS, words
        more = words[4:]
        if words[2] in {"bench", "verify", "ehrbench"} and more:
            name, *more = more if words[2] == "ehrbench" else [{"bench": "run"}.get(words[2], words[2]), *more]
            options = {flag for option in app.commands[name].params for flag in option.opts}
            assert {word for word in more if word.startswith("-")} <= options, words
            if name == "run":
                assert "--profile" not in more or more[more.index("--profile") + 1] in PROFILES
                plain = [*takewhile(lambda word: not word.startswith("-"), more)]
                assert plain
                assert {*plain} <= {*QUESTIONS}


def test_the_tolerance_is_that_of_verify() -> None:
    (option,) = (item for item in app.commands["verify"].params if item.name == "tolerance")
    assert option.default == TOLERANCE
    assert f"ratios ± {100 * TOLERANCE:.0f} %" in PAGE


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE))))
def test_every_relative_link_leads_to_a_file(target: str) -> None:
    assert (ROOT / target).exists()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What the page needs of the reference, to be spoilt."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("manifest.json", "claims.json"):
        shutil.copy(REFERENCE / name, folder)
    return folder


def test_another_verdict_makes_another_page(copy: Path) -> None:
    content = json.loads((copy / "claims.json").read_text(encoding="utf-8"))
    content["claims"][2] |= {"verdict": "supported", "finding": "so | so"}
    (copy / "claims.json").write_text(json.dumps(content), encoding="utf-8")
    assert "**supported**: so \\| so |" in render_appendix(copy)


@pytest.mark.parametrize("key", ["status", "sittings"])
def test_a_run_that_is_not_complete_or_older_is_refused_in_one_line(copy: Path, key: str) -> None:
    content = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    content |= {"schema_version": 1, "record_sha256": None, "files": {}, "status": "complete"}
    content = {**content, "status": "running"} if key == "status" else {k: v for k, v in content.items() if k != key}
    (copy / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BenchError, match=r"expected a complete run of today's layout, found another"):
        render_appendix(copy)


@pytest.mark.parametrize("text", [None, "{", '{"claims": []}', '{"claims": [{}]}'])
def test_a_run_without_verdicts_is_refused_in_one_line(copy: Path, text: str | None, capsys: Any) -> None:
    (copy / "claims.json").unlink()
    if text is not None:
        (copy / "claims.json").write_text(text)
    with pytest.raises(BenchError, match=r"claims.json: expected (verdicts|a file of verdicts), found"):
        render_appendix(copy)
    with pytest.raises(SystemExit) as end:
        main(["appendix", "--reference", str(copy)])
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    main(["appendix", "--reference", str(REFERENCE), "-o", str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == PAGE


@pytest.mark.long
def test_what_measures_nothing_runs_word_for_word(tmp_path: Path) -> None:
    """The commands between the runs, on a copy of the reference as the newest run."""
    shutil.copytree(REFERENCE, tmp_path / "results" / "reference")
    shutil.copytree(REFERENCE, tmp_path / "results" / "20990101T000000Z-paper")
    asked = [["verify", *words[4:]] if words[2] == "verify" else words[4:] for words in commands()
             if words[2] in {"verify", "ehrbench"}]  # fmt: skip
    chosen = {tuple(words): words for words in asked if words[0] != "appendix" and words[-1:] != ["C29"]}
    assert len(chosen) >= 5
    for words in chosen.values():
        done = subprocess.run([sys.executable, "-m", "bench", *words], cwd=tmp_path, capture_output=True, text=True,
                              check=False, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"})  # fmt: skip
        assert done.returncode == 0, (words, done.stderr)
        assert done.stdout
