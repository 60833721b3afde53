"""One byte form per value: what is decoded is exactly what would be encoded, and all else is refused."""

import tracemalloc
import types
import typing
from enum import Enum
from functools import cache
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ehrcore import agreements, block, clauses, consent, identity, ledger, messages, params
from ehrcore.agreements import Terms
from ehrcore.block import HEADER_BYTES, Attestation, Block, Header, Revocation
from ehrcore.clauses import And, Clause, Compare, Expression, Match, Not, Or
from ehrcore.codec import MAX_MESSAGE_BYTES, decode, encode
from ehrcore.errors import CodecError
from ehrcore.messages import Message, Propose, ReceiptEntry, Submit, Vote
from ehrcore.params import ChainParams, ConsensusRule, Topology

MODULES = (agreements, block, clauses, consent, identity, ledger, messages, params)
STRUCTS = sorted(
    {
        kind
        for module in MODULES
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__struct_config__.array_like
    },
    key=lambda kind: kind.__name__,
)
MESSAGES = typing.get_args(Message)
NODE_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-"
INT_MIN, INT_MAX = -(1 << 63), (1 << 64) - 1


# -- every value of every type ---------------------------------------------------------------------------------------


def types_of(kind: type[msgspec.Struct]) -> list[Any]:
    """The types of the fields; a rule is a word, but none that is not a rule's name."""
    known = {(ChainParams, "consensus"): ConsensusRule}
    return [known.get((kind, field.name), field.type) for field in msgspec.structs.fields(kind)]


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """All values that a type admits, as its annotations say."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _constrained(arguments[0], arguments[1])
    if kind == Expression:
        return expressions()
    if origin in {typing.Union, types.UnionType}:
        return st.one_of(*map(values_of, arguments))
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if kind is Topology:
        return st.builds(Topology, *[st.integers(1, INT_MAX)] * 5)
    if kind is Terms:
        return terms()
    if issubclass(kind, msgspec.Struct):
        return st.builds(kind, *map(values_of, types_of(kind)))
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    return {int: st.integers(INT_MIN, INT_MAX), bool: st.booleans(), bytes: st.binary(max_size=64), str: st.text()}[
        kind
    ]


@cache
def expressions() -> st.SearchStrategy[Any]:
    """Expressions of clauses, well within their bounds."""
    leaves = st.one_of(values_of(Match), values_of(Compare))
    return st.recursive(
        leaves,
        lambda parts: st.one_of(
            st.builds(Not, parts), *(st.builds(kind, st.lists(parts, max_size=3).map(tuple)) for kind in (And, Or))
        ),
        max_leaves=4,
    )


@cache
def terms() -> st.SearchStrategy[Terms]:
    """Terms between two, for a period that is not empty."""
    fields = {field.name: values_of(field.type) for field in msgspec.structs.fields(Terms)}
    fields |= {"patient": st.just("person-0"), "provider": st.just("person-1")}
    fields |= {"not_before": st.integers(0, 1 << 62), "not_after": st.integers((1 << 62) + 1, (1 << 63) - 1)}
    return st.builds(Terms, **fields)


def _constrained(kind: Any, meta: msgspec.Meta) -> st.SearchStrategy[Any]:
    if typing.get_origin(kind) is tuple:
        member, least = values_of(typing.get_args(kind)[0]), meta.min_length or 0
        return st.lists(member, min_size=least, max_size=max(least, 3)).map(tuple)
    if kind is int:
        above = meta.le if meta.le is not None else meta.lt - 1 if meta.lt is not None else INT_MAX
        return st.integers(INT_MIN if meta.ge is None else int(meta.ge), int(above))
    least, most = meta.min_length or 0, meta.max_length
    if kind is bytes:
        return st.binary(min_size=least, max_size=most)
    if meta.pattern is None:
        return st.text(min_size=least, max_size=min(most or 64, 64))
    tail = st.text(NODE_ALPHABET, max_size=20)
    return st.builds(str.__add__, st.sampled_from(NODE_ALPHABET[:26]), tail)


def example_of(kind: Any) -> Any:
    """One value of a type, each variable part filled: two members per tuple, the largest numbers of each range."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _largest(arguments[0], arguments[1])
    if origin in {typing.Union, types.UnionType}:
        return example_of(arguments[0])
    if origin is tuple:
        return (example_of(arguments[0]),) * 2
    if kind is Terms:
        return Terms("person-0", "person-1", bytes(32), (example_of(Clause),) * 2, 0, 300, bytes(16))
    if issubclass(kind, msgspec.Struct):
        return kind(*map(example_of, types_of(kind)))
    if issubclass(kind, Enum):
        return list(kind)[-1]
    return {int: 300, bool: True, bytes: b"\x00bytes\xff", str: "text é"}[kind]


