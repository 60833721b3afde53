"""What the paired engine is given to measure is right, built anew each time, and honest about what is missing."""

import hashlib
import json
import sys
from importlib.util import find_spec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.micro import hashing, merkle, planted, signing
from bench.micro.base import Operation
from bench.micro.groups import FAMILIES, SUITES
from ehrcore.errors import ProofError
from ehrcore.hashing import SUITES as HASH_SUITES
from ehrcore.hashing import find_suite
from ehrcore.signing import SCHEMES
from ehrcore.spec.merkle import audit_path, tree_hash

OPTIONS = {
    "hashes": {"sizes_bytes": [3, 64]},
    "signatures": {},
    "merkle": {"leaves": [2, 15]},
    "harness": {},
}
PEERS = ("pymerkle", "merkletools")


def families_of(suite):
    return FAMILIES[suite](**OPTIONS[suite])


def hide(monkeypatch, package):
    """As if the package were not installed."""
    monkeypatch.setitem(sys.modules, package, None)
    for module in [name for name in sys.modules if name.startswith("ehrcore.signing.")]:
        monkeypatch.delitem(sys.modules, module)


# -- all suites ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", FAMILIES)
def test_every_variant_of_every_group_runs_and_is_described_in_plain_values(suite):
    groups = SUITES[suite](OPTIONS[suite])
    assert len({group.name for group in groups}) == len(groups) > 0
    for group in groups:
        assert set(group.details) == set(group.variants)
        json.dumps([dict(group.labels), {name: dict(values) for name, values in group.details.items()}])
        for build in group.variants.values():
            build()(2)


@pytest.mark.parametrize("suite", FAMILIES)
def test_everything_is_built_anew_for_the_control(suite):
    for family in families_of(suite):
        for operation in family.operations.values():
            one, other = (operation.prepare()[0] for _ in range(2))
            parts = zip(one, other, strict=True)
            owners = ((getattr(a, "__self__", a), getattr(b, "__self__", b)) for a, b in parts)
            assert any(a is not b for a, b in owners), operation


def test_an_operation_that_does_something_else_is_refused_before_it_is_measured():
    wrong = Operation(lambda: ((lambda data: data[::-1], b"ab"), lambda found: found == b"ab"), {"suite": "planted"})
    with pytest.raises(BenchError, match="'planted'.*expected a right result, found b'ba'"):
        wrong.build_runner()


def test_an_unknown_name_in_the_options_is_refused_with_the_choices():
    with pytest.raises(BenchError, match="suites: expected one of sha256, .*, found 'sha257'"):
        hashing.build_families([64], ["sha257"])
    with pytest.raises(BenchError, match="libraries: expected one of hashlib, .*, found 'openssl'"):
        hashing.build_families([64], libraries=["openssl"])
    with pytest.raises(BenchError, match="libraries: expected one of cryptography, .*, found 'gnutls'"):
        signing.build_families(["gnutls"])


# -- hashes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("library", hashing.LIBRARIES)
@settings(max_examples=20)
@given(size=st.integers(1, 300) | st.sampled_from((2_048, 30_720)))
def test_every_library_gives_the_digest_of_the_suite(library, size):
    message = hashing.make_message(size)
    assert len(message) == size
    for suite, function in hashing.load_library(library).items():
        assert function(message) == HASH_SUITES[suite].hash(message)
        (call, argument), is_right = hashing.build_operation(suite, library, size).prepare()
        assert is_right(call(argument))
        assert not is_right(HASH_SUITES[suite].hash(message + b"\0"))


def test_sha256_is_the_base_whatever_is_chosen_and_blake3_joins_with_its_own_library():
    families = {family.name: family for family in hashing.build_families([64], ["md5", "blake3"])}
    assert list(families["hashlib-64"].operations) == ["sha256", "md5"]
    libraries = families["libraries-64"]
    assert list(libraries.operations) == ["hashlib", "cryptography", "pycryptodome", "blake3"]
    suites = {name: operation.details["suite"] for name, operation in libraries.operations.items()}
    assert suites == dict.fromkeys(("hashlib", "cryptography", "pycryptodome"), "sha256") | {"blake3": "blake3"}
    assert "blake3" not in hashing.build_families([64], ["md5"])[-1].operations


def test_every_suite_is_measured_in_some_library():
    found = {name for family in hashing.build_families([64]) for name in family.operations}
    assert set(HASH_SUITES) <= found


def test_the_libraries_that_can_be_masked_alone_are_measured_if_chosen():
    families = hashing.build_families([64], libraries=["hashlib", "cryptography"])
    assert [family.name for family in families] == ["hashlib-64", "cryptography-64", "libraries-64"]
    assert list(families[-1].operations) == ["hashlib", "cryptography"]


