"""The documentation: links lead somewhere, code blocks do what they say, generated parts say what the code says.

`nox -s docs` builds the site and checks what was built; here the pages are looked at as files, without Sphinx.
"""

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import app
from bench.experiments import QUESTIONS, find_experiment
from bench.experiments.catalogue import PROFILES
from bench.scenario import load_scenario
from ehrcore.cli.parser import build_parser
from ehrdocs import checking, commands, drawing, experiments, files, generated, markdown, protocol, scenarios

ROOT = Path(__file__).parents[1]
PAGES = files.list_pages()
#: How to extend the suite is tested with its examples.
OURS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items() if not name.startswith("extend/")}
INCLUDED = files.find_included(PAGES)
TUTORIAL = OURS["tutorial"]


def fences(language: str) -> list[object]:
    found = [(name, fence) for name, text in OURS.items() for fence in markdown.list_fences(text)]
    return [pytest.param(fence.text, id=f"{name}-{fence.line}") for name, fence in found if fence.language == language]


def filled(name: str) -> str:
    return markdown.fill_places(OURS[name], generated.MAKERS)


# -- links and places ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OURS)
def test_every_link_of_a_page_leads_to_a_file_and_an_anchor_of_it(name: str) -> None:
    for target in markdown.list_links(OURS[name]):
        path, _, anchor = target.partition("#")
        if ":" in target:
            assert re.fullmatch(r"(https://[\w.-]+\.\w+(/\S*)?|mailto:\S+@\S+)", target), target
            continue
        aim = (PAGES[name].parent / path).resolve() if path else PAGES[name]
        assert aim.is_file(), target
        if anchor and aim.suffix == ".md":
            assert anchor in anchors_of(aim), target


def anchors_of(path: Path) -> list[str]:
    """A page's anchors, with those of what it includes or of what is generated in it."""
    (page,) = [name for name, each in PAGES.items() if each == path] or [""]
    (included,) = [each for each, by in INCLUDED.items() if by == page] or [""]
    if page and not included:
        return markdown.list_anchors(filled(page))
    return markdown.list_anchors((ROOT / included if included else path).read_text(encoding="utf-8"))


def test_every_generated_part_is_used_and_known() -> None:
    used = {name for text in OURS.values() for name in markdown.list_places(text)}
    assert used <= set(generated.MAKERS)
    assert set(generated.MAKERS) - used <= {"module"}


def test_every_page_is_in_the_contents() -> None:
    lines = [line for fence in markdown.list_fences(OURS["index"]) for line in fence.text.splitlines()]
    named = [line for line in lines if line and line[0] != ":"]
    assert sorted(named) == sorted({*OURS, "extend/index"} - {"index"})


def test_what_pages_include_is_the_repositorys_own() -> None:
    sources = {"results/README.md", "bench/README.md", "paper/claims.md", "paper/errata.md", "SECURITY.md"}
    assert sources <= set(INCLUDED)
    assert all((ROOT / path).is_file() for path in INCLUDED)


@pytest.mark.parametrize(
    ("target", "source", "expected"),
    [
        ("../results/README.md", "bench/README.md", "schema.md"),
        ("../results/README.md#raw-rows", "bench/README.md", "schema.md#raw-rows"),
        ("pos.py", "ehrcore/consensus/README.md", "repo:ehrcore/consensus/pos.py"),
        ("../ehrcore/merkle.py#L12", "docs/code.md", "repo:ehrcore/merkle.py#L12"),
        ("tutorial.md#install", "docs/code.md", "tutorial.md#install"),
        ("../results/a.svg", "bench/README.md", "../results/a.svg"),
        ("../claims.md", "docs/extend/hash.md", "claims.md"),
    ],
)
def test_links_become_those_of_the_site(target: str, source: str, expected: str) -> None:
    assert files.resolve_link(target, source, "method", INCLUDED) == expected


