"""The pages on extending: what they name exists, what they show is what comes, what they say to type in works."""

import re
import shlex
from pathlib import Path

import pytest

from bench.__main__ import app
from bench.engines import find_engine
from bench.experiments import QUESTIONS
from bench.experiments.base import Case
from bench.workload import build_workload
from ehrcore.cli.parser import build_parser
from tests.extend.support import EXAMPLES, RECORDS, ROOT, call, context

PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs" / "extend").glob("*.md"))}
FENCE = re.compile(r"^```(\S+)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
OWN = {"pieces", "poa"}
#: A line of a console that is no command.
SHOWN = re.compile(r"^[^$\n]", re.MULTILINE)


def blocks(language: str) -> list[object]:
    found = [(name, text) for name, page in PAGES.items() for kind, text in FENCE.findall(page) if kind == language]
    return [pytest.param(text, id=f"{name}-{number}") for number, (name, text) in enumerate(found)]


def test_every_example_is_on_a_page_and_every_page_is_in_the_index() -> None:
    shown = {match for page in PAGES.values() for match in re.findall(r"literalinclude\} \.\./examples/(\S+)", page)}
    assert all((EXAMPLES / name).is_file() for name in shown)
    assert {path.name for path in EXAMPLES.glob("*.*")} <= shown
    assert all(
        f"]({name}.md)" in PAGES["index"] and f"\n{name}\n" in PAGES["index"] for name in PAGES if name != "index"
    )


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_to_a_file(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s#]+)", PAGES[name]):
        assert target.startswith("https://") or (ROOT / "docs" / "extend" / target).resolve().is_file(), target


@pytest.mark.parametrize("text", blocks("console"))
def test_every_command_exists_with_its_options_and_files(text: str) -> None:
    for line in re.findall(r"^\$ (.*)$", text, re.MULTILINE):
        name, *words = shlex.split(line)
        assert all((ROOT / word).exists() for word in words if word.startswith("docs/")), line
        if words[0] == "--extend":
            words = words[2:]
        if name == "ehrcore":
            build_parser().parse_args(
                [word for word in words if word not in OWN and word not in {"--rule", "--consensus"}]
            )
            continue
        flags = {flag for option in app.commands[words[0]].params for flag in option.opts}
        assert {word for word in words if word.startswith("--")} <= flags, line
        if words[0] == "run":
            asked = [word for word in words[1:] if not word.startswith(("-", "docs/"))]
            assert set(asked) <= {*QUESTIONS, *OWN}, line


@pytest.mark.slow
@pytest.mark.parametrize("text", [block for block in blocks("console") if SHOWN.search(*block.values)])
def test_what_is_shown_is_what_comes(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    command, output = text.splitlines()[:2]
    name, *words = shlex.split(command.removeprefix("$ "))
    found = call(*words, module={"ehrbench": "bench"}.get(name, name))
    assert found.startswith(output.partition("…")[0])


@pytest.mark.parametrize("text", blocks("python"))
def test_what_is_to_be_typed_in_works(load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    del load  # which takes away what is added
    monkeypatch.chdir(ROOT)
    exec(compile(text, "page", "exec"), space := {})
    if "run_committee" not in space:
        return
    made = context(tmp_path)
    made.workload = build_workload(RECORDS, "test")
    (row,) = find_engine("committee")(made, Case("committee-4", "committee", {"administrators": 4}))
    assert row["administrators"] == 4
    assert row["tx_per_s"] > 0
    assert row["energy_j_per_tx_mid"] > 0
