"""The backends are one signature scheme in several implementations, and none believes what it should not."""

import hashlib
import sys
from importlib.util import find_spec
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from ehrcore.errors import ParameterError, SignatureError
from ehrcore.signing import CURVES, SCHEMES, Scheme, derive_secret, find_scheme
from ehrcore.signing.base import Curve
from ehrcore.signing.modelled import MARK

BACKENDS = ("cryptography", "ecdsa", "pycryptodome")
NO_COINCURVE = pytest.mark.skipif(find_spec("coincurve") is None, reason="the package 'coincurve' is not installed")
COINCURVE = "secp256k1/coincurve"
BOTH_CURVES = [f"{curve}/{backend}" for curve in CURVES for backend in BACKENDS]
REAL = [*BOTH_CURVES, pytest.param(COINCURVE, marks=NO_COINCURVE)]
MODELLED = [f"{curve}/modelled" for curve in CURVES]
DIGEST = hashlib.sha256(b"message").digest()
OTHER = hashlib.sha256(b"another message").digest()
#: Coefficients (a, b) of y^2 = x^3 + ax + b (SEC 2 version 2.0, sections 2.4.1 and 2.4.2).
COEFFICIENTS = {
    "p256": (-3, 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B),
    "secp256k1": (0, 7),
}
DIGESTS = st.sampled_from((16, 20, 28, 32)).flatmap(lambda size: st.binary(min_size=size, max_size=size))


def curve_of(name: str) -> Curve:
    return CURVES[name.partition("/")[0]]


def backends_of(curve: str) -> list[Scheme]:
    """Every installed backend of the curve; the first three are `BACKENDS`."""
    more = ["coincurve"] if curve == "secp256k1" and find_spec("coincurve") else []
    return [find_scheme(f"{curve}/{backend}") for backend in (*BACKENDS, *more)]


def key_of(name: str, label: str = "signer") -> Any:
    return find_scheme(name).private_key(derive_secret(curve_of(name), label))


def numbers(r: int, s: int) -> bytes:
    return r.to_bytes(32) + s.to_bytes(32)