def test_a_hash_library_that_is_not_installed_is_named(monkeypatch):
    def missing():
        raise ImportError

    monkeypatch.setattr(hashing, "LIBRARIES", {**hashing.LIBRARIES, "pycryptodome": missing, "blake3": missing})
    hashing.load_library.cache_clear()
    try:
        families = {family.name: family for family in hashing.build_families([64])}
    finally:
        hashing.load_library.cache_clear()
    assert "pycryptodome-64" not in families
    reason = "the package '{}' is not installed"
    assert families["libraries-64"].missing == {name: reason.format(name) for name in ("pycryptodome", "blake3")}
    assert families["libraries-64"].as_group().missing == families["libraries-64"].missing


def test_a_policy_that_forbids_md5_falls_back_to_the_suites_own_call(monkeypatch):
    def forbidden(data=b""):
        raise ValueError("disabled for FIPS")

    monkeypatch.setattr(hashlib, "md5", forbidden)
    assert hashing._with_hashlib()["md5"](b"abc") == HASH_SUITES["md5"].hash(b"abc")


def test_details_name_the_openssl_that_does_the_work_and_none_where_none_does():
    details = {
        name: hashing.build_operation("sha256", name, 64).details for name in hashing.LIBRARIES if name != "blake3"
    }
    assert details["cryptography"]["openssl"].startswith("OpenSSL")
    assert details["pycryptodome"]["openssl"] == ""
    assert details["hashlib"]["is_weak"] is False
    assert hashing.build_operation("md5", "hashlib", 64).details["is_weak"] is True


# -- signatures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", signing.OPERATIONS)
@pytest.mark.parametrize("name", [name for name in SCHEMES if not name.endswith("/modelled")])
def test_a_signature_operation_is_checked_by_what_it_returns(name, operation):
    if name.endswith("coincurve"):
        pytest.importorskip("coincurve")
    (function, *arguments), is_right = signing.build_operation(name, operation).prepare()
    assert is_right(function(*arguments))
    wrong = {"sign": bytes(64), "verify": False}.get(operation)
    assert wrong is None or not is_right(wrong)


def test_the_fast_library_of_one_curve_is_not_among_those_that_it_would_hold_up():
    families = {family.name: family for family in signing.build_families()}
    slow = ["cryptography", "ecdsa", "pycryptodome"]
    for curve in ("p256", "secp256k1"):
        assert list(families[f"{curve}-verify"].operations) == [f"{curve}/{library}" for library in slow]
    curves = families["curves-verify"]
    names = {*curves.operations, *curves.missing}
    assert names == {"secp256k1/cryptography", "p256/cryptography", "secp256k1/coincurve"}
    assert next(iter(curves.operations)) == "secp256k1/cryptography"
    assert len(families) == 9


def test_chosen_signature_libraries_stand_beside_the_default_one():
    families = signing.build_families(["ecdsa"])
    assert list(families[0].operations) == ["p256/cryptography", "p256/ecdsa"]
    assert list(families[2].operations) == ["secp256k1/cryptography", "p256/cryptography"]


def test_a_signature_library_that_is_not_installed_is_named(monkeypatch):
    hide(monkeypatch, "coincurve")
    families = {family.name: family for family in signing.build_families()}
    assert families["curves-sign"].missing == {"secp256k1/coincurve": "the package 'coincurve' is not installed"}
    assert "secp256k1/coincurve" not in families["curves-sign"].operations


def test_the_version_of_ecdsa_says_which_integers_it_found():
    assert signing.build_operation("p256/ecdsa", "sign").details["version"].endswith("integers)")


# -- merkle ----------------------------------------------------------------------------------------------------------


def unprefixed_root(leaves):
    """merkletools' rule, recursively: pairs from the left, an odd last one is carried up, digests are the leaves."""
    if len(leaves) == 1:
        return leaves[0]
    pairs = [hashlib.sha256(b"".join(leaves[at : at + 2])).digest() for at in range(0, len(leaves) - 1, 2)]
    return unprefixed_root(pairs + ([leaves[-1]] if len(leaves) % 2 else []))


EXPECTED_ROOTS = {
    merkle.FLAT: lambda leaves: hashlib.sha256(b"".join(leaves)).digest(),
    merkle.OURS: lambda leaves: tree_hash(find_suite("sha256"), leaves),
    "pymerkle": lambda leaves: tree_hash(find_suite("sha256"), leaves),
    "merkletools": lambda leaves: unprefixed_root(leaves).hex(),
}