# -- code blocks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", fences("python"))
def test_python_blocks_are_doctests(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    example = doctest.DocTestParser().get_doctest(text, {}, "page", None, 0)
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


@pytest.mark.parametrize("text", fences("toml"))
def test_toml_blocks_are_scenarios(text: str, tmp_path: Path) -> None:
    (tmp_path / "scenario.toml").write_text(text, encoding="utf-8")
    assert load_scenario("quick", tmp_path / "scenario.toml") != load_scenario("quick")


@pytest.mark.parametrize("text", [*fences("console"), *fences("sh")])
def test_every_command_of_a_shell_block_exists_with_its_options(text: str) -> None:
    for line in text.splitlines():
        for part in re.split(r"&&|\|", line.removeprefix("$ ")):
            words = shlex.split(part, comments=True)
            if words[:1] == ["ehrbench"]:
                command = app.commands[words[1]]
                known = {flag for option in command.params for flag in option.opts}
                assert {word for word in words if word.startswith("--")} <= known, line
                if words[1] == "run":
                    assert all(word in QUESTIONS for word in words[2:3] if not word.startswith("-")), line
                    assert "--profile" not in words or words[words.index("--profile") + 1] in PROFILES
            elif words[:1] == ["ehrcore"]:
                build_parser().parse_args(words[1:])
            elif words[:1] == ["nox"]:
                assert f"def {words[2]}(" in (ROOT / "noxfile.py").read_text(encoding="utf-8"), line


def test_only_the_tutorial_has_blocks_that_are_run() -> None:
    assert {name for name, text in OURS.items() for fence in markdown.list_fences(text) if fence.language == "sh"} == {
        "tutorial"
    }
    assert {fence.language for text in OURS.values() for fence in markdown.list_fences(text)} <= {
        *("sh", "console", "python", "toml", "{include}", "{toctree}")
    }


@pytest.mark.parametrize(
    "is_whole", [pytest.param(False, id="smaller", marks=pytest.mark.slow), pytest.param(True, marks=pytest.mark.long)]
)
def test_the_tutorial_goes_as_it_says(tmp_path: Path, *, is_whole: bool) -> None:
    """Word for word; or, smaller, with fewer processes, one run less, and without what reads the whole reference."""
    script = "\n".join(fence.text for fence in markdown.list_fences(TUTORIAL) if fence.language == "sh")
    if not is_whole:
        dear = r"^.*(results/reference|ehrbench verify|ehrbench compare|run merkle --profile smoke$).*$"
        script = re.sub(dear, "", script, flags=re.MULTILINE)
        script = script.replace("processes = 12", "processes = 3")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "reference").symlink_to(ROOT / "results" / "reference")
    shell = f'ehrbench() {{ "{sys.executable}" -m bench "$@" || echo "code $? of $1"; }}\n'
    done = subprocess.run(
        ["bash", "-eu", "-c", shell + script], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Whether this machine confirms the reference is not what is tested.
    assert set(re.findall(r"^code .*$", done.stdout, re.MULTILINE)) - {"code 1 of verify"} == {"code 2 of run"}
    assert re.search(r"^ehrbench: .*proccesses", done.stderr, re.MULTILINE)
    assert len(list((tmp_path / "results").glob("*-smoke*"))) == 2 + is_whole
    for words in ("C13", "supported", "E03", *(["C03", "contradicted", "paired.processes"] if is_whole else [])):
        assert words in done.stdout, words


# -- what is generated -----------------------------------------------------------------------------------------------


def test_every_key_of_a_scenario_is_a_row_with_its_values() -> None:
    page = scenarios.make_defaults()
    for section in ("[paired]", "[variants.factors]", "[energy_windows.counted]", "[faults]"):
        assert f"## `{section}`" in page
    keys = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert len(keys) > 100
    assert re.search(r"^\| `epoch_ms` \| number from 2 to 1,000 \| `2.0` \|", page, re.MULTILINE)
    assert all(scenarios.load_profile(name) == load_scenario(name) for name in PROFILES)
    quick = load_scenario("quick").paired
    assert f"| `blocks` | whole number from 1 to 10,000 | `4` | **`1`** | **`{quick.blocks}`** |" in page


def test_constants_of_the_method_stand_with_value_and_meaning() -> None:
    page = scenarios.make_constants()
    assert re.search(r"`MIN_EFFECT`\]\(\.\./bench/analysis/paired\.py#L\d+\) \| `0\.02` \| A smaller effect", page)
    assert "`FAMILY_ERROR`" in page
    assert "`SHORTFALL`" in page


def test_every_table_of_every_experiment_stands_with_every_column() -> None:
    page = experiments.make_tables()
    pieces = re.split(r"^### (\S+)$", page, flags=re.MULTILINE)[1:]
    sections = dict(zip(pieces[::2], pieces[1::2], strict=True))
    for name in QUESTIONS:
        for table in find_experiment(name).tables:
            rows = re.findall(r"^\| `([^`]+)` \| ([^|]*) \| ([^|]*) \|$", sections[table.name], re.MULTILINE)
            assert [(key, title.strip(), unit.strip()) for key, title, unit in rows] == [
                (key, column.title, column.unit or "–") for key, column in table.columns.items()
            ]  # fmt: skip


def test_every_command_and_option_stands_in_the_reference() -> None:
    page = commands.make_ehrbench()
    for name, command in app.commands.items():
        assert f"## ehrbench {name}\n" in page
        assert all(flag in page for option in command.params for flag in option.opts if flag.startswith("--"))
    page = commands.make_ehrcore()
    assert commands.list_ehrcore() == re.findall(r"^## (ehrcore .+)$", page, re.MULTILINE)
    assert "## ehrcore network up\n" in page
    assert "--break-glass" in page


def test_the_states_name_every_rule_and_the_layers_every_layer() -> None:
    from ehrcore.consensus.pos import RULES, Phase

    drawn = drawing.make_states()
    assert all(rule.name in drawn for rule in RULES)
    assert all(phase.name in drawn for phase in Phase)
    for picture in (drawn, drawing.make_layers(), drawing.make_sequence()):
        assert "\n\n" not in picture, "an empty line would end the block of HTML"
    assert "```mermaid" not in generated.replace_mermaid((ROOT / "ehrcore/consensus/README.md").read_text("utf-8"))


def test_the_messages_that_are_drawn_are_those_that_nodes_send() -> None:
    """One transaction that becomes final, one that agents refuse, one that contracts refuse."""
    from ehrcore.block import RecordRef
    from ehrcore.drive.cost import EXAMPLE
    from ehrcore.drive.sim import SimSetup, Simulation
    from ehrcore.effects import Instructed, Requested
    from ehrcore.network import found_network
    from ehrcore.params import ChainParams, Limits, Topology
    from ehrcore.records import ClinicalRecord, RecordKind

    sent: dict[tuple[str, str, str], None] = {}

    class Watched(Simulation):
        def _send(self, node, to, message, size):
            for name in to:
                sent[node.role.value, self.network.roles[name].value, type(message).__name__] = None
            super()._send(node, to, message, size)

    params = ChainParams("t", Topology(3, 2, 4, 2, 2), 2, 2, is_modelled=True, limits=Limits(max_wait_ns=10**9))
    rights = {"visitor-1": [RecordKind.BILL]}
    network = found_network(params, "modelled", "x", rights=rights)
    simulation = Watched(network, SimSetup("s", EXAMPLE), lambda *_: None)
    pseudonym = network.authority.pseudonym("p")
    for number, visitor in enumerate(("visitor-0", "visitor-1")):
        record = ClinicalRecord(RecordKind.SENSOR, "p", "Observation", f"/{number}", b"x")
        simulation.inject(number, visitor, Requested(record, pseudonym))
    missing = RecordRef(int(RecordKind.SENSOR), pseudonym, bytes(32), "/nothing is there", 1)
    simulation.inject(2, "visitor-0", Instructed(missing))
    simulation.run(10**11)
    drawn = {(step.sender.value, step.receiver.value, step.message.__name__): step for step in protocol.STEPS}
    assert set(sent) == set(drawn)
    order = [key for key in sent if not drawn[key].is_refusal]
    assert order == [key for key, step in drawn.items() if not step.is_refusal]


def test_a_finding_is_the_reference_runs_own() -> None:
    found = experiments.make_finding("C03")
    assert "claims.md#c03-" in found
    assert "`ehrbench run hashes variants energy --profile paper`" in found
    with pytest.raises(LookupError, match="C99"):
        experiments.make_finding("C99")


# -- Markdown and the check of the site ------------------------------------------------------------------------------


def test_fences_are_found_with_what_they_hold() -> None:
    text = "a\n```sh run\none\n```\n~~~\n```\n~~~\n````md\n```\n````\n"
    assert [(fence.language, fence.words, fence.text, fence.line) for fence in markdown.list_fences(text)] == [
        ("sh", ("run",), "one\n", 2), ("", (), "```\n", 5), ("md", (), "```\n", 8)
    ]  # fmt: skip


def test_nothing_in_a_code_block_is_a_link_or_a_place() -> None:
    text = "[a](b)\n```\n[c](d)\n<!-- generated: x -->\n```\n<!-- generated: x y -->\n"
    assert markdown.list_links(text) == ["b"]
    assert markdown.rewrite_links(text, str.upper).startswith("[a](B)\n```\n[c](d)")
    assert markdown.fill_places(text, {"x": lambda word: f"<{word}>"}).endswith("<!-- generated: x y -->\n\n<y>\n")


def test_headings_that_repeat_have_anchors_of_their_own() -> None:
    assert markdown.list_anchors("# A `b` c!\n## x\n### x\n```\n# no\n```\n") == ["a-b-c", "x", "x-1"]


@pytest.mark.parametrize(
    ("html", "why"),
    [
        ('<a href="gone.html">', "no such file"),
        ('<a href="other.html#gone">', "no such anchor"),
        ('<a href="#gone">', "no such anchor"),
        ('<a href="repo:x">', "no address"),
        ('<a href="https://nowhere">', "no address"),
        ('<script src="https://cdn.example.org/x.js"></script>', "fetched from elsewhere"),
        ('<img src="//example.org/x.png">', "fetched from elsewhere"),
        ('<link rel="stylesheet" href="gone.css">', "fetched from elsewhere"),
    ],
)
def test_what_is_wrong_with_a_site_is_found(tmp_path: Path, html: str, why: str) -> None:
    good = '<p id="x"><a href="#x"><a href="other.html#y"><a href="https://example.org/a"><a href="#">'
    (tmp_path / "index.html").write_text(good, encoding="utf-8")
    (tmp_path / "other.html").write_text('<p id="y">', encoding="utf-8")
    (tmp_path / "a.css").write_text("p { background: url(data:x) }", encoding="utf-8")
    assert checking.check_site(tmp_path) == []
    (tmp_path / "index.html").write_text(good + html, encoding="utf-8")
    (found,) = checking.check_site(tmp_path)
    assert why in found


def test_a_style_that_fetches_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@import 'https://fonts.example.org/x';", encoding="utf-8")
    assert checking.check_site(tmp_path) == ["a.css: fetches from a network"]


def test_our_own_style_fetches_nothing() -> None:
    style = (ROOT / "docs/_static/site.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style


def test_tables_hold_whatever_stands_in_them() -> None:
    assert markdown.table(("a", "b"), [("x|y", "one\ntwo")]) == "| a | b |\n|---|---|\n| x\\|y | one two |"


def test_the_glossary_has_every_role_status_and_verdict() -> None:
    from bench.analysis.claims import VERDICTS
    from bench.record import ROW_STATUSES
    from ehrcore.consensus.pos import Phase
    from ehrcore.types import Role

    words = OURS["glossary"].lower()
    roles = [role.value for role in Role] + ["authoritative node", "ordering node"]
    for word in (*roles, *ROW_STATUSES, *VERDICTS, *PROFILES, "faster", "unresolved", "a/a control", "knee"):
        assert word in words, word
    assert all(phase.name.lower() in words for phase in Phase if phase is not Phase.IDLE and phase.name != "PROPOSE")