def is_on_curve(curve: Curve, x: int) -> bool:
    """Whether some point has this x-coordinate: Euler's criterion."""
    a, b = COEFFICIENTS[curve.name]
    square = (x**3 + a * x + b) % curve.field
    return x < curve.field and pow(square, (curve.field - 1) // 2, curve.field) in {0, 1}


def smallest_x(curve: Curve) -> int:
    return next(x for x in range(100) if is_on_curve(curve, x))


# -- all backends are one --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", CURVES)
@settings(max_examples=12)
@given(data=st.data(), digest=DIGESTS)
def test_all_backends_give_the_same_bytes_and_accept_each_other(curve: str, data: st.DataObject, digest: bytes) -> None:
    assume(int.from_bytes(digest) % CURVES[curve].order)
    secret = data.draw(st.integers(1, CURVES[curve].order - 1))
    keys = [scheme.private_key(secret) for scheme in backends_of(curve)]
    assert len({key.public_bytes for key in keys}) == 1
    signatures = {key.sign(digest) for key in keys}
    assert len(signatures) == 1
    signature = signatures.pop()
    for scheme in backends_of(curve):
        assert scheme.verifying_key(keys[0].public_bytes).verify(digest, signature)


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("which", ["smallest", "second", "largest", "half"])
@pytest.mark.parametrize("digest", [b"\xff" * 32, b"\xff" * 20, bytes(31) + b"\1", bytes(15) + b"\1"])
def test_backends_agree_at_the_edges(curve: str, which: str, digest: bytes) -> None:
    order = CURVES[curve].order
    secret = {"smallest": 1, "second": 2, "largest": order - 1, "half": order >> 1}[which]
    found = {(key.public_bytes, key.sign(digest)) for key in (s.private_key(secret) for s in backends_of(curve))}
    assert len(found) == 1
    public_bytes, signature = found.pop()
    assert all(scheme.verifying_key(public_bytes).verify(digest, signature) for scheme in backends_of(curve))


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("which", ["zero", "zero-of-16", "order"])
def test_a_digest_of_zero_modulo_the_order_is_signed_alike_or_refused(curve: str, which: str) -> None:
    """`pycryptodome` cannot sign it and says so; the others agree, and all verify it."""
    digest = {"zero": bytes(32), "zero-of-16": bytes(16), "order": CURVES[curve].order.to_bytes(32)}[which]
    openssl, pure, _, *more = (
        scheme.private_key(derive_secret(CURVES[curve], "signer")) for scheme in backends_of(curve)
    )
    signature = openssl.sign(digest)
    assert all(key.sign(digest) == signature for key in (pure, *more))
    with pytest.raises(SignatureError, match="found zero modulo the order"):
        key_of(f"{curve}/pycryptodome").sign(digest)
    assert all(scheme.verifying_key(openssl.public_bytes).verify(digest, signature) for scheme in backends_of(curve))


@pytest.mark.parametrize("name", REAL)
def test_signing_is_deterministic(name: str) -> None:
    assert key_of(name).sign(DIGEST) == key_of(name).sign(DIGEST)


@pytest.mark.parametrize("name", REAL)
def test_a_short_digest_is_its_integer(name: str) -> None:
    """FIPS 186-5 section 6.4.1 reads a digest as an integer, so zeros on its left change nothing."""
    digest = hashlib.sha1(b"message").digest()
    assert key_of(name).sign(digest) == key_of(name).sign(bytes(12) + digest)


@pytest.mark.parametrize("name", REAL)
def test_signatures_are_low_s(name: str) -> None:
    half = curve_of(name).order >> 1
    key = key_of(name)
    for index in range(8):
        signature = key.sign(hashlib.sha256(bytes([index])).digest())
        assert 1 <= int.from_bytes(signature[32:]) <= half


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL)
def test_the_high_s_twin_is_refused(name: str) -> None:
    key = key_of(name)
    signature = key.sign(DIGEST)
    verifier = find_scheme(name).verifying_key(key.public_bytes)
    assert verifier.verify(DIGEST, signature)
    twin = signature[:32] + (curve_of(name).order - int.from_bytes(signature[32:])).to_bytes(32)
    assert not verifier.verify(DIGEST, twin)


@pytest.mark.parametrize("name", REAL)
def test_numbers_out_of_range_are_refused(name: str) -> None:
    order, key = curve_of(name).order, key_of(name)
    good = key.sign(DIGEST)
    r, s = int.from_bytes(good[:32]), int.from_bytes(good[32:])
    verifier = find_scheme(name).verifying_key(key.public_bytes)
    edges = (0, order, order + 1, (1 << 256) - 1)
    for bad in edges:
        assert not verifier.verify(DIGEST, numbers(bad, s))
        assert not verifier.verify(DIGEST, numbers(r, bad))
        assert not any(verifier.verify(DIGEST, numbers(bad, other)) for other in edges)
    for other in (1, order - 1, order >> 1, (order >> 1) + 1):
        assert not verifier.verify(DIGEST, numbers(r, other))
        assert not verifier.verify(DIGEST, numbers(other, s))


@pytest.mark.parametrize("name", REAL + MODELLED)
def test_a_signature_of_another_length_is_refused(name: str) -> None:
    key = key_of(name)
    good = key.sign(DIGEST)
    verifier = find_scheme(name).verifying_key(key.public_bytes)
    assert verifier.verify(DIGEST, good)
    der = encode_dss_signature(int.from_bytes(good[:32]), int.from_bytes(good[32:]))
    for bad in (b"", good[:-1], good + b"\0", b"\0" + good, good[1:], good * 2, good[:32], der):
        assert not verifier.verify(DIGEST, bad)


