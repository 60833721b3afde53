"""The table that attack experiments share: what is counted, what theory asks for, and what is said of it."""

import pandas as pd
import pytest

from bench.experiments.attacks import (
    COLUMNS,
    Tally,
    answer_attacks,
    attack_table,
    build_attacks,
    check_attacks,
    is_as_expected,
)


def make_row(expected: str, *found: str | None, variant: str = "sha256", **more: object) -> dict[str, object]:
    tally = Tally("attack", variant, "wall", expected)  # type: ignore[arg-type]
    for place, name in enumerate(found):
        tally.add(name, 1_000 * (place + 1))
    return tally.row() | more


def test_a_tally_counts_tries_and_names_what_found_most() -> None:
    row = make_row("refused", "moat", "gate", "gate", None)
    assert (row["tries"], row["succeeded"], row["detected"]) == (4, 1, 3)
    assert row["where"] == "gate (and 1 more)"
    assert row["detect_us"] == 2.0


def test_a_try_without_effect_neither_succeeds_nor_is_detected() -> None:
    tally = Tally("attack", "", "", "refused")
    tally.add(None, is_success=False)
    assert (tally.tries, tally.succeeded, tally.row()["detected"]) == (1, 0, 0)


def test_watch_times_the_check_and_counts_what_it_finds() -> None:
    tally = Tally("attack", "", "", "detected")
    assert tally.watch(lambda: "gate") == "gate"
    assert tally.watch(lambda: None) is None
    assert (tally.succeeded, len(tally.times_ns)) == (1, 1)


@pytest.mark.parametrize(
    ("expected", "tries", "succeeded", "detected", "holds"),
    [
        ("succeeds", 3, 1, 2, True),
        ("succeeds", 3, 0, 3, False),
        ("refused", 3, 0, 3, True),
        ("refused", 3, 0, 0, True),
        ("refused", 3, 1, 2, False),
        ("refused", 0, 0, 0, False),  # what was not tried proves nothing
        ("detected", 3, 0, 1, True),
        ("detected", 3, 0, 0, False),
    ],
)
def test_what_theory_asks_for(expected: str, tries: int, succeeded: int, detected: int, holds: bool) -> None:
    row = {"expected": expected, "tries": tries, "succeeded": succeeded, "detected": detected}
    assert is_as_expected(row) is holds


def test_a_check_fails_the_run_and_names_what_is_not_as_expected() -> None:
    *_, check = check_attacks([make_row("refused", None), make_row("succeeds", None, variant="md5")])
    assert check["holds"] is False
    assert "attack / sha256 / wall (1 of 1 succeeded, expected: refused)" in check["check"]
    assert "md5" not in check["check"]


def test_rows_of_one_combination_are_summed_and_groups_kept_apart() -> None:
    rows = [make_row("refused", "gate", group="a"), make_row("refused", "moat", "moat", group="a")]
    raw = pd.DataFrame([*rows, make_row("refused", None, group="b"), {"kind": "check", "holds": True}])
    frame = build_attacks(raw, "a")
    assert list(frame.columns) == list(COLUMNS)
    assert frame.loc[0, ["tries", "detected", "where"]].tolist() == [3, 3, "moat"]
    assert frame["holds"].tolist() == [True]
    assert build_attacks(raw)["holds"].tolist() == [False]


def test_without_rows_there_is_an_empty_table_with_all_columns() -> None:
    for raw in (pd.DataFrame(), pd.DataFrame([{"kind": "check", "holds": True}])):
        frame = attack_table("x", "Caption.").build(raw)
        assert list(frame.columns) == list(COLUMNS)
        assert frame.empty
        assert answer_attacks(frame) == []


def test_the_answer_says_what_succeeded_and_what_did_not_hold() -> None:
    rows = [
        make_row("succeeds", None),
        make_row("succeeds", None, variant="md5"),
        make_row("refused", "x", variant="sha1"),
    ]
    lines = answer_attacks(build_attacks(pd.DataFrame(rows)))
    assert lines[0].startswith("3 of 3 combinations")
    assert lines[1] == "Succeeded under 'wall': attack (sha256, md5)."
    why = answer_attacks(build_attacks(pd.DataFrame(rows)), {"wal": "It is low.", "w": "Never."})
    assert why[1] == "Succeeded under 'wall': attack (sha256, md5). It is low."
    lines = answer_attacks(build_attacks(pd.DataFrame([make_row("refused", None)])))
    assert lines[1].startswith("Not as theory says: attack / sha256 / wall")
    assert lines[2] == "Succeeded under 'wall': attack."
