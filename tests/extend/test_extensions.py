"""Extensions: executed because somebody names them, once, whole or not at all; and remembered by the runs they made."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from bench.errors import BenchError
from bench.experiments.catalogue import QUESTIONS
from bench.extensions import describe_extensions, keep_copies, require_extensions
from bench.net.network import _plain_environment
from bench.run import _require_alike
from ehrcore.drive.extensions import LOADED, VARIABLE, load_extensions, load_inherited
from ehrcore.errors import EhrError, ParameterError
from ehrcore.hashing import SUITES, HashSuite, add_suite, find_suite
from ehrcore.params import FAMILIES, ChainParams, Topology
from ehrcore.registry import ADDED
from tests.extend.support import EXAMPLES, call

EXAMPLE = EXAMPLES / "consensus_rule.py"
GOOD = "from ehrcore.consensus import add_rule\nadd_rule('mine', object, family='single')\n"


# -- loading ---------------------------------------------------------------------------------------------------------


def test_a_file_is_executed_once_and_named_for_whatever_starts_from_here(load, write) -> None:
    path = write("COUNT = []\n" + GOOD)
    load(path, path)
    load(path)
    assert FAMILIES["mine"] == "single"
    assert LOADED["mine.py"].adds == ("consensus rule mine",)
    assert LOADED["mine.py"].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert os.environ[VARIABLE] == str(path)
    assert not list(path.parent.glob("__pycache__")), "nothing is written beside a user's file"


def test_who_inherits_the_variable_knows_the_same(load, write, monkeypatch) -> None:
    monkeypatch.setenv(VARIABLE, str(write(GOOD)))
    load_inherited()
    assert "mine" in FAMILIES
    monkeypatch.setenv(VARIABLE, "")
    load_inherited()


def test_the_nodes_of_a_measured_network_inherit_it_and_nothing_that_changes_how_fast_they_are(monkeypatch) -> None:
    for name in (VARIABLE, "PYTHONOPTIMIZE"):
        monkeypatch.setenv(name, "1")
    with _plain_environment():
        assert os.environ[VARIABLE] == "1"
        assert "PYTHONOPTIMIZE" not in os.environ
    assert os.environ["PYTHONOPTIMIZE"] == "1"


MISTAKES = {
    "no Python": ("add_rule(", "mine.py:1: SyntaxError"),
    "a bug": ("x = 1\nx.nothing\n", "mine.py:2: AttributeError: 'int' object has no attribute 'nothing'"),
    "nothing added": ("x = 1\n", "expected an extension that adds something, found one that adds nothing"),
    "a name that is taken": (GOOD.replace("mine", "pow"), "consensus rule: expected a name that is not taken"),
    "a name that is no word": (GOOD.replace("mine", "My rule"), "consensus rule: expected a name of a-z"),
    "a name that is long": (GOOD.replace("mine", "m" * 41), "(40 at most)"),
    "no such family": (GOOD.replace("single", "luck"), "consensus: expected one of pos, pow, single, leader"),
    "a package that is not here": ("import no_such_package\n", "mine.py:1: ModuleNotFoundError"),
}


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_that_names_the_place(load, write, text, expected) -> None:
    with pytest.raises(ParameterError) as caught:
        load(write(text))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_fails_half_way_adds_nothing(load, write) -> None:
    before = list(ADDED), dict(FAMILIES)
    with pytest.raises(ParameterError, match="mine.py:3: ZeroDivisionError"):
        load(write(GOOD + "1 / 0\n"))
    assert (list(ADDED), dict(FAMILIES)) == before
    load(write(GOOD))


def test_files_are_told_apart_by_their_names(load, write, tmp_path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "a:b").mkdir()
    load(write(GOOD))
    with pytest.raises(ParameterError, match="found two called mine.py"):
        load(write(GOOD.replace("mine", "more"), "other/mine.py"))
    with pytest.raises(ParameterError, match="found ':' in a path"):
        load(write(GOOD.replace("mine", "more"), "a:b/more.py"))
    with pytest.raises(ParameterError, match="expected a Python file, found: No such file"):
        load_extensions([tmp_path / "none.py"])


# -- the command lines -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_both_commands_take_extensions_by_flag_or_by_variable(write) -> None:
    path = write(GOOD)
    bad = ("network", "init", "--folder", path.parent / "net", "--consensus", "mine", "--agents", "0")
    expected = "topology: agents: expected at least 1"  # what comes after the name of the rule
    assert expected in call("--extend", path, *bad, module="ehrcore", code=2)
    assert expected in call(*bad, module="ehrcore", code=2, EHR_EXTEND=str(path))
    assert "invalid choice: 'mine'" in call(*bad, module="ehrcore", code=2)
    assert "mine.py:1: SyntaxError" in call("--extend", write("("), "list", code=2)


# -- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_keeps_what_it_was_made_with_and_never_executes_it(load, tmp_path) -> None:
    load("consensus_rule")
    keep_copies(tmp_path)
    wanted = describe_extensions()
    assert json.loads(json.dumps(wanted)) == wanted
    assert wanted["consensus_rule.py"]["adds"] == ["consensus rule poa"]
    copy = tmp_path / "extensions" / "consensus_rule.py"
    assert copy.read_bytes() == EXAMPLE.read_bytes()
    assert require_extensions(tmp_path, wanted) == []
    other = {"consensus_rule.py": wanted["consensus_rule.py"] | {"sha256": "00"}}
    assert require_extensions(tmp_path, other) == [
        "extension consensus_rule.py: not the file that the run was made with (SHA-256 00)"
    ]


def test_a_run_goes_on_with_the_very_same_extension_alone(load, write) -> None:
    load(write(GOOD))
    begun = {"extensions": describe_extensions()}
    _require_alike(Path("run"), begun, {"extensions": describe_extensions()})
    _require_alike(Path("run"), {}, {"extensions": {}})  # of a version that knew of none
    changed = {"mine.py": begun["extensions"]["mine.py"] | {"sha256": "00"}}
    for now, found in (({}, r"extensions.mine.py.sha256: \w+… -> nothing"), (changed, r"\w+… -> 00")):
        with pytest.raises(BenchError, match=f"run: expected to go on under the conditions of its begin.*{found}"):
            _require_alike(Path("run"), begun, {"extensions": now})


def test_without_its_extension_a_run_is_refused_with_a_line_that_says_where_it_is(tmp_path) -> None:
    copy = tmp_path / "extensions" / "mine.py"
    copy.parent.mkdir()
    copy.write_text("raise SystemExit('executed')\n", encoding="utf-8")
    with pytest.raises(BenchError) as caught:
        require_extensions(tmp_path, {"mine.py": {"sha256": "00", "adds": ["experiment mine"]}})
    expected = f"expected the extension mine.py (experiment mine), found none: look at {copy}, and give it with"
    assert expected in str(caught.value)


# -- hash suites -----------------------------------------------------------------------------------------------------

EMPTY = hashlib.md5(b"").hexdigest()
SPOILED = {
    "no vector": ({}, {}, "vectors: expected at least one, found 0"),
    "a wrong vector": ({}, {b"abc": "00" * 16}, "digest of b'abc': expected 0000"),
    "a wrong size": ({"digest_size": 20}, {b"": EMPTY}, "digest: expected 20 bytes, found 16"),
    "a digest too short": ({"digest_size": 8}, {b"": EMPTY}, "digest: expected 16 to 32 bytes, found 8"),
    "a digest too long": ({"digest_size": 48}, {b"": EMPTY}, "digest: expected 16 to 32 bytes, found 48"),
    "more than the birthday bound": ({"collision_bits": 65}, {b"": EMPTY}, "expected 0 to 64, found 65"),
    "a name that is taken": ({"name": "sha256"}, {b"": EMPTY}, "expected a name that is not taken"),
}


@pytest.mark.parametrize(("changes", "vectors", "expected"), SPOILED.values(), ids=SPOILED)
def test_a_suite_that_is_not_what_it_says_is_not_added(changes, vectors, expected) -> None:
    given = {"name": "mine", "digest_size": 16, "block_size": 64, "collision_bits": 16, "new": hashlib.md5} | changes
    before = dict(SUITES)
    with pytest.raises(EhrError, match=expected):
        add_suite(HashSuite(**given), vectors)
    assert before == SUITES


class Shared:
    """A state whose copy is itself: trees would come out wrong."""

    def __init__(self, data: bytes = b"") -> None:
        self._state = hashlib.md5(data)
        self.update, self.digest = self._state.update, self._state.digest

    def copy(self) -> "Shared":
        return self


def test_a_suite_whose_copies_are_shared_is_not_added() -> None:
    digest = hashlib.md5(b"abc").hexdigest()
    with pytest.raises(ParameterError, match=r"copy: expected a state of its own|digest of b'abc'"):
        add_suite(HashSuite("mine", 16, 64, 16, Shared), {b"abc": digest})


# -- rules -----------------------------------------------------------------------------------------------------------


def test_a_rule_that_nobody_knows_is_refused_wherever_it_comes_from() -> None:
    with pytest.raises(ParameterError, match="consensus: expected one of pos, pow, single, leader, found 'poa'"):
        ChainParams("x", Topology(1, 1, 1, 1), 1, 1, consensus="poa")


def test_nothing_is_left_by_the_tests_before() -> None:
    assert not ADDED
    assert not LOADED
    assert set(FAMILIES) == {"pos", "pow", "single", "leader"}
    assert "pieces" not in QUESTIONS
    with pytest.raises(ParameterError):
        find_suite("blake2s")
