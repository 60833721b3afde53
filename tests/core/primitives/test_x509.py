"""One statement, two encodings: X.509 says what the chain's certificate says, and is read in one spelling alone."""

import base64
import re
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import cryptography_vectors
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.verification import Criticality, ExtensionPolicy, PolicyBuilder, Store, VerificationError
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore.crl import RevocationList
from ehrcore.der import SEQUENCE, read_element, write_element
from ehrcore.errors import CodecError, EhrError, IdentityError
from ehrcore.identity import FOREVER, Capacity, Cause, CertificateBody, Revoked
from ehrcore.signing import CURVES, derive_secret, find_scheme
from ehrcore.types import SECOND, Role
from ehrcore.x509 import Issuer, read_request, request
from ehrcore.x509_parts import assemble, from_pem, load_point, to_pem

YEAR_2026 = 1_767_225_600 * SECOND
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)


def key_of(curve: str, label: str) -> Any:
    return find_scheme(f"{curve}/cryptography").private_key(derive_secret(CURVES[curve], label))


def issuer_of(curve: str, network: str = "ehr", label: str = "authority") -> Issuer:
    key = key_of(curve, label)
    return Issuer(network, curve, key.public_bytes, key)


def body_of(curve: str, **changes: Any) -> CertificateBody:
    body = CertificateBody(
        "ehr", 7, "person-00ff", Role.VISITOR, key_of(curve, "person").public_bytes, (1, 3), 0, YEAR_2026,
        YEAR_2026 + 10**17, "st-mary", Capacity.PATIENT, b"p" * 32, b"w" * 32,
    )  # fmt: skip
    return msgspec.structs.replace(body, **changes)


def revocations(*entries: Revoked, at: int = YEAR_2026 + 5) -> RevocationList:
    return RevocationList(12, at, at + 10**16, entries)


ENTRIES = (
    Revoked(3, Cause.KEY_COMPROMISE, 4, YEAR_2026 + 1, YEAR_2026 - 10**15 + 7),
    Revoked(7, Cause.UNSPECIFIED, 5, YEAR_2026 + 2),
    Revoked(9, Cause.SUPERSEDED, 5, YEAR_2026 + 2),
)


@pytest.fixture(params=CURVES)
def curve(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# -- what it says ----------------------------------------------------------------------------------------------------


def test_a_certificate_says_what_its_body_says(curve: str) -> None:
    """By another reader than ours."""
    found = x509.load_der_x509_certificate(issuer_of(curve).certificate(body_of(curve)))
    assert found.version is x509.Version.v3
    assert found.serial_number == 7
    assert found.subject.rfc4514_string() == "CN=person-00ff,OU=patient,OU=visitor,O=st-mary"
    assert found.issuer.rfc4514_string() == "CN=authority-0,O=ehr"
    assert found.not_valid_before_utc == datetime(2026, 1, 1, tzinfo=UTC)
    extensions = found.extensions
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert (usage.critical, usage.value.digital_signature, usage.value.key_cert_sign) == (True, True, False)
    authority = x509.load_der_x509_certificate(issuer_of(curve).authority())
    found.verify_directly_issued_by(authority)
    authority.verify_directly_issued_by(authority)
    own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == own
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)


def test_it_is_the_same_bytes_each_time(curve: str) -> None:
    first, second = issuer_of(curve), issuer_of(curve)
    assert first.certificate(body_of(curve)) == second.certificate(body_of(curve))
    assert first.authority() == second.authority()
    assert first.revocations(revocations(*ENTRIES)) == second.revocations(revocations(*ENTRIES))


BODIES = st.fixed_dictionaries(
    {
        "serial": st.integers(1, (1 << 53) - 1),
        "subject": st.from_regex(r"\A[a-z][a-z0-9-]{0,63}\Z"),
        "role": st.sampled_from([role for role in Role if role is not Role.AUTHORITY]),
        "kinds": st.lists(st.integers(1, 7), max_size=7).map(tuple),
        "stake": st.integers(0, (1 << 53) - 1),
        "organisation": st.just("") | TEXT,
        "capacity": st.sampled_from(Capacity),
        "pseudonym": st.binary(max_size=32),
        "wrap_key": st.binary(max_size=32),
    }
)


@settings(max_examples=25)
@given(BODIES, st.integers(0, FOREVER - 1), st.integers(2 * SECOND, FOREVER))
def test_every_body_comes_back(fields: dict[str, Any], begin: int, length: int) -> None:
    body = body_of("p256", not_before=begin, not_after=min(begin + length, FOREVER), **fields)
    if body.not_after // SECOND > -(-begin // SECOND):
        assert issuer_of("p256").read_certificate(issuer_of("p256").certificate(body)) == body


