"""Who may do what to whose records: the fast book and the rules against definitions that enumerate everything."""

from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore.consent import (
    MOST_CONSENTS,
    MOST_IN_FORCE,
    Access,
    Action,
    Consent,
    ConsentBook,
    Decision,
    Emergency,
    Erasure,
    Provision,
    Purpose,
    Rule,
    Withdrawal,
    check_form,
    decide,
)
from ehrcore.identity import FOREVER, Capacity, CertificateBody, Reason
from ehrcore.types import Role

PATIENTS = [bytes([number]) * 32 for number in range(1, 4)]
SUBJECTS, ORGANISATIONS = ("person-a", "person-b"), ("mercy", "unity")
KINDS, TIMES = (1, 2, 3), range(5)


def provision(*, is_permit: bool = True, **fields: Any) -> Provision:
    whole: dict[str, Any] = {
        "subjects": (), "organisations": (), "kinds": (), "actions": (), "purposes": (), "not_before": 0,
        "not_after": FOREVER,
    }  # fmt: skip
    return Provision(is_permit=is_permit, **(whole | fields))


def consent(*provisions: Provision, pseudonym: bytes = PATIENTS[0]) -> Consent:
    return Consent(pseudonym, provisions or (provision(),))


def holder(capacity: Capacity = Capacity.PRACTITIONER, subject: str = "person-a", **fields: Any) -> CertificateBody:
    body = CertificateBody("net", 1, subject, Role.VISITOR, bytes(33), (1,), 0, 0, FOREVER, "mercy", capacity)
    return msgspec.structs.replace(body, **fields)


def ask(book: ConsentBook, who: CertificateBody | None = None, **fields: Any) -> Decision:
    given_: dict[str, Any] = {
        "pseudonym": PATIENTS[0], "kind": 1, "action": Action.READ, "purpose": Purpose.TREATMENT,
        "emergency": Emergency.NONE, "now": 10,
    }  # fmt: skip
    return decide(book, who or holder(), **(given_ | fields))


def book_of(*consents: Consent) -> ConsentBook:
    book = ConsentBook()
    for number, item in enumerate(consents):
        assert book.put(b"%d" % number, item, 0) is Reason.ACCEPTED
    return book


# -- the definition: every provision as the set of all that it is about ----------------------------------------------


def atoms(given_: Provision) -> set[tuple[Any, ...]]:
    """All (subject, organisation, kind, action, purpose, time) that it is about; kind 0 is all kinds at once."""
    who = [
        (subject, organisation)
        for subject, organisation in product(SUBJECTS, ORGANISATIONS)
        if not (given_.subjects + given_.organisations)
        or subject in given_.subjects
        or organisation in given_.organisations
    ]
    kinds = set(given_.kinds) or {0, *KINDS}
    kinds |= set() if given_.is_permit else {0}
    purposes: set[Any] = set(given_.purposes) or {None, *Purpose}
    times = [time for time in TIMES if given_.not_before <= time < given_.not_after]
    found = product(who, kinds, set(given_.actions) or set(Action), purposes, times)
    return {(*pair, kind, action, purpose, time) for pair, kind, action, purpose, time in found}


def define(consents: list[Consent], who: CertificateBody, asked: tuple[Any, ...]) -> Reason:
    """The defaults and their order, on sets."""
    pseudonym, kind, action, purpose, emergency, now = asked
    atom = (who.subject, who.organisation, kind, action, purpose, now)
    of_patient = [given_ for item in consents if item.pseudonym == pseudonym for given_ in item.provisions]
    is_denied = any(atom in atoms(given_) for given_ in of_patient if not given_.is_permit)
    is_permitted = any(atom in atoms(given_) for given_ in of_patient if given_.is_permit)
    is_own = who.capacity is Capacity.PATIENT and who.pseudonym == pseudonym
    breaks_glass = bool(emergency) and who.capacity is Capacity.PRACTITIONER
    if is_own or breaks_glass:
        return Reason.ACCEPTED
    if is_denied:
        return Reason.DENIED
    return Reason.ACCEPTED if is_permitted or action is Action.WRITE else Reason.NO_CONSENT


def some(values: Any, most: int = 2) -> st.SearchStrategy[Any]:
    return st.lists(st.sampled_from(list(values)), max_size=most, unique=True).map(tuple)


