"""How a custodian judges: each way to be wrong is found by its own name, and nothing wrong is let through."""

import hashlib
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehrcore.authority import Authority
from ehrcore.block import RecordRef, TransactionBody
from ehrcore.codec import decode, encode
from ehrcore.consent import Access, Action, Consent, ConsentBook, Emergency, Erasure, Provision, Purpose
from ehrcore.crypto import Crypto
from ehrcore.custodian import (
    ACCESS_NS,
    CLOCK_NS,
    Placed,
    judge_access,
    judge_asker,
    judge_deposit,
    judge_link,
    judge_release,
    make_link,
)
from ehrcore.custody import (
    SHARE_BYTES,
    Dealing,
    Denial,
    Deposit,
    LinkBody,
    LinkUse,
    LinkUseBody,
    Pledge,
    ReleaseBody,
    ReleaseRequest,
    deal,
    deposit_info,
    pack_share,
    pledged,
    release_info,
    share_digest,
    unpack_share,
)
from ehrcore.errors import CodecError, StorageError
from ehrcore.hashing import find_suite
from ehrcore.identity import FOREVER, Capacity, CertificateBody, Reason, Registry
from ehrcore.sharing import Share, join, split
from ehrcore.signing import CURVES, derive_secret, find_scheme
from ehrcore.types import Role

CHAIN, ANNA, BERT, KEY = bytes(32), hashlib.sha256(b"anna").digest(), hashlib.sha256(b"bert").digest(), b"k" * 32
NOW = 10**18
SUITE, SCHEME = find_suite("sha256"), find_scheme("p256/cryptography")
CUSTODIANS = ("contributor-0", "contributor-1", "contributor-2")


def signer(name: str) -> Crypto:
    return Crypto(SUITE, SCHEME, SCHEME.private_key(derive_secret(CURVES["p256"], name)))


AUTHOR, DOCTOR, THIEF = signer("visitor-0"), signer("doctor"), signer("thief")
RECORD = RecordRef(3, ANNA, hashlib.sha256(b"object").digest(), "/r/1", 99)


def make_registry() -> Registry:
    crypto = signer("authority")
    authority = Authority("n", crypto, b"")
    assert crypto._key is not None
    registry = Registry("n", crypto._key.public_bytes)
    for name, role, who, more in (
        ("visitor-0", Role.VISITOR, AUTHOR, {}),
        ("person-doctor", Role.VISITOR, DOCTOR, {"capacity": Capacity.PRACTITIONER, "wrap_key": KEY}),
        ("person-thief", Role.VISITOR, THIEF, {"capacity": Capacity.PRACTITIONER, "wrap_key": KEY}),
        ("person-late", Role.VISITOR, THIEF, {"not_after": NOW, "wrap_key": KEY}),
        ("contributor-0", Role.CONTRIBUTOR, signer("contributor-0"), {"wrap_key": KEY}),
    ):
        assert who._key is not None
        registry.enrol(authority.certify(name, role, who._key.public_bytes, **more), crypto)  # type: ignore[arg-type]
    return registry


REGISTRY = make_registry()
ASKER = REGISTRY.check("person-doctor", Role.VISITOR, NOW)[1]


def make_book(*erased: bytes) -> ConsentBook:
    book = ConsentBook()
    given = Provision(True, ("person-doctor",), (), (), (), (), 0, FOREVER)
    assert book.put(b"c" * 32, Consent(ANNA, (given,)), NOW) is Reason.ACCEPTED
    for record in erased:
        assert book.erase(b"e" * 32, Erasure(ANNA, record)) is Reason.ACCEPTED
    return book


def test_any_majority_of_packed_shares_makes_the_key() -> None:
    shares = [pack_share(share) for share in split(KEY, 2, 3, bytes(range(32)))]
    assert {len(share) for share in shares} == {SHARE_BYTES}
    assert join([unpack_share(shares[2]), unpack_share(shares[0])]) == KEY
    assert repr(unpack_share(shares[0])) == "Share(threshold=2, index=1)"


