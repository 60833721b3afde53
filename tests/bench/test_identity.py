"""Experiment `identity`: nothing gets past all protections, each weakened variant is beaten, and plants are found."""

from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.engines import impostor, nonces
from bench.engines.base import Context
from bench.engines.denials import run_denials
from bench.engines.identity import ATTACKS, run_identity
from bench.engines.identity_net import run_identity_net
from bench.engines.identity_stolen import run_stolen_key
from bench.engines.identity_words import WORDS, run_words
from bench.engines.impostor import FULL, NO_REGISTRY, NO_SIGNATURES, PROTECTIONS, VICTIM, play
from bench.experiments import find_experiment
from bench.experiments.attacks import Tally, is_as_expected
from bench.experiments.base import Case, Row
from bench.report.tables import check_columns
from bench.scenario import load_scenario
from bench.workload import vital_signs
from ehrcore import rules
from ehrcore.identity import Reason, Registry
from ehrcore.replay import ReplayWindows
from ehrcore.roles.agent import Agent
from ehrcore.roles.visitor import Visitor
from ehrcore.signing import CURVES, derive_secret, find_scheme

CONTEXT = Context(load_scenario("smoke"), vital_signs(1, 1, 0), Path())


def rows_of(engine: Any, **given: Any) -> list[Row]:
    return list(engine(CONTEXT, Case("label", "engine", given)))


def attacks(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["kind"] == "attack"]


@pytest.mark.parametrize("protection", PROTECTIONS)
def test_transactions_end_as_theory_says_under_each_protection(protection: str) -> None:
    rows = rows_of(run_identity, protection=protection, tries=1)
    assert rows[-1] == {"kind": "check", "check": "every attack ends as theory says", "holds": True}
    assert len(rows) > 1
    assert all(row["succeeded"] == (0 if protection == FULL else row["tries"]) for row in attacks(rows))


def test_every_attack_is_made_on_all_protections_and_each_lost_one_is_missed() -> None:
    assert {name for attack in ATTACKS for name in attack.beaten} == {*PROTECTIONS} - {FULL}
    assert len({(attack.name, attack.variant) for attack in ATTACKS}) == len(ATTACKS)


@pytest.mark.parametrize("protection", [FULL, NO_REGISTRY, NO_SIGNATURES])
def test_words_count_from_the_right_role_alone(protection: str) -> None:
    rows = rows_of(run_words, protection=protection)
    assert rows[-1]["holds"], rows[-1]
    controls = [row for row in attacks(rows) if row["variant"] == "control"]
    assert len(controls) == len(WORDS)
    assert all(row["succeeded"] == row["tries"] == 1 for row in controls)


def test_who_refuses_a_word_is_who_says_so() -> None:
    found = {(row["attack"], row["variant"]): row["where"] for row in attacks(rows_of(run_words, protection=FULL))}
    assert found["submit by another role", "in its own name"] == "agent: wrong-role"
    assert found["submit by another role", "in a rightful name"] == "agent: bad-signature"
    assert found["receipt by another role", "in its own name"] == "visitor: passed over"
    assert found["receipt by another role", "in a rightful name"] == "visitor: verdicts signed"


def test_a_visitor_that_believes_unsigned_verdicts_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Visitor, "_is_signed", lambda *_: True)
    rows = rows_of(run_words, protection=FULL)
    (wrong,) = [row for row in attacks(rows) if not is_as_expected(row)]
    assert (wrong["attack"], wrong["variant"]) == ("receipt by another role", "in a rightful name")


def test_a_thief_of_a_sensors_key_sends_readings_until_the_revocation_and_nothing_after() -> None:
    rows = rows_of(run_stolen_key, protection=FULL, readings=12)
    assert rows[-1]["holds"], rows[-1]
    found = {row["variant"]: (row["tries"], row["succeeded"]) for row in attacks(rows)}
    ahead, later = (
        found["readings ahead of the revocation in the ledger"],
        found["readings from the revocation's block on"],
    )
    assert ahead[0] + later[0] == 12
    assert 0 < ahead[1] == ahead[0]
    assert later[1] == 0 < later[0]


def test_the_thief_goes_on_where_nobody_keeps_a_registry() -> None:
    rows = rows_of(run_stolen_key, protection=NO_REGISTRY, readings=8)
    assert rows[-1]["holds"], rows[-1]
    assert next(row for row in attacks(rows) if row["variant"] == "readings after the revocation")["succeeded"] == 2


# -- plants: a system that has lost a protection and does not say so ---------------------------------------------------


def in_force_for_ever(self: Registry, subject: str, role: Any, now: int) -> Any:
    del now
    found = self._by_subject.get(subject)
    is_known = found is not None and found.body.role is role
    return (Reason.ACCEPTED, found.body) if found and is_known else (Reason.WRONG_ROLE, None)


@pytest.mark.long
@pytest.mark.parametrize(
    ("owner", "name", "planted", "beaten"),
    [
        (Registry, "check", in_force_for_ever, {"expired", "not yet valid", "revoked"}),
        (rules, "has_right", lambda *_: True, {"wrong kind", "order of a member"}),
        (impostor.openssl, "split", impostor._split_any, {"malleated signature"}),
    ],
    ids=["certificates in force for ever", "every right", "any s"],
)
def test_a_protection_that_is_missing_shows(
    monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, planted: Any, beaten: set[str]
) -> None:
    monkeypatch.setattr(owner, name, planted)
    rows = rows_of(run_identity, protection=FULL, tries=1)
    wrong = {row["attack"] for row in attacks(rows) if not is_as_expected(row)}
    assert wrong == beaten
    assert not rows[-1]["holds"]