PROVISIONS = st.builds(
    Provision,
    is_permit=st.booleans(),
    subjects=some(SUBJECTS, 1),
    organisations=some(ORGANISATIONS, 1),
    kinds=some(KINDS),
    actions=some(Action),
    purposes=some([Purpose.TREATMENT, Purpose.RESEARCH]),
    not_before=st.sampled_from([0, 0, 1, 2]),
    not_after=st.sampled_from([1, 3, 4, 9, 9]),
)
CONSENTS = st.builds(Consent, st.sampled_from(PATIENTS[:2]), st.lists(PROVISIONS, min_size=1, max_size=3).map(tuple))
HOLDERS = st.builds(
    holder,
    st.sampled_from(list(Capacity)),
    st.sampled_from(SUBJECTS),
    organisation=st.sampled_from(ORGANISATIONS),
    pseudonym=st.sampled_from([b"", *PATIENTS[:2]]),
)
ASKED = st.tuples(
    st.sampled_from(PATIENTS[:2]),
    st.sampled_from([0, *KINDS]),
    st.sampled_from(list(Action)),
    st.sampled_from([None, Purpose.TREATMENT, Purpose.RESEARCH, Purpose.EMERGENCY]),
    st.sampled_from([Emergency.NONE, Emergency.NONE, Emergency.UNCONSCIOUS]),
    st.sampled_from(list(TIMES)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(CONSENTS, max_size=4), HOLDERS, ASKED)
def test_a_decision_is_that_of_the_definition(consents: list[Consent], who: CertificateBody, asked: Any) -> None:
    decision = decide(book_of(*consents), who, *asked)
    assert decision.reason is define(consents, who, asked)
    if decision.consent:  # by the consent that says so
        of_it = consents[int(decision.consent)]
        wanted = decision.rule is Rule.PERMISSION
        atom = (who.subject, who.organisation, *asked[1:4], asked[5])
        assert any(atom in atoms(item) for item in of_it.provisions if item.is_permit is wanted)
    assert bool(decision.consent) == (decision.rule in {Rule.PERMISSION, Rule.DENIAL})


@pytest.mark.parametrize(
    ("provisions", "fields", "expected"),
    [
        ((), {}, Decision(Reason.NO_CONSENT, Rule.DEFAULT)),
        ((), {"action": Action.WRITE, "purpose": None}, Decision(Reason.ACCEPTED, Rule.DEFAULT)),
        ((provision(),), {}, Decision(Reason.ACCEPTED, Rule.PERMISSION, b"0")),
        ((provision(), provision(is_permit=False)), {}, Decision(Reason.DENIED, Rule.DENIAL, b"0")),
        ((provision(is_permit=False, actions=(Action.WRITE,)),), {"action": Action.WRITE, "purpose": None},
         Decision(Reason.DENIED, Rule.DENIAL, b"0")),
        ((provision(is_permit=False, purposes=(Purpose.RESEARCH,)),), {"action": Action.WRITE, "purpose": None},
         Decision(Reason.ACCEPTED, Rule.DEFAULT)),
        ((provision(not_before=11),), {}, Decision(Reason.NO_CONSENT, Rule.DEFAULT)),
        ((provision(not_before=10, not_after=11),), {}, Decision(Reason.ACCEPTED, Rule.PERMISSION, b"0")),
        ((provision(not_after=10),), {}, Decision(Reason.NO_CONSENT, Rule.DEFAULT)),
        ((provision(kinds=(1, 2)),), {"action": Action.SEARCH, "kind": 0}, Decision(Reason.NO_CONSENT, Rule.DEFAULT)),
        ((provision(is_permit=False),), {"emergency": Emergency.UNCONSCIOUS, "purpose": Purpose.EMERGENCY},
         Decision(Reason.ACCEPTED, Rule.BREAK_GLASS)),
    ],
)  # fmt: skip
def test_decides(provisions: tuple[Provision, ...], fields: dict[str, Any], expected: Decision) -> None:
    book = book_of(consent(*provisions)) if provisions else ConsentBook()
    assert ask(book, **fields) == expected


def test_a_denial_outweighs_a_permission_in_another_consent_whichever_came_first() -> None:
    given_ = [consent(provision(subjects=("person-a",))), consent(provision(is_permit=False, organisations=("mercy",)))]
    assert [ask(book_of(*order)).reason for order in (given_, given_[::-1])] == [Reason.DENIED] * 2


def test_only_a_patient_has_own_records_and_only_a_practitioner_breaks_the_glass() -> None:
    book = book_of(consent(provision(is_permit=False)))
    found = {
        (capacity, emergency): ask(book, holder(capacity, pseudonym=PATIENTS[0]), emergency=emergency).reason
        for capacity in Capacity
        for emergency in (Emergency.NONE, Emergency.LIFE_THREATENED)
    }
    may = {pair for pair, reason in found.items() if not reason}
    own = {(Capacity.PATIENT, emergency) for emergency in (Emergency.NONE, Emergency.LIFE_THREATENED)}
    assert may == own | {(Capacity.PRACTITIONER, Emergency.LIFE_THREATENED)}
    assert not ask(ConsentBook(), holder(Capacity.PATIENT, pseudonym=PATIENTS[0]), kind=7).reason
    assert ask(ConsentBook(), holder(Capacity.PATIENT, pseudonym=PATIENTS[1])).reason is Reason.NO_CONSENT


# -- the book ----------------------------------------------------------------------------------------------------------


class NaiveBook:
    """The consents in force in order, and what is erased; a fork copies all."""

    def __init__(self) -> None:
        self.consents: list[tuple[bytes, Consent]] = []
        self.erased: list[tuple[bytes, bytes]] = []

    def fork(self) -> "NaiveBook":
        twin = NaiveBook()
        twin.consents, twin.erased = list(self.consents), list(self.erased)
        return twin

    def put(self, key: bytes, item: Consent, now: int) -> Reason:
        mine = [pair for pair in self.consents if pair[1].pseudonym == item.pseudonym]
        over = [pair for pair in mine if max(given_.not_after for given_ in pair[1].provisions) <= now]
        kept = [pair[1] for pair in mine if pair not in over]
        if len(kept) >= MOST_CONSENTS or sum(len(given_.provisions) for given_ in [*kept, item]) > MOST_IN_FORCE:
            return Reason.TOO_MANY_CONSENTS
        self.consents = [*(pair for pair in self.consents if pair not in over), (key, item)]
        return Reason.ACCEPTED

    def withdraw(self, key: bytes, pseudonym: bytes | None) -> Reason:
        found = [pair for pair in self.consents if pair[0] == key and pseudonym in (None, pair[1].pseudonym)]
        self.consents = [pair for pair in self.consents if pair not in found]
        return Reason.ACCEPTED if found else Reason.UNKNOWN_CONSENT

    def erase(self, key: bytes, erasure: Erasure) -> Reason:
        pair = erasure.pseudonym, erasure.record
        is_known = pair in self.erased
        self.erased.append(pair)
        return Reason.ERASED if is_known else Reason.ACCEPTED


STEPS = st.one_of(
    st.tuples(st.just("put"), CONSENTS),
    st.tuples(st.just("withdraw"), st.tuples(st.integers(0, 12), st.sampled_from([None, *PATIENTS]))),
    st.tuples(st.just("erase"), st.builds(Erasure, st.sampled_from(PATIENTS), st.sampled_from(PATIENTS))),
    st.tuples(st.sampled_from(["fork", "fork", "keep", "drop"]), st.none()),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_forks_that_are_kept_or_dropped_in_any_order_are_as_copies(steps: list[tuple[str, Any]]) -> None:
    stack: list[tuple[ConsentBook, NaiveBook]] = [(ConsentBook(), NaiveBook())]
    for now, (step, what) in enumerate(steps):
        book, naive = stack[-1]
        key = b"%d" % now
        match step:
            case "put":
                assert book.put(key, what, now // 8) is naive.put(key, what, now // 8)
            case "withdraw":
                assert book.withdraw(b"%d" % what[0], what[1]) is naive.withdraw(b"%d" % what[0], what[1])
            case "erase":
                assert book.erase(key, what) is naive.erase(key, what)
            case "fork":
                stack.append((book.fork(), naive.fork()))
            case _ if len(stack) > 1:
                stack.pop()
                if step == "keep":
                    stack[-1] = book, naive
        book, naive = stack[-1]
        for pseudonym in PATIENTS:
            mine = tuple(pair for pair in naive.consents if pair[1].pseudonym == pseudonym)
            assert book.held.get(pseudonym) == mine
            for record in PATIENTS:
                assert book.is_erased(pseudonym, record) == ((pseudonym, record) in naive.erased)
    for book, naive in stack:  # nothing is left of what is no more
        assert set(book.patients.content()) == {key for key, _ in naive.consents}
        assert set(book.held.content()) == {item.pseudonym for _, item in naive.consents}


def test_a_fork_is_independent() -> None:
    book = book_of(*(consent(pseudonym=number.to_bytes(32)) for number in range(100)))
    fork = book.fork()
    fork.put(b"new", consent(), 0)
    fork.withdraw(b"7", None)
    assert len(book.held.get((7).to_bytes(32))) == 1, "until the fork counts, nothing has happened"
    assert not book.held.get(PATIENTS[0])
    assert len(fork.held.get(PATIENTS[0])) == 1
    assert not fork.held.get((7).to_bytes(32))


def test_a_patient_has_so_many_consents_in_force_and_those_that_are_over_make_room() -> None:
    book = ConsentBook()
    for number in range(MOST_CONSENTS):
        last = 5 if number == 3 else FOREVER
        assert not book.put(b"%d" % number, consent(provision(not_after=last)), 0)
    assert book.put(b"more", consent(), 4) is Reason.TOO_MANY_CONSENTS
    assert not book.put(b"more", consent(pseudonym=PATIENTS[1]), 4), "another patient's do not count"
    assert not book.put(b"room", consent(), 5)
    assert book.withdraw(b"3", None) is Reason.UNKNOWN_CONSENT
    assert book.put(b"more yet", consent(), 5) is Reason.TOO_MANY_CONSENTS
    assert not book.withdraw(b"0", PATIENTS[0])
    assert not book.put(b"more yet", consent(), 5)


def test_the_provisions_in_force_of_one_patient_are_bounded_too() -> None:
    many = consent(*[provision()] * 16)
    book = book_of(*[many] * (MOST_IN_FORCE // 16 - 1), consent(*[provision()] * 15))
    assert book.put(b"two", consent(provision(), provision()), 0) is Reason.TOO_MANY_CONSENTS
    assert not book.put(b"one", consent(), 0)
    assert book.put(b"none", consent(), 0) is Reason.TOO_MANY_CONSENTS


def test_anothers_consent_is_as_unknown_as_none() -> None:
    book = book_of(consent())
    assert book.withdraw(b"0", PATIENTS[1]) is book.withdraw(b"9", PATIENTS[1]) is Reason.UNKNOWN_CONSENT
    assert not book.withdraw(b"0", PATIENTS[0])
    assert book.withdraw(b"0", PATIENTS[0]) is Reason.UNKNOWN_CONSENT


# -- form --------------------------------------------------------------------------------------------------------------

READ = Access(Action.READ, PATIENTS[0], 1, bytes(32), Purpose.TREATMENT)
SEARCH = Access(Action.SEARCH, PATIENTS[0], 0, b"", Purpose.RESEARCH)
FORMS: dict[str, tuple[Any, Reason]] = {
    "a read": (READ, Reason.ACCEPTED),
    "a search of all kinds": (SEARCH, Reason.ACCEPTED),
    "a search of one kind": (msgspec.structs.replace(SEARCH, kind=7), Reason.ACCEPTED),
    "a read of no kind": (msgspec.structs.replace(READ, kind=0), Reason.MALFORMED_ACCESS),
    "a read of nothing": (msgspec.structs.replace(READ, record=b""), Reason.MALFORMED_ACCESS),
    "a read by a short digest": (msgspec.structs.replace(READ, record=bytes(31)), Reason.MALFORMED_ACCESS),
    "a search of a record": (msgspec.structs.replace(SEARCH, record=bytes(32)), Reason.MALFORMED_ACCESS),
    "a write as an access": (msgspec.structs.replace(READ, action=Action.WRITE), Reason.MALFORMED_ACCESS),
    "an emergency for treatment": (
        msgspec.structs.replace(READ, emergency=Emergency.UNCONSCIOUS), Reason.MALFORMED_ACCESS),
    "an emergency without a reason": (
        msgspec.structs.replace(READ, purpose=Purpose.EMERGENCY), Reason.MALFORMED_ACCESS),
    "an emergency": (
        msgspec.structs.replace(READ, purpose=Purpose.EMERGENCY, emergency=Emergency.UNCONSCIOUS), Reason.ACCEPTED),
    "a consent": (consent(), Reason.ACCEPTED),
    "an empty period": (consent(provision(), provision(not_before=5, not_after=5)), Reason.MALFORMED_CONSENT),
    "a period that ends first": (consent(provision(not_before=5, not_after=4)), Reason.MALFORMED_CONSENT),
    "writes for a purpose": (
        consent(provision(actions=(Action.WRITE,), purposes=(Purpose.PAYMENT,))), Reason.MALFORMED_CONSENT),
    "an erasure": (Erasure(PATIENTS[0], bytes(32)), Reason.ACCEPTED),
    "an erasure by a short digest": (Erasure(PATIENTS[0], bytes(16)), Reason.MALFORMED_ACCESS),
    "a withdrawal": (Withdrawal(bytes(32)), Reason.ACCEPTED),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_the_form_of(name: str) -> None:
    payload, expected = FORMS[name]
    assert check_form(payload, 32) is expected


def test_digests_are_as_long_as_the_chains_suite_makes_them() -> None:
    short = msgspec.structs.replace(READ, record=bytes(16))
    assert (check_form(short, 16), check_form(READ, 16)) == (Reason.ACCEPTED, Reason.MALFORMED_ACCESS)