@given(st.binary(max_size=2 * SHARE_BYTES))
def test_bytes_are_a_share_or_refused(data: bytes) -> None:
    try:
        share = unpack_share(data)
    except StorageError:
        assert len(data) != SHARE_BYTES or 0 in data[:2]
    else:
        assert isinstance(share, Share)
        assert pack_share(share) == data


# -- deposits --------------------------------------------------------------------------------------------------------


def make_deposit(signer: Crypto = AUTHOR, names: tuple[str, ...] = CUSTODIANS, **changes: Any) -> Deposit:
    shares = {name: bytes([2, index + 1]) + KEY for index, name in enumerate(names)}
    dealing, _ = deal(signer, CHAIN, "visitor-0", AUTHOR.hash_struct(RECORD), 2, shares, NOW)
    dealing = msgspec.structs.replace(dealing, **changes)
    return Deposit(dealing, signer.sign(dealing), bytes(32 + SHARE_BYTES + 16))


@pytest.mark.parametrize(
    ("deposit", "expected"),
    [
        (make_deposit(), Denial.NONE),
        (make_deposit(chain=b"o" * 32), Denial.OTHER_CHAIN),
        (make_deposit(dealt_at=NOW - CLOCK_NS - 1), Denial.CLOCK),
        (make_deposit(dealt_at=NOW + CLOCK_NS + 1), Denial.CLOCK),
        (make_deposit(author="nobody"), Denial.NO_CERTIFICATE),
        (make_deposit(author="contributor-0"), Denial.NO_CERTIFICATE),
        (make_deposit(author="person-late"), Denial.NO_CERTIFICATE),
        (make_deposit(names=CUSTODIANS[:2]), Denial.BAD_DEALING),
        (make_deposit(names=(*CUSTODIANS, "contributor-3")), Denial.BAD_DEALING),
        (make_deposit(pledges=(Pledge(CUSTODIANS[0], KEY),) * 3), Denial.BAD_DEALING),
        (make_deposit(threshold=4), Denial.BAD_DEALING),
        (make_deposit(signer=THIEF), Denial.BAD_SIGNATURE),
    ],
)
def test_a_deposit_is_its_authors_of_now_and_for_all_custodians(deposit: Deposit, expected: Denial) -> None:
    assert judge_deposit(AUTHOR, REGISTRY, CHAIN, CUSTODIANS, deposit, NOW) is expected


@given(st.integers(0, 10**9), st.integers(0, 7))
def test_no_bit_of_a_dealing_can_be_changed(place: int, bit: int) -> None:
    deposit = make_deposit()
    data = bytearray(encode(deposit.dealing))
    data[place % len(data)] ^= 1 << bit
    try:
        changed = Deposit(decode(bytes(data), Dealing), deposit.signature, deposit.sealed)
    except CodecError:
        return
    assert judge_deposit(AUTHOR, REGISTRY, CHAIN, CUSTODIANS, changed, NOW) is not Denial.NONE


def test_a_pledge_is_for_one_custodian_once() -> None:
    dealing = make_deposit().dealing
    assert pledged(dealing, "contributor-1") == share_digest(bytes([2, 2]) + KEY)
    assert pledged(dealing, "contributor-9") is None
    twice = msgspec.structs.replace(dealing, pledges=(dealing.pledges[0],) * 2)
    assert pledged(twice, "contributor-0") is None


def test_what_secrets_are_bound_to_is_never_the_same_for_two_ends() -> None:
    infos = [deposit_info(CHAIN, name, record) for name in CUSTODIANS for record in (ANNA, BERT)]
    infos += [release_info(CHAIN, name, who, ANNA) for name in CUSTODIANS for who in ("a", "b")]
    assert len(set(infos)) == len(infos)