def trees_of(library):
    if library in PEERS:
        pytest.importorskip(library) if library != "merkletools" else merkletools_or_skip()
    return merkle.LIBRARIES[library]()


def merkletools_or_skip():
    try:
        merkle.load_merkletools()
    except ImportError:
        pytest.skip("the package 'merkletools' is not installed")  # of the optional extra `peers`


@pytest.mark.parametrize("library", merkle.LIBRARIES)
@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 70))
def test_every_library_builds_the_tree_of_its_own_rule(library, count):
    trees, leaves = trees_of(library), merkle.make_leaves(count)
    expected = EXPECTED_ROOTS[library](list(leaves))
    assert trees.compute_root(trees.adapt(leaves)) == expected
    root, proofs = trees.prove_all(trees.adapt(leaves))
    assert (root, len(proofs)) == (expected, count)


@pytest.mark.parametrize("library", merkle.LIBRARIES)
@pytest.mark.parametrize("count", [2, 15, 33])
def test_every_proof_verifies_and_none_for_another_leaf(library, count):
    trees = trees_of(library)
    leaves = trees.adapt(merkle.make_leaves(count))
    for index in range(count):
        (function, *arguments), is_right = trees.prepare_check(leaves, index)
        assert is_right(function(*arguments))
        other = leaves[(index + 1) % count]
        base = leaves[index]
        if library == "pymerkle":
            tree = trees._new(leaves)
            base, other = tree.get_leaf(index + 1), tree.get_leaf((index + 1) % count + 1)
        swapped = [other if argument is base or argument == base else argument for argument in arguments]
        assert swapped != arguments
        assert not is_verified(function, swapped, is_right)


def is_verified(function, arguments, is_right):
    try:
        return is_right(function(*arguments))
    except ProofError:
        return False
    except pymerkle_error():
        return False


def pymerkle_error():
    if find_spec("pymerkle") is None:
        return ()
    from pymerkle import InvalidProof

    return InvalidProof


@pytest.mark.parametrize("library", merkle.LIBRARIES)
@pytest.mark.parametrize("count", [2, 15, 33])
def test_the_sizes_of_proofs_are_those_of_the_definition(library, count):
    found = merkle.measure_proofs(trees_of(library), count)
    leaves = list(merkle.make_leaves(count))
    paths = [len(audit_path(find_suite("sha256"), index, leaves)) for index in range(count)]
    if library == merkle.FLAT:
        paths = [count - 1] * count
    assert found["proof_digests_max"] == max(paths)
    assert found["proof_digests_mean"] == pytest.approx(sum(paths) / count)
    assert found["proof_bytes_max"] == 32 * max(paths) < found["own_form_bytes_max"]


def test_peers_stand_beside_ours_and_ours_beside_a_flat_hash():
    families = {family.name: family for family in merkle.build_families([15])}
    assert {name: next(iter(family.operations)) for name, family in families.items()} == {
        "flat-root-15": merkle.FLAT,
        "flat-verify-15": merkle.FLAT,
        "libraries-root-15": merkle.OURS,
        "libraries-proofs-15": merkle.OURS,
        "libraries-verify-15": merkle.OURS,
    }
    for name, family in families.items():
        peers = set(PEERS) if name.startswith("libraries") else set()
        assert {*family.operations, *family.missing} - {merkle.FLAT, merkle.OURS} == peers


def test_a_peer_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(merkle, "find_spec", lambda _: None)
    family = merkle.build_families([15])[2]
    assert family.missing == {name: f"the package '{name}' is not installed" for name in PEERS}
    assert list(family.operations) == [merkle.OURS]


# -- what is planted -------------------------------------------------------------------------------------------------


@given(st.integers(0, 5_000))
def test_compressions_are_those_of_the_padded_message(size):
    padded = size + 1
    while padded % 64 != 56:
        padded += 1
    assert planted.count_compressions(size) == (padded + 8) // 64


def test_the_planted_work_is_what_its_name_says():
    (family,) = planted.build_families()
    details = {name: operation.details for name, operation in family.operations.items()}
    work = {name: (values["planted"] - 1) * 100 for name, values in details.items()}
    assert work == pytest.approx(
        {planted.BASE: 0, "the same again": 0, "+0.4 %": 0.4158, "+3.1 %": 3.1185, "-3.1 %": -3.1185}, abs=1e-3
    )
    assert details["+3.1 %"]["size_bytes"] == 31_680
    assert {values["expected"] for values in details.values()} == {"base", "unresolved", "slower", "faster"}