@pytest.mark.parametrize("name", REAL + MODELLED)
def test_a_flipped_bit_of_the_signature_is_refused(name: str) -> None:
    key = key_of(name)
    good = key.sign(DIGEST)
    verifier = find_scheme(name).verifying_key(key.public_bytes)
    step = 1 if name.endswith(("cryptography", "modelled")) else 23
    for bit in range(0, 512, step):
        bad = (int.from_bytes(good) ^ 1 << bit).to_bytes(64)
        assert not verifier.verify(DIGEST, bad), bit


@pytest.mark.parametrize("name", REAL + MODELLED)
def test_another_digest_or_another_key_is_refused(name: str) -> None:
    scheme, key, other = find_scheme(name), key_of(name), key_of(name, "another signer")
    signature = key.sign(DIGEST)
    assert scheme.verifying_key(key.public_bytes).verify(DIGEST, signature)
    assert not scheme.verifying_key(key.public_bytes).verify(OTHER, signature)
    assert not scheme.verifying_key(other.public_bytes).verify(DIGEST, signature)
    negated = bytes([key.public_bytes[0] ^ 1]) + key.public_bytes[1:]
    if name not in MODELLED:
        assert not scheme.verifying_key(negated).verify(DIGEST, signature)


@pytest.mark.parametrize("name", REAL + MODELLED)
@pytest.mark.parametrize("size", [0, 1, 15, 33, 64])
def test_a_digest_of_another_length_is_neither_signed_nor_verified(name: str, size: int) -> None:
    key, digest = key_of(name), b"d" * size
    with pytest.raises(SignatureError, match=f"expected 16 to 32 bytes, found {size}"):
        key.sign(digest)
    verifier = find_scheme(name).verifying_key(key.public_bytes)
    signature = key.sign(DIGEST)
    assert not verifier.verify(digest, signature)
    assert not verifier.verify(digest, signature[:48] + digest[-16:])


# -- public keys -----------------------------------------------------------------------------------------------------


def uncompressed(curve: str) -> bytes:
    group = {"p256": ec.SECP256R1, "secp256k1": ec.SECP256K1}[curve]()
    key = ec.derive_private_key(derive_secret(CURVES[curve], "signer"), group).public_key()
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


@pytest.mark.parametrize("name", REAL)
def test_other_encodings_of_a_point_are_refused(name: str) -> None:
    """Of the encodings of SEC 1 section 2.3.3 (and ANSI's hybrid one) the compressed form alone is a key here."""
    point, good = uncompressed(name.partition("/")[0]), key_of(name).public_bytes
    assert find_scheme(name).verifying_key(good).verify(DIGEST, key_of(name).sign(DIGEST))
    hybrid = bytes([6 + (point[-1] & 1)]) + point[1:]
    for bad in (point, point[1:], hybrid, good[1:], b"\x04" + good[1:], bytes([good[0] + 4]) + good[1:]):
        with pytest.raises(SignatureError, match="public key: expected a compressed point"):
            find_scheme(name).verifying_key(bad)


@pytest.mark.parametrize("name", REAL)
def test_infinity_is_refused(name: str) -> None:
    for bad in (b"", b"\0", bytes(33), b"\0" + b"\xff" * 32):
        with pytest.raises(SignatureError):
            find_scheme(name).verifying_key(bad)


@pytest.mark.parametrize("name", REAL)
def test_a_key_of_another_length_is_refused(name: str) -> None:
    good = key_of(name).public_bytes
    for bad in (good[:-1], good + b"\0", good[:1], good * 2):
        with pytest.raises(SignatureError):
            find_scheme(name).verifying_key(bad)


