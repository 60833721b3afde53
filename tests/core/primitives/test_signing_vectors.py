"""Published vectors: RFC 6979 appendix A.2.5, FIPS 186-3 SigVer and SigGen, and SECP256K1 SigGen.

The vectors know no low-S rule, so each valid signature is brought to the lower of its two s before it is shown.
"""

import hashlib
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import cryptography_vectors
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from ehrcore.errors import SignatureError
from ehrcore.signing import CURVES, Scheme, find_scheme
from ehrcore.signing.base import join

Vector = dict[str, str]
Reader = Callable[..., list[Vector]]
BACKENDS = ("cryptography", "ecdsa", "pycryptodome")
NO_COINCURVE = pytest.mark.skipif(find_spec("coincurve") is None, reason="the package 'coincurve' is not installed")
SECP256K1_BACKENDS = [*BACKENDS, pytest.param("coincurve", marks=NO_COINCURVE)]
#: Hashes whose digests fit a signature here; FIPS 186 truncates longer ones, which no suite of ours makes.
HASHES = {"SHA-1": hashlib.sha1, "SHA-224": hashlib.sha224, "SHA-256": hashlib.sha256}
RFC_6979 = "asymmetric/ECDSA/RFC6979/evppkey_ecdsa_rfc6979.txt"


def signature_of(curve: str, vector: Vector) -> bytes | None:
    """The low-S signature, or None if a number is out of range (then there is no lower twin either)."""
    r, s, order = int(vector["R"], 16), int(vector["S"], 16), CURVES[curve].order
    return join(CURVES[curve], r, s) if 0 < r < order and 0 < s < order else None


def accepts(scheme: Scheme, public_bytes: bytes, digest: bytes, signature: bytes | None) -> bool:
    try:
        return signature is not None and scheme.verifying_key(public_bytes).verify(digest, signature)
    except SignatureError:
        return False


def compressed(vector: Vector) -> bytes:
    return bytes([2 + (int(vector["Qy"], 16) & 1)]) + int(vector["Qx"], 16).to_bytes(32)


def high_twin(curve: str, signature: bytes) -> bytes:
    return signature[:32] + (CURVES[curve].order - int.from_bytes(signature[32:])).to_bytes(32)


def check(backend: str, curve: str, vectors: list[Vector], hash_name: str) -> tuple[int, int]:
    """Compare the backend's word with each vector's; how many were valid and how many not."""
    scheme, counts = find_scheme(f"{curve}/{backend}"), [0, 0]
    for vector in vectors:
        if "Msg" not in vector:
            continue
        digest = HASHES[hash_name](bytes.fromhex(vector["Msg"])).digest()
        signature = signature_of(curve, vector)
        is_valid = vector.get("Result", "P").startswith("P")
        assert accepts(scheme, compressed(vector), digest, signature) == is_valid, vector
        if is_valid:
            assert signature is not None
            assert not accepts(scheme, compressed(vector), digest, high_twin(curve, signature)), vector
        counts[not is_valid] += 1
    return counts[0], counts[1]


