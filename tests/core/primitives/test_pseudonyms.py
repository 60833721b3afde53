"""Pseudonyms: what each kind is, byte for byte; which uses of the secret are apart; what is refused."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehrcore.errors import ParameterError
from ehrcore.hashing import find_suite
from ehrcore.network import found_network
from ehrcore.params import ChainParams, Topology
from ehrcore.pseudonyms import RULES, PseudonymKind, Pseudonyms, derive_key, name_slowly, require_stable

SECRET, SALT = b"s" * 32, b"the network's"
PARAMS = ChainParams("names", Topology(1, 1, 1, 1), 1, 1, is_modelled=True)


def names(kind: PseudonymKind, suite: str = "sha256", secret: bytes = SECRET, salt: bytes = SALT) -> Pseudonyms:
    return Pseudonyms(kind, find_suite(suite), secret, salt)


def test_the_default_of_a_network_is_hmac_under_the_authoritys_secret() -> None:
    network = found_network(PARAMS, "modelled", "label")
    secret = hashlib.sha256(b"pseudonyms|label").digest()
    assert network.authority.pseudonym("p1") == hmac.new(secret, b"p1", "sha256").digest()


@pytest.mark.parametrize("suite", ["sha256", "sha1", "md5"])
def test_the_papers_kind_is_the_chains_own_hash_of_the_id(suite: str) -> None:
    assert names(PseudonymKind.BARE, suite).name("p1") == hashlib.new(suite, b"p1").digest()
    assert names(PseudonymKind.SALTED, suite).name("p1") == hashlib.new(suite, SALT + b"p1").digest()


def test_the_slow_kind_is_scrypt_with_the_parameters_that_its_rule_states() -> None:
    expected = hashlib.scrypt(b"p1", salt=SALT, n=16_384, r=8, p=5, maxmem=1 << 26, dklen=32)
    assert names(PseudonymKind.SLOW).name("p1") == name_slowly(SALT, b"p1") == expected
    assert "N=16384, r=8, p=5" in RULES[PseudonymKind.SLOW].formula


def test_a_networks_salt_is_public_and_its_own() -> None:
    first, second = (
        found_network(PARAMS, "modelled", label, pseudonyms=PseudonymKind.SALTED) for label in ("first", "second")
    )
    public = find_suite("sha256").hash(first.params.authority_key + b"p1")
    assert first.authority.pseudonym("p1") == public != second.authority.pseudonym("p1")


@given(st.text(min_size=1), st.text(min_size=1, max_size=64))
def test_no_id_is_named_by_a_derived_key(patient: str, study: str) -> None:
    """Whoever is told a study's key has, for no id, learnt a pseudonym of the chain; and the other way round."""
    try:
        data, label = patient.encode(), study.encode()
    except UnicodeEncodeError:
        return
    keyed = names(PseudonymKind.KEYED)
    key = derive_key(SECRET, "study", label)
    assert keyed.name(patient) != key
    assert b"\xff" not in data  # which the label of every derived key begins with
    assert keyed.name(patient, study) == hmac.digest(key, data, "sha256") != keyed.name(patient)


def test_names_differ_between_studies_records_uses_and_secrets() -> None:
    keyed, once = names(PseudonymKind.KEYED), names(PseudonymKind.ONE_TIME)
    found = {
        keyed.name("p1"), keyed.name("p1", "a"), keyed.name("p1", "b"), names(PseudonymKind.PER_STUDY).name("p1"),
        once.name("p1", record=b"a"), once.name("p1", record=b"b"), derive_key(SECRET, "study", b"a"),
        derive_key(SECRET, "record", b"a"), names(PseudonymKind.KEYED, secret=b"t" * 32).name("p1"),
    }  # fmt: skip
    assert len(found) == 9
    assert keyed.name("p1", "a") == names(PseudonymKind.BARE).name("p1", "a"), "a study is keyed on any network"
    assert keyed.name("p1", "a") == names(PseudonymKind.PER_STUDY).name("p1", "a")


def test_what_needs_no_key_is_called_weak_and_only_that() -> None:
    assert set(RULES) == set(PseudonymKind)
    for kind in PseudonymKind:
        found = {names(kind, secret=secret).name("p1", record=b"r") for secret in (SECRET, b"another" * 5)}
        assert RULES[kind].is_weak == (len(found) == 1)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: names(PseudonymKind.KEYED).name(""), "patient: expected an id, found an empty one"),
        (lambda: names(PseudonymKind.KEYED).name("\ud800"), "patient: expected text, found half of a character"),
        (lambda: names(PseudonymKind.KEYED).name("p", "x" * 65), "study: expected at most 64 characters, found 65"),
        (lambda: names(PseudonymKind.ONE_TIME).name("p"), "pseudonym: expected a record to make a one-time name"),
        (
            lambda: require_stable(PseudonymKind.ONE_TIME),
            "pseudonyms: expected one of bare, salted, slow, keyed, per-s",
        ),
    ],
)
def test_what_cannot_be_named_is_refused(call, told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        call()