def _largest(kind: Any, meta: msgspec.Meta) -> Any:
    if typing.get_origin(kind) is tuple:
        return example_of(kind)
    if kind is int:
        return meta.le if meta.le is not None else (meta.lt or 2) - 1
    size = meta.max_length or 40
    if kind is bytes:
        return bytes(range(256))[:size]
    return "a" * min(size, 64)


SLOW_DATA = settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def named(kinds: typing.Iterable[type]) -> list[Any]:
    return [pytest.param(kind, id=kind.__name__) for kind in kinds]


def test_every_message_class_is_among_those_tested() -> None:
    assert set(MESSAGES) <= set(STRUCTS)
    assert len(MESSAGES) == 16


@pytest.mark.parametrize("kind", named(STRUCTS))
@SLOW_DATA
@given(data=st.data())
def test_a_value_survives_its_bytes(kind: type, data: st.DataObject) -> None:
    value = data.draw(values_of(kind))
    assert decode(encode(value), kind) == value


@pytest.mark.parametrize("kind", named(MESSAGES))
@SLOW_DATA
@given(data=st.data())
def test_a_message_decodes_as_its_own_class_among_all(kind: type, data: st.DataObject) -> None:
    value = data.draw(values_of(kind))
    found: object = decode(encode(value), Message)  # type: ignore[arg-type]
    assert type(found) is kind
    assert found == value


@pytest.mark.parametrize("kind", named(STRUCTS))
@settings(SLOW_DATA, max_examples=5)
@given(data=st.data())
def test_two_values_never_share_their_bytes(kind: type, data: st.DataObject) -> None:
    first, second = data.draw(values_of(kind)), data.draw(values_of(kind))
    assert (encode(first) == encode(second)) == (first == second)


# -- mutations of canonical bytes ------------------------------------------------------------------------------------


def assert_refused_or_another(kind: Any, value: Any, mutant: bytes) -> None:
    """Either no value at all, or another value whose canonical form these bytes are."""
    try:
        found = decode(mutant, kind)
    except CodecError:
        return
    assert found != value
    assert encode(found) == mutant


@pytest.mark.parametrize("kind", named(STRUCTS))
def test_every_truncation_is_refused(kind: type) -> None:
    data = encode(example_of(kind))
    for size in range(len(data)):
        with pytest.raises(CodecError):
            decode(data[:size], kind)


@pytest.mark.parametrize("kind", named(STRUCTS))
def test_every_extra_byte_is_refused(kind: type) -> None:
    data = encode(example_of(kind))
    for extra in range(256):
        with pytest.raises(CodecError):
            decode(data + bytes([extra]), kind)


@pytest.mark.parametrize("kind", named((Vote, Header, Revocation, Attestation)))
def test_every_single_byte_mutation_is_refused_or_another_value(kind: type) -> None:
    value = example_of(kind)
    data = bytearray(encode(value))
    for index, old in enumerate(data):
        for new in range(256):
            if new != old:
                data[index] = new
                assert_refused_or_another(kind, value, bytes(data))
        data[index] = old


@pytest.mark.long
@pytest.mark.parametrize("kind", named(STRUCTS))
def test_every_single_byte_mutation_of_every_struct_is_refused_or_another_value(kind: type) -> None:
    test_every_single_byte_mutation_is_refused_or_another_value(kind)


@pytest.mark.parametrize("kind", named(MESSAGES))
@SLOW_DATA
@given(data=st.data())
def test_a_changed_byte_of_any_message_is_refused_or_another_value(kind: type, data: st.DataObject) -> None:
    value = data.draw(values_of(kind))
    mutant = bytearray(encode(value))
    index = data.draw(st.integers(0, len(mutant) - 1))
    mutant[index] ^= data.draw(st.integers(1, 255))
    assert_refused_or_another(Message, value, bytes(mutant))


@pytest.mark.parametrize("kind", named(MESSAGES))
@SLOW_DATA
@given(data=st.data())
def test_an_inserted_or_deleted_byte_is_refused_or_another_value(kind: type, data: st.DataObject) -> None:
    value = data.draw(values_of(kind))
    whole = encode(value)
    index = data.draw(st.integers(0, len(whole) - 1))
    inserted = whole[:index] + bytes([data.draw(st.integers(0, 255))]) + whole[index:]
    if inserted != whole:
        assert_refused_or_another(Message, value, inserted)
    assert_refused_or_another(Message, value, whole[:index] + whole[index + 1 :])


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_or_canonical(data: bytes) -> None:
    assert_refused_or_another(Message, None, data)


# -- other spellings of one value ------------------------------------------------------------------------------------

TAG = b"\xa6revoke"
CANONICAL = b"\x92" + TAG + b"\x05"


class Single(msgspec.Struct, frozen=True, array_like=True, tag="revoke"):
    """One number, so that each spelling below is wrong in one way alone."""

    serial: Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]


