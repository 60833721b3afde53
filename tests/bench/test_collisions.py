"""Experiment `collisions`: the published pairs are what they are said to be, and beat what they should and no more."""

import hashlib
import hmac
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench.attacks import pairs as module
from bench.attacks.birthday import MEAN_FACTOR, PROTECTIONS, cut, is_collision, search
from bench.attacks.documents import CONTENTS, make_documents, read_document
from bench.attacks.pairs import Pair, load_costs, load_folder, load_published
from bench.engines import collisions as engine
from bench.errors import BenchError
from bench.experiments import collisions
from bench.experiments.attacks import KIND, is_as_expected
from bench.scenario import convert_scenario, load_scenario
from ehrcore.hashing import SUITES, HashSuite

PAIRS = {pair.name: pair for pair in load_published()}


# -- pairs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "function", "digest"),
    [
        ("wang-2004", "md5", "79054025255fb1a26e4bc422aef54eb4"),
        ("stevens-2012", "md5", "008ee33a9d58b51cfeb425b0959121c9"),
        ("shattered-2017", "sha1", "f92d74e3874587aaf443d1db961d4e26dde13e9c"),
        ("shambles-2020", "sha1", "8ac60ba76f1999a1ab70223f225aefdc78d4ddc0"),
    ],
)
def test_published_pairs_have_the_digests_of_their_articles(name: str, function: str, digest: str) -> None:
    pair = PAIRS[name]
    assert pair.first != pair.second
    for body in (pair.first, pair.second):
        assert hashlib.new(function, body, usedforsecurity=False).hexdigest() == digest
    assert pair.source


def test_a_pair_of_letters_and_digits_collides_as_it_is_alone() -> None:
    pair = PAIRS["stevens-2024"]
    assert pair.first.isalnum()
    assert sum(left != right for left, right in zip(pair.first, pair.second, strict=True)) == 1
    assert not pair.is_extensible


def test_no_pair_collides_under_another_suite_or_behind_a_prefix() -> None:
    for pair in PAIRS.values():
        for name, suite in SUITES.items():
            if name == "blake3":
                continue
            same = suite.hash(pair.first) == suite.hash(pair.second)
            assert same is (name == pair.suite)
            assert suite.hash(b"\0" + pair.first) != suite.hash(b"\0" + pair.second)


def test_a_damaged_data_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "attacks" / "data"
    data.mkdir(parents=True)
    source = Path(module.__file__).parent / "data"
    for path in source.iterdir():
        (data / path.name).write_bytes(path.read_bytes())
    body = (data / "wang-2004.a").read_bytes()
    (data / "wang-2004.a").write_bytes(body[:-1] + b"?")
    monkeypatch.setattr(module.resources, "files", lambda _: tmp_path)
    with pytest.raises(BenchError, match=r"^wang-2004\.a: expected SHA-256 [0-9a-f]{64}, found other bytes$"):
        load_published()


def test_a_users_pairs_are_read_from_a_folder(tmp_path: Path) -> None:
    given = PAIRS["shattered-2017"]
    (tmp_path / "mine.a").write_bytes(given.first)
    (tmp_path / "mine.b").write_bytes(given.second)
    assert load_folder(tmp_path) == [Pair("mine", "sha1", given.first, given.second, source=str(tmp_path))]


def test_a_folder_that_is_no_good_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="expected a folder of pairs"):
        load_folder(tmp_path / "none")
    with pytest.raises(BenchError, match=r"expected pairs NAME\.a and NAME\.b, found none"):
        load_folder(tmp_path)
    (tmp_path / "x.a").write_bytes(b"one")
    with pytest.raises(BenchError, match=r"x\.b: expected the other half of a pair, found no file"):
        load_folder(tmp_path)
    (tmp_path / "x.b").write_bytes(b"two")
    with pytest.raises(BenchError, match="expected a pair that collides under one of sha256, .*, found none that does"):
        load_folder(tmp_path)
    (tmp_path / "x.b").write_bytes(b"one")
    with pytest.raises(BenchError, match="expected two different messages, found the same twice"):
        load_folder(tmp_path)
    (tmp_path / "x.a").write_bytes(bytes(module.MAX_PAIR_BYTES + 1))
    with pytest.raises(BenchError, match=r"x\.a: expected at most 1048576 bytes"):
        load_folder(tmp_path)


# -- documents and records ---------------------------------------------------------------------------------------------


def test_documents_share_their_digest_and_read_differently() -> None:
    for pair in filter(lambda pair: pair.is_extensible, PAIRS.values()):
        for texts in CONTENTS.values():
            documents = make_documents(pair, texts)
            assert (read_document(documents.first), read_document(documents.second)) == texts
            digest = SUITES[pair.suite].hash
            assert digest(documents.first) == digest(documents.second)
            assert hashlib.sha256(documents.first).digest() != hashlib.sha256(documents.second).digest()


def test_documents_need_a_pair_that_can_be_continued() -> None:
    with pytest.raises(BenchError, match="expected a pair that collides whatever follows"):
        make_documents(PAIRS["stevens-2024"], ("a", "b"))