@pytest.mark.parametrize(
    ("begin", "end", "shown"),
    [
        (0, FOREVER, ("1970-01-01 00:00:00", "9999-12-31 23:59:59")),
        (1, 3 * SECOND, ("1970-01-01 00:00:01", "1970-01-01 00:00:02")),
        (SECOND, 3 * SECOND + 1, ("1970-01-01 00:00:01", "1970-01-01 00:00:03")),
        (0, 2_524_608_000 * SECOND, ("1970-01-01 00:00:00", "2049-12-31 23:59:59")),
        (2_524_608_000 * SECOND, FOREVER - 1, ("2050-01-01 00:00:00", "2262-04-11 23:47:16")),
    ],
)
def test_x509_is_never_valid_when_the_chain_says_no(begin: int, end: int, shown: tuple[str, str]) -> None:
    """Its period is in whole seconds and includes its end; the chain's is half open."""
    data = issuer_of("p256").certificate(body_of("p256", not_before=begin, not_after=end))
    found = x509.load_der_x509_certificate(data)
    assert tuple(f"{at:%Y-%m-%d %H:%M:%S}" for at in (found.not_valid_before_utc, found.not_valid_after_utc)) == shown
    # UTCTime up to 2049, GeneralizedTime from 2050 on (RFC 5280, section 4.1.2.5).
    assert (b"\x18\x0f99991231235959Z" in data) == (end == FOREVER)
    assert (b"\x17\r491231235959Z" in data) == (shown[1].startswith("2049"))
    assert (b"\x18\x0f20500101000000Z" in data) == (shown[0].startswith("2050"))


def test_less_than_a_second_has_no_x509(curve: str) -> None:
    with pytest.raises(IdentityError, match="expected to be valid for a second, found less"):
        issuer_of(curve).certificate(body_of(curve, not_before=SECOND + 1, not_after=2 * SECOND))


def test_modelled_signers_have_no_x509() -> None:
    modelled = find_scheme("p256/modelled").private_key(5)
    with pytest.raises(IdentityError, match="modelled signers have no certificates"):
        Issuer("ehr", "p256", modelled.public_bytes, modelled)


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", CertificateBody.__struct_fields__)
def test_a_statement_with_one_field_changed_is_another_certificate(curve: str, field: str) -> None:
    """Signed by the authority it is that statement; with the signature of the first it is none."""
    changes: dict[str, Any] = {
        "network": "other", "serial": 8, "subject": "person-00fe", "role": Role.AGENT, "kinds": (1,), "stake": 1,
        "public_key": key_of(curve, "other").public_bytes, "not_before": YEAR_2026 + 1,
        "not_after": YEAR_2026 + 10**17 + 1, "organisation": "st-joan", "capacity": Capacity.DEVICE,
        "pseudonym": b"q" * 32, "wrap_key": b"v" * 32,
    }  # fmt: skip
    mine, issuer = body_of(curve), issuer_of(curve)
    theirs = msgspec.structs.replace(mine, **{field: changes[field]})
    other = issuer_of(curve, theirs.network).certificate(theirs)
    found = x509.load_der_x509_certificate(other)
    signature = x509.load_der_x509_certificate(issuer.certificate(mine)).signature
    forged = other.replace(found.signature, signature)
    # The two lengths may differ by a byte; then the sequence around them does, too.
    with pytest.raises(IdentityError):
        issuer.read_certificate(forged)
    if field == "network":
        with pytest.raises(IdentityError, match=r"expected a node or person of ehr"):
            issuer.read_certificate(other)
    else:
        assert issuer.read_certificate(other) == theirs


@cache
def good_ones(curve: str) -> list[tuple[Callable[[bytes], object], bytes]]:
    issuer = issuer_of(curve)
    return [
        (issuer.read_certificate, issuer.certificate(body_of(curve))),
        (issuer.read_authority, issuer.authority()),
        (issuer.read_revocations, issuer.revocations(revocations(*ENTRIES))),
        (lambda found: read_request(curve, found), request("person-1", curve, key_of(curve, "person"))),
    ]


@settings(max_examples=120)
@given(st.sampled_from(tuple(CURVES)), st.integers(0, 3), st.integers(0))
def test_a_flipped_bit_is_refused(curve: str, which: int, number: int) -> None:
    read, good = good_ones(curve)[which]
    bad, bit = bytearray(good), number % (8 * len(good))
    bad[bit // 8] ^= 1 << bit % 8
    with pytest.raises(IdentityError) as caught:
        read(bytes(bad))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("which", range(4))
def test_each_flipped_bit_is_refused(curve: str, which: int) -> None:
    read, good = good_ones(curve)[which]
    read(good)
    for bit in range(0, 8 * len(good), 3):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(IdentityError):
            read(bytes(bad))


def every_reader(curve: str) -> list[Callable[[bytes], object]]:
    return [read for read, _ in good_ones(curve)]


@settings(max_examples=100)
@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda data: write_element(0x30, data)))
def test_any_bytes_are_refused_in_one_line(data: bytes) -> None:
    for read in every_reader("p256"):
        with pytest.raises(IdentityError) as caught:
            read(data)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("more", [b"\0", b"\0\0", b"0", b"\n"])