@pytest.mark.parametrize("name", REAL)
@settings(max_examples=30)
@given(data=st.data(), sign=st.sampled_from((2, 3)))
def test_a_key_is_accepted_exactly_if_it_is_on_the_curve(name: str, data: st.DataObject, sign: int) -> None:
    x = data.draw(st.integers(0, (1 << 256) - 1) | st.integers(0, 50))
    curve, public_bytes = curve_of(name), bytes([sign]) + x.to_bytes(32)
    try:
        find_scheme(name).verifying_key(public_bytes)
    except SignatureError:
        assert not is_on_curve(curve, x)
    else:
        assert is_on_curve(curve, x)


@pytest.mark.parametrize("name", REAL)
def test_a_coordinate_that_was_not_reduced_is_refused(name: str) -> None:
    """A second spelling of a key: its x plus the field's modulus still fits 32 bytes."""
    curve = curve_of(name)
    x = smallest_x(curve)
    find_scheme(name).verifying_key(b"\x02" + x.to_bytes(32))
    with pytest.raises(SignatureError):
        find_scheme(name).verifying_key(b"\x02" + (x + curve.field).to_bytes(32))


@pytest.mark.parametrize("name", REAL)
@settings(max_examples=60)
@given(st.binary(min_size=32, max_size=34) | st.binary(max_size=80))
@example(b"\x30\x1f" + bytes(31))
@example(b"-----BEGIN PUBLIC KEY-----" + bytes(7))
@example(b"ssh-ed25519 AAAAAAAAAAAAAAAAAAAAA")
@example(b"ecdsa-sha2-nistp256 AAAAAAAAAAAAA")
def test_arbitrary_bytes_are_a_key_or_a_signature_error(name: str, data: bytes) -> None:
    x = int.from_bytes(data[1:])
    if len(data) == 33 and data[0] in {2, 3} and is_on_curve(curve_of(name), x):
        find_scheme(name).verifying_key(data)
    else:
        with pytest.raises(SignatureError, match="public key: expected a compressed point"):
            find_scheme(name).verifying_key(data)


@pytest.mark.parametrize("name", REAL)
def test_a_point_of_the_other_curve_is_refused(name: str) -> None:
    """Half of all x-coordinates lie on either curve, so the key here is one that lies on the other alone."""
    other = next(curve for curve in CURVES if curve != curve_of(name).name)
    keys = (key_of(f"{other}/cryptography", f"label {index}").public_bytes for index in range(50))
    with pytest.raises(SignatureError):
        find_scheme(name).verifying_key(
            next(key for key in keys if not is_on_curve(curve_of(name), int.from_bytes(key[1:])))
        )


# -- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REAL + MODELLED)
@pytest.mark.parametrize("which", ["zero", "negative", "order", "above-order", "two-to-the-256"])
def test_a_secret_out_of_range_is_refused_without_being_shown(name: str, which: str) -> None:
    order = curve_of(name).order
    secret = {
        "zero": 0,
        "negative": -order + 5,
        "order": order,
        "above-order": order + 12345,
        "two-to-the-256": 1 << 256,
    }
    with pytest.raises(SignatureError, match=r"expected a scalar in \[1, order\)") as caught:
        find_scheme(name).private_key(secret[which])
    if which != "zero":
        assert str(abs(secret[which])) not in str(caught.value)
        assert f"{abs(secret[which]):x}" not in str(caught.value).lower()
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("name", REAL)
def test_a_key_shows_no_secret(name: str) -> None:
    secret = derive_secret(curve_of(name), "signer")
    key = find_scheme(name).private_key(secret)
    shown = f"{key!r} {key} {key:} {[key]} {find_scheme(name)!r}".lower()
    for form in (str(secret), f"{secret:x}", secret.to_bytes(32).hex()[:16], repr(secret.to_bytes(32))):
        assert form.lower() not in shown


