"""Attacks on custody: nothing gets past all protections, each lost one is missed, and a planted bug is found."""

from pathlib import Path

import pytest

from bench.engines.base import Context
from bench.engines.custody import ATTACKS, run_custody
from bench.engines.custody_stage import PROTECTIONS, strike
from bench.engines.impostor import FULL
from bench.experiments import find_experiment
from bench.experiments.attacks import is_as_expected
from bench.experiments.base import Case, Row
from bench.report.tables import check_columns
from bench.scenario import load_scenario
from bench.workload import vital_signs
from ehrcore.custody import Denial
from ehrcore.drive.net import custody as keepers
from ehrcore.drive.net import shares


def play(folder: Path) -> list[Row]:
    context = Context(load_scenario("smoke"), vital_signs(1, 1, 0), folder)
    return run_custody(context, Case("custody", "custody"))


def test_each_protection_is_missed_by_some_attack() -> None:
    assert {attack.beaten for attack in ATTACKS} - {""} == {*PROTECTIONS} - {FULL}
    assert len({(attack.name, attack.variant) for attack in ATTACKS}) == len(ATTACKS)


@pytest.mark.long
def test_attacks_on_custody_end_as_theory_says_for_the_reason_that_custodians_count(tmp_path: Path) -> None:
    import pandas as pd

    before = keepers.judge_link, shares.ShareStore._destroy, shares.AUTHOR_LIMIT
    rows = play(tmp_path)
    assert rows[-1]["holds"], rows[-1]
    assert (keepers.judge_link, shares.ShareStore._destroy, shares.AUTHOR_LIMIT) == before
    found = {(row["attack"], row["variant"]): row["where"] for row in rows if row.get("protection") == FULL}
    for attack, denial in (
        (("release without permission", "the chain has denied it"), Denial.DENIED_ACCESS),
        (("release without permission", "by another's access"), Denial.OTHER_ACCESS),
        (("release without permission", "another patient's record"), Denial.OTHER_RECORD),
        (("release without permission", "consent withdrawn since"), Denial.WITHDRAWN),
        (("stolen link", "shown by another"), Denial.OTHER_PERSON),
        (("replayed link", "by its person"), Denial.USED_LINK),
        (("expired link", "by its person"), Denial.EXPIRED_LINK),
        (("overwritten deposit", "with the author's key"), Denial.OTHER_SHARE),
        (("flood of deposits", "of records that never come"), Denial.TOO_MANY),
    ):
        assert found[attack] == f"custodian: {denial.value}"
    assert found["overheard request", "repeated by another"] == "sealed to another"
    assert found["read what is erased", "from all custodians' disks"] == "disks: 0 of 3 shares left"
    tables = {table.name: table.build(pd.DataFrame(rows)) for table in find_experiment("identity").tables[:2]}
    assert tables["identity"].empty
    check_columns(find_experiment("identity").tables[1], tables["identity_custody"])


@pytest.mark.long
def test_planted_bugs_of_custodians_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepers, "judge_link", lambda *_: Denial.NONE)
    monkeypatch.setattr(shares.ShareStore, "_destroy", strike)
    wrong = {row["attack"] for row in play(tmp_path)[:-1] if not is_as_expected(row)}
    assert wrong == {"stolen link", "replayed link", "expired link", "forged link", "read what is erased"}