def test_trailing_bytes_are_refused(curve: str, more: bytes) -> None:
    for read, good in good_ones(curve):
        with pytest.raises(IdentityError, match="and no more, found something else"):
            read(good + more)


def test_the_high_s_twin_is_refused(curve: str) -> None:
    """OpenSSL accepts it: of one statement there would be two certificates, with two fingerprints."""
    issuer = issuer_of(curve)
    good = issuer.certificate(body_of(curve))
    twin = replace_signature(good, curve)
    x509.load_der_x509_certificate(twin).verify_directly_issued_by(x509.load_der_x509_certificate(issuer.authority()))
    with pytest.raises(IdentityError, match="expected the authority's signature"):
        issuer.read_certificate(twin)


def replace_signature(data: bytes, curve: str) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

    found = x509.load_der_x509_certificate(data)
    r, s = decode_dss_signature(found.signature)
    bits = b"\0" + encode_dss_signature(r, CURVES[curve].order - s)
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    return write_element(0x30, found.tbs_certificate_bytes + algorithm + write_element(0x03, bits))


def test_another_authority_is_refused(curve: str) -> None:
    forger = issuer_of(curve, label="forger")
    for read, forged in (
        (issuer_of(curve).read_certificate, forger.certificate(body_of(curve))),
        (issuer_of(curve).read_authority, forger.authority()),
        (issuer_of(curve).read_revocations, forger.revocations(revocations())),
    ):
        with pytest.raises(IdentityError):
            read(forged)


def test_a_request_is_signed_with_the_key_that_it_is_about(curve: str) -> None:
    good = request("person-1", curve, key_of(curve, "person"))
    assert read_request(curve, good) == ("person-1", key_of(curve, "person").public_bytes)
    found = x509.load_der_x509_csr(good)
    assert found.is_signature_valid
    stolen = x509.load_der_x509_csr(request("person-2", curve, key_of(curve, "person")))
    forged = good.replace(found.tbs_certrequest_bytes, stolen.tbs_certrequest_bytes)
    with pytest.raises(IdentityError, match="expected a signature by the key that is to be certified"):
        read_request(curve, forged)


def test_a_request_of_the_other_curve_is_refused(curve: str) -> None:
    other = next(name for name in CURVES if name != curve)
    with pytest.raises(IdentityError):
        read_request(curve, request("person-1", other, key_of(other, "person")))


def test_serials_in_another_order_make_no_list(curve: str) -> None:
    for entries in (ENTRIES[::-1], ENTRIES[:1] * 2):
        with pytest.raises(IdentityError, match="expected serials in order"):
            issuer_of(curve).revocations(revocations(*entries))


# -- published vectors: what is wrong there is refused here, and none of it is ours ------------------------------------