# -- askers ----------------------------------------------------------------------------------------------------------


def ask(signer: Crypto = DOCTOR, **changes: Any) -> Any:
    body = ReleaseBody(CHAIN, "contributor-0", "person-doctor", b"a" * 32, b"r" * 32, NOW)
    body = msgspec.structs.replace(body, **changes)
    return judge_asker(AUTHOR, REGISTRY, CHAIN, "contributor-0", ReleaseRequest(body, signer.sign(body)), NOW)


def test_who_asks_is_known_by_signature() -> None:
    assert ask() == ASKER
    assert ask(signer=THIEF) is Denial.BAD_SIGNATURE
    assert ask(chain=KEY) is Denial.OTHER_CHAIN
    assert ask(custodian="contributor-1") is Denial.OTHER_CUSTODIAN
    assert [ask(asked_at=NOW + sign * (CLOCK_NS + 1)) for sign in (-1, 1)] == [Denial.CLOCK] * 2
    assert [ask(asked_at=NOW + sign * CLOCK_NS) for sign in (-1, 1)] == [ASKER] * 2
    assert ask(person="person-late") is Denial.NO_CERTIFICATE
    assert ask(signer=AUTHOR, person="visitor-0") is Denial.NO_WRAP_KEY


ACCESS = Access(Action.READ, ANNA, 3, AUTHOR.hash_struct(RECORD), Purpose.TREATMENT)


def placed(payload: Any, author: str = "person-doctor", reason: Reason = Reason.ACCEPTED, at: int = NOW) -> Placed:
    return Placed(TransactionBody(CHAIN, author, 1, 0, payload), reason, at)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (placed(ACCESS), ACCESS),
        (placed(ACCESS, at=NOW - ACCESS_NS), ACCESS),
        (None, Denial.UNKNOWN_ACCESS),
        (placed(RECORD), Denial.UNKNOWN_ACCESS),
        (placed(ACCESS, author="person-thief"), Denial.OTHER_ACCESS),
        (placed(msgspec.structs.replace(ACCESS, action=Action.SEARCH)), Denial.OTHER_ACCESS),
        (placed(ACCESS, reason=Reason.NO_CONSENT), Denial.DENIED_ACCESS),
        (placed(ACCESS, reason=Reason.REPLAYED), Denial.DENIED_ACCESS),
        (placed(ACCESS, at=NOW - ACCESS_NS - 1), Denial.STALE_ACCESS),
        (placed(ACCESS, at=NOW + ACCESS_NS + 1), Denial.STALE_ACCESS),
        (placed(msgspec.structs.replace(ACCESS, pseudonym=BERT)), Denial.WITHDRAWN),
    ],
)
def test_an_access_is_the_askers_accepted_and_of_late(found: Placed | None, expected: object) -> None:
    assert isinstance(ASKER, CertificateBody)
    assert judge_access(make_book(), ASKER, Action.READ, found, NOW) == expected


def test_what_was_accepted_and_is_withdrawn_or_erased_opens_nothing() -> None:
    assert isinstance(ASKER, CertificateBody)
    book = make_book()
    assert book.withdraw(b"c" * 32, ANNA) is Reason.ACCEPTED
    assert judge_access(book, ASKER, Action.READ, placed(ACCESS), NOW) is Denial.WITHDRAWN
    glass = msgspec.structs.replace(ACCESS, purpose=Purpose.EMERGENCY, emergency=Emergency.UNCONSCIOUS)
    assert judge_access(book, ASKER, Action.READ, placed(glass), NOW) == glass
    erased = make_book(ACCESS.record)
    assert [judge_access(erased, ASKER, Action.READ, placed(each), NOW) for each in (ACCESS, glass)] == [
        Denial.ERASED
    ] * 2