# -- modelled signatures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("curve", CURVES)
def test_no_real_backend_accepts_a_modelled_signature(curve: str) -> None:
    """Its r is 2^256 - 1, which no curve of 256 bits has."""
    signature = key_of(f"{curve}/modelled").sign(DIGEST)
    assert signature.startswith(MARK)
    assert int.from_bytes(MARK) >= CURVES[curve].order
    for scheme in backends_of(curve):
        public_bytes = scheme.private_key(derive_secret(CURVES[curve], "signer")).public_bytes
        assert not scheme.verifying_key(public_bytes).verify(DIGEST, signature)


@pytest.mark.parametrize("curve", CURVES)
def test_no_real_backend_loads_a_modelled_key(curve: str) -> None:
    public_bytes = key_of(f"{curve}/modelled").public_bytes
    assert len(public_bytes) == 33
    for scheme in backends_of(curve):
        with pytest.raises(SignatureError):
            scheme.verifying_key(public_bytes)


@pytest.mark.parametrize("name", REAL)
def test_the_modelled_signer_loads_no_real_key_and_accepts_no_real_signature(name: str) -> None:
    modelled = f"{curve_of(name).name}/modelled"
    real = key_of(name)
    with pytest.raises(SignatureError, match="modelled public key"):
        find_scheme(modelled).verifying_key(real.public_bytes)
    verifier = find_scheme(modelled).verifying_key(key_of(modelled).public_bytes)
    assert not verifier.verify(DIGEST, real.sign(DIGEST))


@pytest.mark.parametrize("name", MODELLED)
@settings(max_examples=50)
@given(
    signed=st.binary(max_size=64), shown=st.binary(max_size=64), signer=st.integers(1, 99), claimed=st.integers(1, 99)
)
def test_a_modelled_signature_binds_signer_and_content(
    name: str, signed: bytes, shown: bytes, signer: int, claimed: int
) -> None:
    scheme = find_scheme(name)
    signature = scheme.private_key(signer).sign(hashlib.sha256(signed).digest())
    verifier = scheme.verifying_key(scheme.private_key(claimed).public_bytes)
    assert verifier.verify(hashlib.sha256(shown).digest(), signature) == ((signer, signed) == (claimed, shown))


def test_the_table_has_every_backend_on_both_curves_but_coincurve_on_one() -> None:
    assert sorted(SCHEMES) == sorted([*BOTH_CURVES, COINCURVE, *MODELLED])


@pytest.mark.parametrize("name", REAL + MODELLED)
def test_a_scheme_says_what_it_is(name: str) -> None:
    assert find_scheme(name).name == name
    assert find_scheme(name).is_modelled == (name in MODELLED)


# -- the table and derived secrets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["", "p256", "p256/", "/ecdsa", "p256/openssl", "p384/ecdsa", "P256/ecdsa", "p256/ecdsa/", "p256/coincurve"],
)
def test_an_unknown_scheme_is_an_error_that_names_the_known_ones(name: str) -> None:
    with pytest.raises(ParameterError, match=f"expected one of p256/cryptography, .*, found {name!r}"):
        find_scheme(name)


@pytest.mark.parametrize(
    ("backend", "module", "package"),
    [
        ("ecdsa", "pure", "ecdsa"),
        ("pycryptodome", "pycryptodome", "Crypto.Hash"),
        ("coincurve", "coincurve", "coincurve"),
    ],
)
def test_a_backend_without_its_package_is_an_error_that_names_it(
    backend: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, f"ehrcore.signing.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ParameterError, match=f"the package '{backend}' is not installed"):
        find_scheme(f"secp256k1/{backend}")


@pytest.mark.parametrize("curve", CURVES)
@given(label=st.text(max_size=20), other=st.text(max_size=20))
def test_derived_secrets_are_scalars_that_differ_by_label_and_curve(curve: str, label: str, other: str) -> None:
    secret = derive_secret(CURVES[curve], label)
    assert 1 <= secret < CURVES[curve].order
    assert (secret == derive_secret(CURVES[curve], other)) == (label == other)
    assert len({derive_secret(each, label) for each in CURVES.values()}) == len(CURVES)