def published() -> Iterator[bytes]:
    """Every certificate, request and list of the library's test vectors, as DER."""
    base = Path(cryptography_vectors.__file__).parent / "x509"
    for path in sorted(base.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        if data.startswith(b"0"):
            yield data
        for text in re.findall(rb"-----BEGIN [A-Z0-9 ]+-----([A-Za-z0-9+/=\s]+)-----END", data):
            yield base64.b64decode(text)


def test_published_certificates_requests_and_lists_are_refused_even_if_the_authority_signs_them() -> None:
    """Bad DER, versions, times, names, numbers and extensions among them; what the library warns of is refused, too."""
    count, wrapped = 0, 0
    for data in published():
        forms = [data]
        with suppress(CodecError):
            begin, _ = read_element(data, 0, SEQUENCE)
            forms.append(assemble(data[begin : read_element(data, begin, SEQUENCE)[1]], key_of("p256", "authority")))
        count, wrapped = count + 1, wrapped + len(forms) - 1
        for read in every_reader("p256"):
            for form in forms:
                with pytest.raises(IdentityError) as caught:
                    read(form)
                assert "\n" not in str(caught.value)
    assert min(count, wrapped) > 200


# -- PEM ---------------------------------------------------------------------------------------------------------------


def test_pem_is_what_the_library_writes_and_reads() -> None:
    data = issuer_of("p256").certificate(body_of("p256"))
    pem = to_pem("CERTIFICATE", data)
    assert pem == x509.load_der_x509_certificate(data).public_bytes(serialization.Encoding.PEM)
    assert from_pem("CERTIFICATE", pem) == data


@pytest.mark.parametrize(
    "change",
    [
        lambda pem: pem[:-1],
        lambda pem: pem + b"\n",
        lambda pem: b"\n" + pem,
        lambda pem: pem.replace(b"\n", b"\r\n"),
        lambda pem: pem * 2,
        lambda pem: pem.replace(b"CERTIFICATE", b"X509 CRL"),
        lambda pem: pem.replace(b"-\n", b"-\n "),
        lambda pem: pem[:40] + b"\n" + pem[40:],
        lambda pem: pem[:40] + b"!" + pem[41:],
        lambda pem: pem[:0],
    ],
)
def test_other_texts_are_refused(change) -> None:
    pem = to_pem("CERTIFICATE", issuer_of("p256").certificate(body_of("p256")))
    with pytest.raises(IdentityError, match="expected one certificate and nothing else"):
        from_pem("CERTIFICATE", change(pem))


# -- others agree ------------------------------------------------------------------------------------------------------


def write_all(folder: Path, curve: str, *entries: Revoked) -> tuple[str, ...]:
    issuer = issuer_of(curve)
    parts = {
        "ca.pem": ("CERTIFICATE", issuer.authority()),
        "one.pem": ("CERTIFICATE", issuer.certificate(body_of(curve))),
        "crl.pem": ("X509 CRL", issuer.revocations(revocations(*entries))),
    }
    for name, (label, data) in parts.items():
        (folder / name).write_bytes(to_pem(label, data))
    at = str(YEAR_2026 // SECOND + 60)
    return ("openssl", "verify", "-x509_strict", "-crl_check", "-attime", at, "-CAfile", str(folder / "ca.pem"),
            "-CRLfile", str(folder / "crl.pem"), str(folder / "one.pem"))  # fmt: skip


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the command 'openssl' is not installed")
def test_openssl_verifies_chain_and_revocation(tmp_path: Path, curve: str) -> None:
    good = subprocess.run(write_all(tmp_path, curve, ENTRIES[0]), capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    bad = subprocess.run(write_all(tmp_path, curve, *ENTRIES), capture_output=True, text=True, check=False)
    assert bad.returncode != 0
    assert "certificate revoked" in bad.stderr


def test_the_list_says_when_and_why_in_the_standards_words(curve: str) -> None:
    found = x509.load_der_x509_crl(issuer_of(curve).revocations(revocations(*ENTRIES)))
    assert found.is_signature_valid(load_point(curve, key_of(curve, "authority").public_bytes))
    assert isinstance(found.signature_hash_algorithm, hashes.SHA256)
    assert found.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 12
    stolen, plain, replaced = found
    assert stolen.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.key_compromise
    since = stolen.extensions.get_extension_for_class(x509.InvalidityDate).value.invalidity_date_utc
    assert since == datetime(2025, 12, 20, 10, 13, 20, tzinfo=UTC)
    assert replaced.extensions.get_extension_for_class(x509.CRLReason).value.reason is x509.ReasonFlags.superseded
    with pytest.raises(x509.ExtensionNotFound):
        plain.extensions.get_extension_for_class(x509.CRLReason)
    assert issuer_of(curve).read_revocations(found.public_bytes(serialization.Encoding.DER)).entries == ENTRIES


def test_the_librarys_verifier_builds_the_chain() -> None:
    """It knows P-256 alone, and asks a web server's or client's leaf for a name that no person here has."""
    issuer = issuer_of("p256")
    leaf, root = map(x509.load_der_x509_certificate, (issuer.certificate(body_of("p256")), issuer.authority()))
    at = datetime(2026, 2, 1, tzinfo=UTC)
    ca_policy = ExtensionPolicy.webpki_defaults_ca()
    leaf_policy = ExtensionPolicy.permit_all().require_present(x509.BasicConstraints, Criticality.CRITICAL, None)

    def verify(when: datetime, trusted: x509.Certificate) -> Any:
        builder = PolicyBuilder().store(Store([trusted])).time(when)
        chosen = builder.extension_policies(ca_policy=ca_policy, ee_policy=leaf_policy)
        return chosen.build_client_verifier().verify(leaf, [])

    assert verify(at, root).chain == [leaf, root]
    for when, trusted in (
        (datetime(2025, 12, 31, tzinfo=UTC), root),
        (datetime(2036, 1, 1, tzinfo=UTC), root),
        (at, x509.load_der_x509_certificate(issuer_of("p256", label="forger").authority())),
    ):
        with pytest.raises(VerificationError):
            verify(when, trusted)


def test_a_planted_reader_that_only_verifies_is_caught() -> None:
    """The library's own check takes the high-S twin: what the strict reader refuses is not refused by everybody."""
    issuer = issuer_of("p256")
    twin = replace_signature(issuer.certificate(body_of("p256")), "p256")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        root = x509.load_der_x509_certificate(issuer.authority())
        x509.load_der_x509_certificate(twin).verify_directly_issued_by(root)
    with pytest.raises(EhrError):
        issuer.read_certificate(twin)