def test_the_canonical_form_is_an_array_of_tag_and_fields() -> None:
    assert encode(Single(5)) == CANONICAL
    assert decode(CANONICAL, Single) == Single(5)


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(b"\x92" + TAG + b"\xcc\x05", id="uint8"),
        pytest.param(b"\x92" + TAG + b"\xcd\x00\x05", id="uint16"),
        pytest.param(b"\x92" + TAG + b"\xce\x00\x00\x00\x05", id="uint32"),
        pytest.param(b"\x92" + TAG + b"\xcf" + bytes(7) + b"\x05", id="uint64"),
        pytest.param(b"\x92" + TAG + b"\xd0\x05", id="int8"),
        pytest.param(b"\x92" + TAG + b"\xd1\x00\x05", id="int16"),
        pytest.param(b"\x92" + TAG + b"\xd2\x00\x00\x00\x05", id="int32"),
        pytest.param(b"\x92" + TAG + b"\xd3" + bytes(7) + b"\x05", id="int64"),
        pytest.param(b"\x92" + TAG + b"\xca\x40\xa0\x00\x00", id="float32-for-int"),
        pytest.param(b"\x92" + TAG + b"\xcb\x40\x14" + bytes(6), id="float64-for-int"),
        pytest.param(b"\x92" + TAG + b"\xa15", id="str-for-int"),
        pytest.param(b"\x92" + TAG + b"\xc4\x01\x05", id="bin-for-int"),
        pytest.param(b"\x92" + TAG + b"\xc3", id="true-for-int"),
        pytest.param(b"\x92" + TAG + b"\xc0", id="nil-for-int"),
        pytest.param(b"\x92" + TAG + b"\xd4\x01\x05", id="extension-for-int"),
        pytest.param(b"\x92" + TAG + b"\x91\x05", id="array-for-int"),
        pytest.param(b"\xdc\x00\x02" + TAG + b"\x05", id="array16"),
        pytest.param(b"\xdd\x00\x00\x00\x02" + TAG + b"\x05", id="array32"),
        pytest.param(b"\x92\xd9\x06revoke\x05", id="tag-as-str8"),
        pytest.param(b"\x92\xda\x00\x06revoke\x05", id="tag-as-str16"),
        pytest.param(b"\x92\xdb\x00\x00\x00\x06revoke\x05", id="tag-as-str32"),
        pytest.param(b"\x92\xc4\x06revoke\x05", id="tag-as-bin"),
        pytest.param(b"\x82\xa4type" + TAG + b"\xa6serial\x05", id="map-for-array"),
        pytest.param(b"\x81" + TAG + b"\x05", id="map-of-one-pair"),
        pytest.param(b"\x93" + TAG + b"\x05\xc0", id="trailing-nil"),
        pytest.param(b"\x93" + TAG + b"\x05\x05", id="trailing-element"),
        pytest.param(b"\x91" + TAG, id="missing-field"),
        pytest.param(b"\x90", id="empty-array"),
        pytest.param(b"\x91\x05", id="missing-tag"),
        pytest.param(b"\x92\xa5enrol\x05", id="tag-of-another-class"),
        pytest.param(b"\x92\xa6Revoke\x05", id="unknown-tag"),
        pytest.param(b"\x92" + TAG + b"\x00", id="number-below-range"),
        pytest.param(b"\x92" + TAG + b"\xff", id="negative-number"),
        pytest.param(b"\x92" + TAG + b"\xcf\x00\x20" + bytes(6), id="number-above-range"),
        pytest.param(CANONICAL + b"\xc0", id="extra-byte"),
        pytest.param(CANONICAL * 2, id="message-twice"),
        pytest.param(b"\xc1", id="reserved-byte"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_another_spelling_is_refused(spelling: bytes) -> None:
    with pytest.raises(CodecError, match="^Single: expected"):
        decode(spelling, Single)


NODE, SIGNATURE = b"\xa7agent-0", b"\xc4\x40" + b"s" * 64


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(b"\x92\xc4\x07agent-0" + SIGNATURE, id="bin-for-str"),
        pytest.param(b"\x92\xd9\x07agent-0" + SIGNATURE, id="str8-for-fixstr"),
        pytest.param(b"\x92" + NODE + b"\xd9\x40" + b"s" * 64, id="str-for-bin"),
        pytest.param(b"\x92" + NODE + b"\xc5\x00\x40" + b"s" * 64, id="bin16-for-bin8"),
        pytest.param(b"\x92" + NODE + b"\xc6\x00\x00\x00\x40" + b"s" * 64, id="bin32-for-bin8"),
        pytest.param(b"\x92" + NODE + b"\xdc\x00\x40" + b"s" * 64, id="array-for-bin"),
        pytest.param(b"\x92" + NODE + b"\xc4\x3f" + b"s" * 63, id="signature-one-byte-short"),
        pytest.param(b"\x92" + NODE + b"\xc4\x41" + b"s" * 65, id="signature-one-byte-long"),
        pytest.param(b"\x92\xa8agent-0\n" + SIGNATURE, id="node-with-newline"),
        pytest.param(b"\x92\xa7Agent-0" + SIGNATURE, id="node-with-capital"),
        pytest.param(b"\x92\xa70-agent" + SIGNATURE, id="node-that-starts-with-a-digit"),
        pytest.param(b"\x92\xa8agent-\xc2\xb2" + SIGNATURE, id="node-with-superscript-digit"),
        pytest.param(b"\x92\xa7agent-\xff" + SIGNATURE, id="node-not-utf-8"),
        pytest.param(b"\x92\xa0" + SIGNATURE, id="node-empty"),
        pytest.param(b"\x92\xd9\x41" + b"a" * 65 + SIGNATURE, id="node-of-65-characters"),
        pytest.param(b"\x82\xa4node" + NODE + b"\xa9signature" + SIGNATURE, id="map-for-array"),
    ],
)
def test_another_spelling_of_an_attestation_is_refused(spelling: bytes) -> None:
    assert decode(b"\x92" + NODE + SIGNATURE, Attestation) == Attestation("agent-0", b"s" * 64)
    with pytest.raises(CodecError, match="^Attestation: expected"):
        decode(spelling, Attestation)


