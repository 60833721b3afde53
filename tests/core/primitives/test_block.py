"""The paper's cutting rule (section 3): 15 transactions, 30,720 bytes or 6 minutes, whichever comes first."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ehrcore.block import HEADER_BYTES, BatchCutter, EndorsementBody, genesis_hash
from ehrcore.crypto import Crypto
from ehrcore.hashing import find_suite
from ehrcore.identity import Reason
from ehrcore.params import ChainParams, Limits, Topology
from ehrcore.signing import find_scheme
from ehrcore.types import MINUTE

PAPER = Limits()
#: Bytes that the paper's limit leaves for transactions.
ROOM = 30_720 - HEADER_BYTES
SIZES = st.lists(st.integers(1, 40_000) | st.integers(1_500, 2_500), max_size=40)


def test_the_default_limits_are_the_papers() -> None:
    assert (PAPER.max_transactions, PAPER.max_block_bytes, PAPER.max_wait_ns) == (15, 30 * 1024, 360 * 1_000_000_000)


@pytest.mark.parametrize(("count", "is_full"), [(0, False), (1, False), (14, False), (15, True), (16, True)])
def test_15_transactions_fill_a_block(count: int, is_full: bool) -> None:
    assert BatchCutter(PAPER).is_full(count, count) == is_full


@pytest.mark.parametrize(("total", "is_full"), [(ROOM - 1, False), (ROOM, False), (ROOM + 1, True)])
def test_one_byte_more_than_30720_is_one_too_many(total: int, is_full: bool) -> None:
    assert BatchCutter(PAPER).is_full(2, total) == is_full


@pytest.mark.parametrize("oldest", [0, 1, 7 * MINUTE])
def test_a_transaction_waits_6_minutes_and_not_one_nanosecond_less(oldest: int) -> None:
    cutter = BatchCutter(PAPER)
    assert not cutter.is_due(oldest, oldest)
    assert not cutter.is_due(oldest, oldest + 6 * MINUTE - 1)
    assert cutter.is_due(oldest, oldest + 6 * MINUTE)
    assert cutter.is_due(oldest, oldest + 6 * MINUTE + 1)


@pytest.mark.parametrize(("size", "fits"), [(1, True), (ROOM - 1, True), (ROOM, True), (ROOM + 1, False)])
def test_a_transaction_fits_up_to_the_last_byte(size: int, fits: bool) -> None:
    assert BatchCutter(PAPER).fits(size) == fits
    assert BatchCutter(PAPER).take([size]) == fits


@pytest.mark.parametrize(
    ("sizes", "taken"),
    [
        pytest.param([], 0, id="nothing"),
        pytest.param([1] * 14, 14, id="14"),
        pytest.param([1] * 15, 15, id="15"),
        pytest.param([1] * 16, 15, id="16"),
        pytest.param([ROOM - 100, 100], 2, id="exactly-30720-bytes"),
        pytest.param([ROOM - 100, 101], 1, id="one-byte-more"),
        pytest.param([ROOM + 1, 1], 0, id="first-too-large"),
        pytest.param([2_013] * 15, 15, id="15-of-2013-bytes"),
        pytest.param([2_014] * 15, 14, id="15-of-2014-bytes"),
        pytest.param([10, ROOM, 10], 1, id="order-is-kept"),
    ],
)
def test_take(sizes: list[int], taken: int) -> None:
    assert BatchCutter(PAPER).take(sizes) == taken


@given(SIZES, st.integers(1, 30), st.integers(1_024, 60_000))
def test_take_never_exceeds_a_limit_and_leaves_nothing_that_fits(sizes: list[int], most: int, room: int) -> None:
    limits = Limits(most, room)
    count = BatchCutter(limits).take(sizes)
    used = HEADER_BYTES + sum(sizes[:count])
    assert 0 <= count <= min(most, len(sizes))
    assert count == 0 or used <= room
    assert count in {most, len(sizes)} or used + sizes[count] > room


@given(SIZES)
def test_a_full_pool_always_yields_a_block_if_each_fits(sizes: list[int]) -> None:
    cutter = BatchCutter(PAPER)
    waiting = [size for size in sizes if cutter.fits(size)]
    if waiting:
        assert cutter.take(waiting) >= 1
    if cutter.is_full(len(waiting), sum(waiting)):
        assert waiting
        assert cutter.take(waiting) == 15 or HEADER_BYTES + sum(waiting) > 30_720


def test_the_flag_is_the_papers_letter() -> None:
    flags = {reason: EndorsementBody(bytes(32), bytes(32), "agent-0", reason).flag for reason in Reason}
    assert flags.pop(Reason.ACCEPTED) == "A"
    assert set(flags.values()) == {"R"}


PARAMS = ChainParams("net", Topology(3, 3, 4, 2), 2, 2)
CHANGES = {
    "name": "other",
    "topology": Topology(3, 3, 5, 2),
    "endorsements": 3,
    "approvals": 3,
    "hash_suite": "sha3-256",
    "curve": "secp256k1",
    "is_modelled": True,
    "consensus": "pow",
    "dissemination": "tree",
    "fanout": 3,
    "limits": Limits(16),
    "stake": msgspec.structs.replace(PARAMS.stake, vote_timeout_ns=5),
    "work": msgspec.structs.replace(PARAMS.work, difficulty=5),
    "authority_key": b"key",
    "genesis_time": 1,
}


def test_every_parameter_has_a_change_to_test_with() -> None:
    assert set(CHANGES) == set(ChainParams.__struct_fields__)


@pytest.mark.parametrize("field", CHANGES)
def test_the_chains_id_covers_every_parameter(field: str) -> None:
    crypto = Crypto(find_suite("sha256"), find_scheme("p256/cryptography"))
    changed = msgspec.structs.replace(PARAMS, **{field: CHANGES[field]})
    assert genesis_hash(crypto, changed, ()) != genesis_hash(crypto, PARAMS, ())