@pytest.mark.parametrize("suite", ["sha256", "sha1", "md5"])
def test_pairs_beat_their_own_suite_and_no_other(suite: str, tmp_path: Path) -> None:
    chosen = [PAIRS["stevens-2012"], PAIRS["shattered-2017"]]
    rows = engine.attack_variant("tests", suite, "p256", chosen, tmp_path)
    attacks = [row for row in rows if row["kind"] == KIND]
    assert all(is_as_expected(row) for row in attacks)
    assert all(row["holds"] for row in rows if row["kind"] == "check")
    beaten = {row["attack"].split("(")[1] for row in attacks if row["succeeded"]}
    assert beaten == {"sha256": set(), "sha1": {"shattered-2017)"}, "md5": {"stevens-2012)"}}[suite]


def test_a_planted_weakness_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A contract that has lost its comparison of digests lets a pair through under SHA-256."""
    monkeypatch.setattr(engine, "look_up", lambda *_: b"anything")
    rows = engine.attack_variant("tests", "sha256", "p256", [PAIRS["stevens-2012"]], tmp_path)
    wrong = [row["protection"] for row in rows if row["kind"] == KIND and not is_as_expected(row)]
    assert wrong == ["look-up contract"] * len(CONTENTS)


@pytest.mark.parametrize("suite", ["sha256", "sha1", "md5"])
def test_the_keyed_digest_is_hmac(suite: str) -> None:
    assert engine._keyed(suite, b"body") == hmac.digest(engine._HMAC_KEY, b"body", suite)


# -- searches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protection", list(PROTECTIONS))
def test_a_search_finds_the_first_repeat(protection: str) -> None:
    bits, seed = 12, "tests"
    found = search(protection, bits, seed)
    assert is_collision(found, protection, bits)
    salt, digest = found.second[:8], PROTECTIONS[protection]
    seen: dict[int, int] = {}
    for number in range(found.tries):
        value = cut(digest(salt + number.to_bytes(8)), bits)
        if value in seen:
            break
        seen[value] = number
    assert number + 1 == found.tries
    assert found.first == salt + seen[value].to_bytes(8)


def test_searches_follow_the_birthday_bound() -> None:
    tries = np.array([search("none", 16, str(seed)).tries for seed in range(200)])
    assert tries.mean() / 2**8 == pytest.approx(MEAN_FACTOR, rel=0.15)


def test_a_search_that_lies_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "is_collision", lambda *_: False)
    rows = engine.run_searches("tests", 8, 1)
    assert not any(is_as_expected(row) for row in rows if row["kind"] == KIND)


@pytest.mark.long
def test_tables_and_figures_come_from_the_rows(tmp_path: Path) -> None:
    rows = engine.attack_variant("tests", "md5", "p256", [PAIRS["stevens-2012"], PAIRS["shattered-2017"]], tmp_path)
    for bits in (10, 14, 18):
        rows += engine.run_searches("tests", bits, 12)
    raw = pd.DataFrame([*rows, *({"kind": "cost", **cost} for cost in load_costs())])
    tables = {table.name: table.build(raw) for table in collisions.EXPERIMENT.tables}
    for table in collisions.EXPERIMENT.tables:
        assert list(tables[table.name].columns) == list(table.columns)
    fit = tables["collisions_fit"]
    assert fit["exponent"].between(0.35, 0.65).all()
    assert ((fit["exponent_low"] < fit["exponent"]) & (fit["exponent"] < fit["exponent_high"])).all()
    searches = tables["collisions_searches"]
    assert ((searches["ratio_low"] < searches["ratio"]) & (searches["ratio"] < searches["ratio_high"])).all()
    assert tables["collisions_pairs"].set_index("pair")["where"].to_dict() == {
        "stevens-2012": "md5",
        "shattered-2017": "none",
    }
    for figure in collisions.EXPERIMENT.figures:
        assert figure.draw(tables).axes
    assert any(line.startswith("md5: ") for line in collisions.answer(tables))


def test_the_scenario_refuses_what_cannot_be_searched() -> None:
    plain = load_scenario("smoke")
    cases = collisions.declare_cases(plain)
    assert [case.label for case in cases][-1] == "costs"
    with pytest.raises(BenchError, match=r"<= 56.*collisions\.bits"):
        convert_scenario(_with(bits=[16, 24, 60]), "mine")
    with pytest.raises(BenchError, match=r"Expected each value once.*collisions\.bits"):
        convert_scenario(_with(bits=[16, 16, 24]), "mine")
    with pytest.raises(BenchError, match=r"Expected one of sha256.*collisions\.suites"):
        convert_scenario(_with(suites=["md4"]), "mine")


def test_a_scenario_with_bad_pairs_is_refused_before_anything_runs(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.toml"
    overlay.write_text(f'[collisions]\npairs = "{tmp_path}"\n', encoding="utf-8")
    with pytest.raises(BenchError, match="expected pairs NAME"):
        load_scenario("smoke", overlay)
    (tmp_path / "own.a").write_bytes(PAIRS["stevens-2012"].first)
    (tmp_path / "own.b").write_bytes(PAIRS["stevens-2012"].second)
    assert load_scenario("smoke", overlay).collisions.pairs == str(tmp_path)


def _with(**changes: object) -> dict[str, object]:
    import msgspec

    content = msgspec.to_builtins(load_scenario("smoke"))
    return {**content, "collisions": {**content["collisions"], **changes}}


def test_a_suite_without_a_known_attack_is_not_called_weak() -> None:
    weak = {name for name, suite in SUITES.items() if isinstance(suite, HashSuite) and suite.is_weak}
    assert weak == {pair.suite for pair in PAIRS.values()}