def test_a_constructor_that_refuses_is_a_codec_error() -> None:
    with pytest.raises(CodecError, match="agents: expected at least 1, found 0"):
        decode(encode((0, 1, 1, 1, 1)), Topology)


# -- hostile sizes ---------------------------------------------------------------------------------------------------


def entry_of_size(size_bytes: int) -> bytes:
    empty = encode(ReceiptEntry(bytes(1 << 16), 0, (), identity.Reason.ACCEPTED))
    return encode(ReceiptEntry(bytes((1 << 16) + size_bytes - len(empty)), 0, (), identity.Reason.ACCEPTED))


def test_the_longest_message_is_decoded() -> None:
    data = entry_of_size(MAX_MESSAGE_BYTES)
    assert len(data) == MAX_MESSAGE_BYTES
    assert encode(decode(data, ReceiptEntry)) == data


def test_one_byte_more_than_the_longest_message_is_refused() -> None:
    data = entry_of_size(MAX_MESSAGE_BYTES + 1)
    with pytest.raises(CodecError, match=f"at most {MAX_MESSAGE_BYTES} bytes, found {MAX_MESSAGE_BYTES + 1}"):
        decode(data, ReceiptEntry)


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\x01", b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01"])
def test_deep_nesting_is_refused(opening: bytes) -> None:
    with pytest.raises(CodecError):
        decode(opening * (MAX_MESSAGE_BYTES // len(opening)), Message)  # type: ignore[arg-type]


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\x01", b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01"])
def test_deep_nesting_in_a_trailing_element_is_refused(opening: bytes) -> None:
    """The decoder skips elements that no field asks for, and must not run out of stack doing so."""
    data = b"\x93" + TAG + b"\x05" + opening * (MAX_MESSAGE_BYTES // 8)
    with pytest.raises(CodecError):
        decode(data, Single)


@pytest.mark.parametrize("header", [b"\xdd\xff\xff\xff\xff", b"\xdd\x0f\xff\xff\xff", b"\xdc\xff\xff"])
def test_an_announced_length_allocates_nothing(header: bytes) -> None:
    data = encode(Block(example_of(Header), ()))
    assert data.endswith(b"\x90")
    tracemalloc.start()
    try:
        with pytest.raises(CodecError):
            decode(data[:-1] + header, Block)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


# -- sizes that the chain relies on ----------------------------------------------------------------------------------


def test_the_longest_header_fits_the_room_kept_for_it() -> None:
    assert len(encode(example_of(Header))) <= HEADER_BYTES


@settings(max_examples=20)
@given(values_of(Header))
def test_a_block_is_no_longer_than_its_leaves_and_the_room_for_a_header(header: Header) -> None:
    transaction = example_of(block.EndorsedTransaction)
    for count in (0, 1, 15, 16, 300):
        whole = Block(header, (transaction,) * count)
        assert len(encode(whole)) <= HEADER_BYTES + count * len(encode(transaction))


def test_a_union_names_itself_in_errors() -> None:
    with pytest.raises(CodecError, match="^message: expected canonical bytes, found 1 bytes"):
        decode(b"\x90", Message)  # type: ignore[arg-type]


def test_a_message_of_one_class_is_not_decoded_as_another() -> None:
    with pytest.raises(CodecError):
        decode(encode(example_of(Submit)), Propose)