@pytest.mark.long
def test_a_memory_that_is_missing_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReplayWindows, "is_fresh", lambda *_: True)
    monkeypatch.setattr(impostor.RecentSet, "__contains__", lambda *_: False)
    rows = rows_of(run_identity, protection=FULL, tries=1)
    assert {row["attack"] for row in attacks(rows) if not is_as_expected(row)} == {"replayed"}


def test_a_weakened_variant_that_is_not_weak_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impostor, "_patches", lambda *_: ())
    assert not rows_of(run_identity, protection=NO_REGISTRY, tries=1)[-1]["holds"]


def test_what_was_taken_out_is_back_afterwards() -> None:
    before = Registry.check, rules.has_right, ReplayWindows.is_fresh
    for protection in PROTECTIONS:
        with pytest.raises(ZeroDivisionError), play("back", protection):
            raise ZeroDivisionError
    assert (Registry.check, rules.has_right, ReplayWindows.is_fresh) == before


# -- denials -----------------------------------------------------------------------------------------------------------


def test_strangers_get_one_answer_for_all_names_and_owners_their_own() -> None:
    rows = rows_of(run_denials, tries=2)
    assert rows[-1]["holds"], rows[-1]
    told = [row for row in rows if row["kind"] == "denial"]
    assert {(row["told"], row["answer_bytes"]) for row in told if row["asker"] == "a stranger"} == {
        ("bad-signature", 221)
    }
    assert all(row["told"] == row["found"] for row in told if row["asker"] == "its owner")


def test_an_agent_that_tells_everyone_why_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Agent, "_is_of_author", lambda *_: True)
    rows = rows_of(run_denials, tries=1)
    (wrong,) = [row for row in attacks(rows) if not is_as_expected(row)]
    assert (wrong["attack"], wrong["protection"]) == ("enumeration of names", FULL)


# -- nonces ------------------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(list(CURVES.values())),
    st.integers(1, 1 << 250),
    st.integers(1, 1 << 250),
    st.binary(min_size=32, max_size=32),
)
def test_one_nonce_for_two_messages_gives_every_key_away(curve: Any, secret: int, nonce: int, digest: bytes) -> None:
    scheme = find_scheme(f"{curve.name}/cryptography")
    public = scheme.private_key(secret).public_bytes
    other = bytes([digest[0] ^ 1]) + digest[1:]
    first, second = [(item, nonces.sign_with(curve, secret, item, nonce)) for item in (digest, other)]
    assert all(scheme.verifying_key(public).verify(*item) for item in (first, second))
    assert nonces.recover(scheme, curve, public, first, second) == secret
    assert (
        nonces.recover(scheme, curve, public, first, (other, nonces.sign_with(curve, secret, other, nonce + 1))) is None
    )


def test_nonces_end_as_theory_says_on_both_curves() -> None:
    rows = rows_of(nonces.run_nonces, tries=1, messages=5)
    assert rows[-1]["holds"], rows[-1]
    assert {row["variant"] for row in attacks(rows)} == set(CURVES)
    assert [row["tries"] for row in attacks(rows) if row["protection"] == "RFC 6979"] == [
        len(list(combinations(range(5), 2))),
        5,
    ] * 2


def test_a_signer_that_repeats_its_nonce_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    curve = CURVES["p256"]
    scheme, secret = find_scheme("p256/cryptography"), derive_secret(curve, "careless")

    class Careless:
        public_bytes = scheme.private_key(secret).public_bytes

        def sign(self, digest: bytes) -> bytes:
            return nonces.sign_with(curve, secret, digest, 7)

    def private_key(given: int) -> Any:
        return Careless() if given == secret else scheme.private_key(given)

    monkeypatch.setattr(nonces, "find_scheme", lambda _: SimpleNamespace(private_key=private_key))
    rows = nonces._deterministic("careless", curve, 3)
    assert rows[0]["succeeded"] == rows[0]["tries"] == 3


# -- the whole ---------------------------------------------------------------------------------------------------------


def test_cases_and_tables_fit_together(tmp_path: Path) -> None:
    import pandas as pd

    experiment = find_experiment("identity")
    cases = experiment.cases(load_scenario("quick"))
    assert len({case.label for case in cases}) == len(cases)
    assert experiment.cases(load_scenario("smoke"))[-1].engine != "identity-net"
    raw = pd.DataFrame([*rows_of(run_denials, tries=1), *rows_of(run_identity, protection=NO_SIGNATURES, tries=1)])
    tables = {}
    for table in experiment.tables:
        tables[table.name] = table.build(raw)
        check_columns(table, tables[table.name])
    assert experiment.answer is not None
    assert "1 answer of 1 length for 8 kinds of name" in experiment.answer(tables)[-1]


def test_a_try_counts_where_the_ledger_holds_it_with_that_very_signature() -> None:
    with play("judge", FULL) as stage:
        tally = Tally("a", "v", "p", "succeeds")
        tx = stage.write(VICTIM)
        stage.attempt(tally, tx)
        assert (tally.succeeded, stage.judge(tx)) == (1, None)
        assert stage.judge(tx, times=2) is not None
        assert stage.judge(impostor.replace(tx, bytes(64))) == "settled before"


@pytest.mark.slow
def test_real_nodes_refuse_replays_and_frames_under_other_names(tmp_path: Path) -> None:
    context = Context(CONTEXT.scenario, CONTEXT.workload, tmp_path)
    rows = run_identity_net(context, Case("label", "identity-net"))
    assert rows[-1]["holds"], rows[-1]
    assert {row["tries"] for row in attacks(rows)} >= {1, 3, 10, 20}
