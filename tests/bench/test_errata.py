"""Every erratum is shown by computation or is marked as a matter of reading; and what shows nothing is caught."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.__main__ import main
from bench.errata import curves, hashing, table
from bench.errata.base import Erratum, Line, Outcome, demonstrate
from bench.errata.node import check_syntax, read_listing, restore_assignments
from bench.errata.render import render_markdown, render_text
from bench.errata.table import ERRATA
from ehrcore.spec import sha256
from ehrcore.spec.equations import EQUATION_4

ROOT = Path(__file__).parents[2]
#: Of meaning, of absence, or of what another text says.
READINGS = {"E22", "E23", "E43", "E45", "E46", "E48"}
#: These run on Node.js.
ON_NODE = {"E26", "E27", "E30", "E31", "E42"}
NEEDS_NODE = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not on the path")
Show = Callable[[], list[Line]]


def called(name: str) -> Erratum:
    return next(erratum for erratum in ERRATA if erratum.id == name)


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    return {erratum.id: demonstrate(erratum) for erratum in ERRATA}


def run(*words: str) -> int:
    try:
        main(("errata", *words))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


# -- the table ---------------------------------------------------------------------------------------------------------


def test_there_are_48_in_order_and_each_is_complete() -> None:
    assert [erratum.id for erratum in ERRATA] == [f"E{number:02}" for number in range(1, 49)]
    for erratum in ERRATA:
        fields = (erratum.place, erratum.printed, erratum.right, erratum.source, erratum.shown_by)
        assert all(text.strip() == text and text for text in fields), erratum.id
        assert erratum.printed != erratum.right
        assert re.match(r"§\d|abstract", erratum.place), erratum.place


def test_what_is_not_demonstrated_is_marked_as_reading_and_names_its_source() -> None:
    assert {erratum.id for erratum in ERRATA if erratum.show is None} == READINGS
    assert {called(name).shown_by for name in READINGS} == {"a matter of reading"}


def test_no_two_errata_share_a_demonstration() -> None:
    shows = [erratum.show for erratum in ERRATA if erratum.show]
    assert len(set(shows)) == len(shows)


def test_every_erratum_that_the_definitions_switch_is_in_the_table() -> None:
    switched = sha256.ALGORITHM_1 | EQUATION_4
    assert switched <= {erratum.id for erratum in ERRATA if erratum.show}
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "ehrcore" / "spec").glob("*.py"))
    assert set(re.findall(r"\bE\d\d\b", sources)) <= {erratum.id for erratum in ERRATA}


def test_the_document_is_the_table() -> None:
    """To mend: `ehrbench errata --markdown > paper/errata.md`."""
    assert (ROOT / "paper" / "errata.md").read_text(encoding="utf-8") == render_markdown(ERRATA)


# -- the demonstrations ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [erratum.id for erratum in ERRATA if erratum.id not in READINGS])
def test_every_demonstration_shows_a_difference_in_each_line(name: str, outcomes: dict[str, Outcome]) -> None:
    found = outcomes[name]
    if name in ON_NODE and shutil.which("node") is None:
        assert found.status == "not run"
        return
    assert found.status == "shown", found.lines
    assert all(line.what and line.printed and line.right for line in found.lines)


def test_demonstrations_are_the_same_every_time(outcomes: dict[str, Outcome]) -> None:
    for name in ("E03", "E15", "E19", "E21", "E38"):
        assert demonstrate(called(name)) == outcomes[name]


def test_what_is_right_is_what_the_library_says(outcomes: dict[str, Outcome]) -> None:
    digest = hashlib.sha256(b"patient 0001").hexdigest()
    for name in ("E01", "E03", "E05", "E06"):
        assert outcomes[name].lines[0].right == digest
    assert outcomes["E04"].lines[0].right == digest[16:24]


def test_equation_4_is_off_the_curve_in_every_trial_as_printed(outcomes: dict[str, Outcome]) -> None:
    on_curve = [(line.printed, line.right) for name in ("E14", "E15") for line in outcomes[name].lines]
    assert [pair for pair in on_curve if pair == ("0 of 16", "16 of 16")] == [("0 of 16", "16 of 16")] * 3


# -- planted -----------------------------------------------------------------------------------------------------------

PLANTED: dict[str, Show] = {
    "both sides agree": lambda: [Line("sum", "2", "2")],
    "one line of two agrees": lambda: [Line("sum", "2", "3"), Line("product", "4", "4")],
    "no line at all": list,
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_demonstration_that_shows_nothing_is_caught(what: str) -> None:
    found = demonstrate(replace(called("E03"), show=PLANTED[what]))
    assert found.status == "not shown"
    text = render_text([found], width=100, is_whole=False)
    assert "NOT SHOWN" in text
    assert text.count("BOTH SIDES AGREE") == sum(not line.holds for line in found.lines)


def test_the_command_ends_with_1_where_something_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = replace(called("E03"), show=PLANTED["both sides agree"])
    monkeypatch.setattr(table, "ERRATA", (called("E01"), planted))
    assert run() == 1


@pytest.mark.parametrize("name", ["E01", "E03", "E04", "E05", "E06", "E07"])
def test_a_definition_that_forgets_what_is_printed_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = sha256.hash_words
    monkeypatch.setattr(hashing.sha256, "hash_words", lambda message, _printed=None: right(message))
    assert demonstrate(called(name)).status == "not shown"


@pytest.mark.parametrize("name", ["E14", "E15"])
def test_an_equation_that_forgets_what_is_printed_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = curves.add_hashes
    monkeypatch.setattr(curves, "add_hashes", lambda X, Y, modulus, _printed=None: right(X, Y, modulus))
    assert demonstrate(called(name)).status == "not shown"


# -- Node.js -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(ON_NODE))
def test_without_node_a_demonstration_is_not_run_and_says_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = demonstrate(called(name))
    assert (found.status, found.reason, found.lines) == ("not run", "Node.js is not on the path", ())
    assert run(name) == 0


@NEEDS_NODE
def test_node_tells_a_program_from_what_is_none() -> None:
    assert check_syntax("const a = 1;") == "parses"
    assert check_syntax("const a 1;").startswith("SyntaxError")


def test_what_a_machine_may_have_lost_is_put_back_and_nothing_else() -> None:
    restored = restore_assignments(read_listing("algorithm4.js")).splitlines()
    changed = [(a, b) for a, b in zip(read_listing("algorithm4.js").splitlines(), restored, strict=True) if a != b]
    assert len(changed) == 9
    assert all(a.replace(" ", "") == b.replace(" = ", " ").replace(" ", "") for a, b in changed)
    assert ("message request.body.message", "message = request.body.message") in changed
    assert "exports.sha256Hash = function (pubkey)" in restore_assignments(read_listing("algorithm3.js"))


# -- the command -------------------------------------------------------------------------------------------------------


def test_one_erratum_in_detail(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("e03") == 0
    out = capsys.readouterr().out
    words = " ".join(out.split())
    assert out.startswith("E03  §3, Algorithm 1, line 8: shown\n")
    assert "source: FIPS 180-4 §6.2.2" in words
    assert hashlib.sha256(b"patient 0001").hexdigest() in words
    assert "Errata: 1 (1 shown)" in words


def test_json_has_what_was_computed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("E34", "E22", "E34", "--json") == 0
    nodes, cloud = json.loads(capsys.readouterr().out)
    assert (nodes["id"], nodes["status"]) == ("E34", "shown")
    assert nodes["lines"] == [{"what": "nodes: 3 + 3 + 5 + 2 + 1", "printed": "12", "right": "14", "holds": True}]
    assert (cloud["id"], cloud["status"], cloud["lines"]) == ("E22", "reading", [])


@pytest.mark.parametrize("name", ["E49", "E00", "3", ""])
def test_an_unknown_id_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(name) == 2
    assert capsys.readouterr().err == f"ehrbench: errata: expected ids from E01 to E48, found {name!r}\n"


def test_the_table_as_markdown_runs_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.errata.base.demonstrate", None)
    assert run("--markdown") == 0
    assert capsys.readouterr().out == render_markdown(ERRATA)