@pytest.mark.parametrize(
    ("access", "found", "expected"),
    [
        (ACCESS, placed(RECORD), RECORD),
        (ACCESS, None, Denial.UNKNOWN_RECORD),
        (ACCESS, placed(ACCESS), Denial.UNKNOWN_RECORD),
        (ACCESS, placed(RECORD, reason=Reason.CONTRACT), Denial.UNKNOWN_RECORD),
        (ACCESS, placed(msgspec.structs.replace(RECORD, size_bytes=1)), Denial.OTHER_RECORD),
        (msgspec.structs.replace(ACCESS, pseudonym=BERT), placed(RECORD), Denial.OTHER_RECORD),
        (msgspec.structs.replace(ACCESS, kind=4), placed(RECORD), Denial.OTHER_RECORD),
        (msgspec.structs.replace(ACCESS, record=ANNA), placed(RECORD), Denial.OTHER_RECORD),
    ],
)
def test_an_access_opens_the_record_that_it_names_in_every_respect(
    access: Access, found: Placed | None, expected: object
) -> None:
    assert judge_release(AUTHOR, access, found) == expected


# -- links -----------------------------------------------------------------------------------------------------------

LINK = LinkBody(
    CHAIN, "contributor-0", "person-doctor", Purpose.TREATMENT, b"r" * 32, "/r/1", b"d" * 32, NOW + 1, b"n" * 16
)
SECRET = b"s" * 32


def use(
    signer: Crypto = DOCTOR, secret: bytes = SECRET, now: int = NOW, used: tuple[bytes, ...] = (), **more: Any
) -> Denial:
    link = make_link(secret, msgspec.structs.replace(LINK, **more))
    return judge_link(AUTHOR, REGISTRY, SECRET, LinkUse(link, signer.sign(LinkUseBody(link))), used, now)


def test_a_link_is_the_custodians_in_time_unused_and_its_persons() -> None:
    assert use() is Denial.NONE
    assert use(secret=KEY) is Denial.FORGED_LINK
    assert use(now=NOW + 1) is Denial.EXPIRED_LINK
    assert use(signer=THIEF) is Denial.OTHER_PERSON
    assert use(person="person-thief") is Denial.OTHER_PERSON
    assert use(person="person-late", signer=THIEF) is Denial.NO_CERTIFICATE
    assert use(used=(b"n" * 16,)) is Denial.USED_LINK


CHANGES: dict[str, Any] = {
    "chain": KEY,
    "custodian": "contributor-1",
    "person": "person-thief",
    "purpose": Purpose.RESEARCH,
    "record": KEY,
    "location": "/r/2",
    "digest": KEY,
    "expires_at": NOW + 2,
    "nonce": b"m" * 16,
}


@pytest.mark.parametrize("field", LinkBody.__struct_fields__)
def test_no_field_of_a_link_can_be_changed(field: str) -> None:
    link = make_link(SECRET, LINK)
    changed = msgspec.structs.replace(link, body=msgspec.structs.replace(LINK, **{field: CHANGES[field]}))
    for signer in (DOCTOR, THIEF):
        shown = LinkUse(changed, signer.sign(LinkUseBody(changed)))
        assert judge_link(AUTHOR, REGISTRY, SECRET, shown, (), NOW) is Denial.FORGED_LINK
    bent = msgspec.structs.replace(link, mac=bytes(31) + b"\x01")
    assert judge_link(AUTHOR, REGISTRY, SECRET, LinkUse(bent, bytes(64)), (), NOW) is Denial.FORGED_LINK


def test_a_verdict_depends_on_what_the_ledger_says_alone() -> None:
    """The same in, the same out: nothing is remembered between two judgements."""
    assert isinstance(ASKER, CertificateBody)
    for _ in range(3):
        assert judge_access(make_book(), ASKER, Action.READ, placed(ACCESS), NOW) == ACCESS
        assert judge_access(make_book(), ASKER, Action.READ, replace(placed(ACCESS), reason=Reason.DENIED), NOW) is (
            Denial.DENIED_ACCESS
        )