@pytest.mark.parametrize("hash_name", HASHES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_fips_186_3_sigver_on_p256(backend: str, hash_name: str, read_vectors: Reader) -> None:
    vectors = read_vectors("asymmetric/ECDSA/FIPS_186-3/SigVer.rsp", f"P-256,{hash_name}")
    valid, invalid = check(backend, "p256", vectors, hash_name)
    assert (valid + invalid, valid > 0, invalid > 0) == (15, True, True)


@pytest.mark.parametrize("hash_name", HASHES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_fips_186_3_siggen_on_p256(backend: str, hash_name: str, read_vectors: Reader) -> None:
    vectors = read_vectors("asymmetric/ECDSA/FIPS_186-3/SigGen.txt", f"P-256,{hash_name}")
    assert check(backend, "p256", vectors, hash_name) == (15, 0)


@pytest.mark.parametrize("hash_name", HASHES)
@pytest.mark.parametrize("backend", SECP256K1_BACKENDS)
def test_siggen_on_secp256k1(backend: str, hash_name: str, read_vectors: Reader) -> None:
    vectors = read_vectors("asymmetric/ECDSA/SECP256K1/SigGen.txt", f"K-256,{hash_name}")
    most = 40 if backend in {"ecdsa", "pycryptodome"} else len(vectors)
    valid, invalid = check(backend, "secp256k1", vectors[:most], hash_name)
    assert (valid, invalid) == (most, 0)


@pytest.mark.parametrize("backend", SECP256K1_BACKENDS)
def test_public_keys_of_secp256k1_siggen(backend: str, read_vectors: Reader) -> None:
    scheme = find_scheme(f"secp256k1/{backend}")
    for vector in read_vectors("asymmetric/ECDSA/SECP256K1/SigGen.txt", "K-256,SHA-256")[:15]:
        assert scheme.private_key(int(vector["d"], 16)).public_bytes == compressed(vector)


# -- RFC 6979 --------------------------------------------------------------------------------------------------------


def rfc6979_stanzas() -> Iterator[tuple[Vector, bytes]]:
    """Stanzas of the file, each with the PEM block that it holds (if any)."""
    with cryptography_vectors.open_vector_file(RFC_6979, "r") as file:
        for stanza in file.read().split("\n\n"):
            lines = [line for line in stanza.splitlines() if line and not line.startswith("#")]
            pem = [line for line in lines if " = " not in line and not line.startswith(("Private", "Public", "Title"))]
            fields = (line.partition("=") for line in lines if line not in pem)
            yield {key.strip(): value.strip() for key, _, value in fields}, "\n".join(pem).encode()


def rfc6979_secret() -> int:
    for fields, pem in rfc6979_stanzas():
        if fields.get("PrivateKey") == "P-256_PRIV":
            key = serialization.load_pem_private_key(pem, None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            return key.private_numbers().private_value
    raise AssertionError("the file holds the key of appendix A.2.5")


def rfc6979_vectors(kind: str, hash_name: str) -> list[tuple[bytes, tuple[int, int], bool]]:
    return [
        (
            fields["Input"].strip('"').encode(),
            decode_dss_signature(bytes.fromhex(fields["Output"])),
            "Result" not in fields,
        )
        for fields, _ in rfc6979_stanzas()
        if fields.get(kind) == hash_name and fields["Key"].startswith("P-256")
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_rfc_6979_a_2_5_signatures_are_reproduced(backend: str) -> None:
    """Our nonces use HMAC-SHA-256 whatever the digest, so the appendix's SHA-256 rows are the ones that apply."""
    vectors = rfc6979_vectors("DigestSign", "SHA256")
    assert {message for message, _, _ in vectors} == {b"sample", b"test"}
    key = find_scheme(f"p256/{backend}").private_key(rfc6979_secret())
    for message, (r, s), _ in vectors:
        assert key.sign(hashlib.sha256(message).digest()) == join(CURVES["p256"], r, s)


def test_rfc_6979_a_2_5_has_a_row_whose_s_is_high() -> None:
    """Otherwise the normalisation above would not be tested by these vectors."""
    half = CURVES["p256"].order >> 1
    assert any(s > half for _, (_, s), _ in rfc6979_vectors("DigestSign", "SHA256"))


@pytest.mark.parametrize("hash_name", ["SHA1", "SHA224", "SHA256"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_rfc_6979_a_2_5_signatures_verify_and_their_corruptions_do_not(backend: str, hash_name: str) -> None:
    scheme = find_scheme(f"p256/{backend}")
    public_bytes = scheme.private_key(rfc6979_secret()).public_bytes
    vectors = rfc6979_vectors("DigestVerify", hash_name)
    assert {is_valid for _, _, is_valid in vectors} == {True, False}
    for message, (r, s), is_valid in vectors:
        digest = hashlib.new(hash_name, message).digest()
        assert scheme.verifying_key(public_bytes).verify(digest, join(CURVES["p256"], r, s)) == is_valid
