"""The curves and ECDSA by the textbook, against published vectors; then the textbook as the judge of every library."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore.errors import ParameterError
from ehrcore.signing import CURVES as SIGNING_CURVES
from ehrcore.signing import find_scheme
from ehrcore.signing.base import widen
from ehrcore.spec import ecdsa
from ehrcore.spec.curve import (
    CURVES,
    P256,
    SECP256K1,
    Curve,
    Point,
    add,
    compress,
    decompress,
    discriminant,
    is_on_curve,
    multiply,
    negate,
    validate_domain,
)
from ehrcore.spec.equations import add_hashes

Reader = Callable[..., list[dict[str, str]]]
BACKENDS = ("cryptography", "ecdsa", "pycryptodome", *(["coincurve"] if find_spec("coincurve") else []))
SCHEMES = [(c, b) for c in CURVES for b in BACKENDS if b != "coincurve" or c == "secp256k1"]
#: Appendix A.2.5 of RFC 6979, which has the public key beside it.
RFC_6979_SECRET = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
RFC_6979_X = 0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6
RFC_6979_Y = 0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299
#: y^2 = x^3 + 2x + 2 over 17 elements: 19 points, few enough to list.
TINY = Curve("tiny", p=17, a=2, b=2, G=(5, 1), n=19)
TINY_POINTS: list[Point] = [None, *((x, y) for x in range(17) for y in range(17) if is_on_curve(TINY, (x, y)))]
SCALARS = st.integers(1, min(P256.n, SECP256K1.n) - 1)


def number(vector: dict[str, str], name: str) -> int:
    return int(vector[name], 16)


# -- curves ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", [*CURVES.values(), TINY], ids=lambda curve: curve.name)
def test_the_domain_parameters_are_valid(curve: Curve) -> None:
    validate_domain(curve)


@pytest.mark.parametrize("name", CURVES)
def test_the_domain_parameters_are_those_of_the_signing_code(name: str) -> None:
    assert (CURVES[name].p, CURVES[name].n) == (SIGNING_CURVES[name].field, SIGNING_CURVES[name].order)


SPOILED = {
    "p is an odd prime": {"p": P256.p + 2},
    "4a^3 + 27b^2 is not 0": {"a": -3, "b": 2},
    "G is on the curve": {"G": (P256.G[0], P256.G[1] + 1)},
    "n is a prime": {"n": P256.n + 2},
    "n is not p": {"n": P256.p},
    "nG is O": {"n": P256.n + 154},  # the next prime, within Hasse's bound
    "n is within Hasse's bound": {"n": SECP256K1.n},
}


@pytest.mark.parametrize("rule", SPOILED)
def test_a_spoiled_domain_is_refused_by_name(rule: str) -> None:
    with pytest.raises(ParameterError, match=rule.replace("^", r"\^").replace("+", r"\+")):
        validate_domain(replace(P256, **SPOILED[rule]))


def test_the_group_laws_hold_for_all_points_of_a_small_curve() -> None:
    assert len(TINY_POINTS) == TINY.n
    assert discriminant(TINY)
    for P in TINY_POINTS:
        assert add(TINY, P, None) == add(TINY, None, P) == P
        assert add(TINY, P, negate(TINY, P)) is None
        for Q in TINY_POINTS:
            assert is_on_curve(TINY, add(TINY, P, Q))
            assert add(TINY, P, Q) == add(TINY, Q, P)
            for R in TINY_POINTS[::3]:
                assert add(TINY, add(TINY, P, Q), R) == add(TINY, P, add(TINY, Q, R))


def test_multiplying_is_adding_again_and_again() -> None:
    total: Point = None
    for scalar in range(2 * TINY.n + 1):
        assert multiply(TINY, scalar, TINY.G) == total
        total = add(TINY, total, TINY.G)


@pytest.mark.parametrize(("name", "theirs"), [("p256", ec.SECP256R1()), ("secp256k1", ec.SECP256K1())])
@settings(max_examples=6)
@given(scalar=SCALARS)
def test_multiples_of_g_are_the_library_s_public_keys(name: str, theirs: ec.EllipticCurve, scalar: int) -> None:
    found = ec.derive_private_key(scalar, theirs).public_key().public_numbers()
    point = ecdsa.public_key(CURVES[name], scalar)
    assert point == (found.x, found.y)
    assert decompress(CURVES[name], compress(point)) == point


@pytest.mark.parametrize("scalar", [1, 2, 3, 2**128, P256.n - 2, P256.n - 1])
def test_multiples_of_g_at_the_edges(scalar: int) -> None:
    found = ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()
    assert multiply(P256, scalar, P256.G) == (found.x, found.y)


def test_key_pairs_of_nist(read_vectors: Reader) -> None:
    vectors = [v for v in read_vectors("asymmetric/ECDSA/FIPS_186-3/SigGen.txt", "P-256,SHA-256") if "d" in v]
    assert len(vectors) == 15
    for vector in vectors:
        assert multiply(P256, number(vector, "d"), P256.G) == (number(vector, "Qx"), number(vector, "Qy"))


def test_points_of_nist_are_judged_as_nist_judges_them(read_vectors: Reader) -> None:
    vectors = read_vectors("asymmetric/ECDSA/FIPS_186-3/PKV.rsp", "P-256")
    verdicts = [(is_on_curve(P256, (number(v, "Qx"), number(v, "Qy"))), v["Result"][0] == "P") for v in vectors]
    assert {expected for _, expected in verdicts} == {True, False}
    assert all(found == expected for found, expected in verdicts)


@pytest.mark.parametrize("data", [b"", b"\x04" + bytes(32), b"\x02" + b"\xff" * 32, b"\x02" + (5).to_bytes(32)])
def test_what_is_no_compressed_point_is_refused(data: bytes) -> None:
    with pytest.raises(ParameterError, match="point of secp256k1: expected"):
        decompress(SECP256K1, data)


@pytest.mark.parametrize("curve", CURVES.values(), ids=lambda curve: curve.name)
@settings(max_examples=8)
@given(one=SCALARS, other=SCALARS)
def test_equation_4_corrected_adds_points(curve: Curve, one: int, other: int) -> None:
    """Errata E14 and E15: the points are X = (x1, x2) and Y = (y1, y2)."""
    X, Y = ecdsa.public_key(curve, one), ecdsa.public_key(curve, other)
    if X[0] == Y[0]:
        with pytest.raises(ParameterError, match="expected a number with an inverse"):
            add_hashes(X, Y, curve.p)
        return
    assert add_hashes(X, Y, curve.p) == add(curve, X, Y)
    assert not is_on_curve(curve, add_hashes(X, Y, curve.p, frozenset({"E15"})))
    assert not is_on_curve(curve, add_hashes(X, Y, curve.p, frozenset({"E14"})))


# -- ECDSA -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hash_name", ["SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512"])
def test_signatures_of_nist_with_their_nonces(hash_name: str, read_vectors: Reader) -> None:
    """FIPS 186: digests shorter and longer than the order, too."""
    for vector in read_vectors("asymmetric/ECDSA/FIPS_186-3/SigGen.txt", f"P-256,{hash_name}")[:3]:
        digest = hashlib.new(hash_name.replace("-", ""), bytes.fromhex(vector["Msg"])).digest()
        signature = (number(vector, "R"), number(vector, "S"))
        assert ecdsa.sign_with(P256, number(vector, "d"), digest, number(vector, "k")) == signature
        assert ecdsa.verify(P256, (number(vector, "Qx"), number(vector, "Qy")), digest, signature)


def test_signatures_of_nist_are_judged_as_nist_judges_them(read_vectors: Reader) -> None:
    vectors = read_vectors("asymmetric/ECDSA/FIPS_186-3/SigVer.rsp", "P-256,SHA-256")
    verdicts = set()
    for vector in vectors:
        digest = hashlib.sha256(bytes.fromhex(vector["Msg"])).digest()
        public, signature = (number(vector, "Qx"), number(vector, "Qy")), (number(vector, "R"), number(vector, "S"))
        assert ecdsa.verify(P256, public, digest, signature) == (vector["Result"][0] == "P")
        verdicts.add(vector["Result"][0])
    assert verdicts == {"P", "F"}


def test_secp256k1_signatures_of_published_vectors_are_valid(read_vectors: Reader) -> None:
    for vector in read_vectors("asymmetric/ECDSA/SECP256K1/SigGen.txt", "K-256,SHA-256")[:6]:
        digest = hashlib.sha256(bytes.fromhex(vector["Msg"])).digest()
        public = ecdsa.public_key(SECP256K1, number(vector, "d"))
        assert public == (number(vector, "Qx"), number(vector, "Qy"))
        assert ecdsa.verify(SECP256K1, public, digest, (number(vector, "R"), number(vector, "S")))


def test_rfc_6979_a_2_5_with_every_hash() -> None:
    assert ecdsa.public_key(P256, RFC_6979_SECRET) == (RFC_6979_X, RFC_6979_Y)
    with cryptography_vectors.open_vector_file("asymmetric/ECDSA/RFC6979/evppkey_ecdsa_rfc6979.txt", "r") as file:
        stanzas = [
            dict(line.split(" = ") for line in part.splitlines() if " = " in line) for part in file.read().split("\n\n")
        ]
    wanted = [fields for fields in stanzas if fields.get("Key") == "P-256_PRIV" and "DigestSign" in fields]
    assert {fields["DigestSign"] for fields in wanted} == {"SHA1", "SHA224", "SHA256", "SHA384", "SHA512"}
    for fields in wanted:
        name = fields["DigestSign"].lower()
        digest = hashlib.new(name, fields["Input"].strip('"').encode()).digest()
        expected = decode_dss_signature(bytes.fromhex(fields["Output"]))
        assert ecdsa.sign(P256, RFC_6979_SECRET, digest, name) == expected


@pytest.mark.parametrize(("name", "backend"), SCHEMES)
@settings(max_examples=4)
@given(secret=SCALARS, message=st.binary(max_size=40), size=st.sampled_from((16, 20, 32)))
def test_every_library_signs_as_the_textbook_does(
    name: str, backend: str, secret: int, message: bytes, size: int
) -> None:
    """The same bytes, but for the low one of the two valid s, which all of `ehrcore.signing` takes."""
    curve, key = CURVES[name], find_scheme(f"{name}/{backend}").private_key(secret)
    digest = hashlib.sha256(message).digest()[:size]
    r, s = ecdsa.sign(curve, secret, widen(digest))
    assert key.sign(digest) == r.to_bytes(32) + min(s, curve.n - s).to_bytes(32)
    assert key.public_bytes == compress(ecdsa.public_key(curve, secret))


@pytest.mark.parametrize(("name", "backend"), SCHEMES)
@settings(max_examples=4)
@given(data=st.data())
def test_every_library_judges_as_the_textbook_does(name: str, backend: str, data: st.DataObject) -> None:
    """Signatures that are right, of another message, and spoiled in one bit."""
    curve, scheme = CURVES[name], find_scheme(f"{name}/{backend}")
    secret, digest = data.draw(SCALARS), hashlib.sha256(data.draw(st.binary(max_size=8))).digest()
    r, s = ecdsa.sign(curve, secret, hashlib.sha256(data.draw(st.sampled_from((b"", b"other")))).digest())
    s = min(s, curve.n - s) ^ data.draw(st.sampled_from((0, 1, 1 << 200)))
    public = ecdsa.public_key(curve, secret)
    found = scheme.verifying_key(compress(public)).verify(digest, r.to_bytes(32) + s.to_bytes(32))
    assert found == (ecdsa.verify(curve, public, digest, (r, s)) and 2 * s <= curve.n)


@settings(max_examples=4)
@given(SCALARS, st.binary(min_size=32, max_size=32))
def test_both_s_are_valid_by_the_textbook_and_another_key_is_not(secret: int, digest: bytes) -> None:
    r, s = ecdsa.sign(P256, secret, digest)
    public = ecdsa.public_key(P256, secret)
    assert ecdsa.verify(P256, public, digest, (r, s))
    assert ecdsa.verify(P256, public, digest, (r, P256.n - s))
    assert not ecdsa.verify(P256, add(P256, public, P256.G), digest, (r, s))


@pytest.mark.parametrize("signature", [(0, 1), (1, 0), (P256.n, 1), (1, P256.n), (-1, 1)])
def test_numbers_out_of_range_are_no_signature(signature: tuple[int, int]) -> None:
    assert not ecdsa.verify(P256, P256.G, bytes(32), signature)


@pytest.mark.parametrize("public", [None, (0, 0), (P256.G[0], -P256.G[1])])
def test_what_is_no_point_is_no_public_key(public: Point) -> None:
    assert not ecdsa.verify(P256, public, bytes(32), ecdsa.sign(P256, 1, bytes(32)))


@pytest.mark.parametrize("secret", [-1, 0, P256.n])
def test_a_scalar_out_of_range_is_no_private_key(secret: int) -> None:
    with pytest.raises(ParameterError, match="found one outside"):
        ecdsa.sign(P256, secret, bytes(32))
