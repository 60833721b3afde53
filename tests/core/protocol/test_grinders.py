"""The searches for a nonce against each other: whichever a host chooses, it finds the same."""

import sys
from importlib.util import find_spec

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ehrcore.block import Header
from ehrcore.codec import encode
from ehrcore.consensus.work import grind
from ehrcore.drive.grinders import find_grinder
from ehrcore.drive.sim import SimSetup
from ehrcore.errors import ParameterError
from ehrcore.hashing import find_suite
from ehrcore.params import ConsensusRule, WorkRule
from tests.core.protocol.conftest import Run, make_params

SHA256 = find_suite("sha256")
needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="the optional package 'numba' is not installed")
digests = st.binary(min_size=32, max_size=32)
headers = st.builds(
    Header,
    chain=digests,
    height=st.integers(0, (1 << 53) - 1),
    previous=digests,
    merkle_root=digests,
    size=st.integers(0, 65_535),
    timestamp=st.integers(0, 1 << 62),
    # Its length puts the nonce anywhere within the last two blocks.
    proposer=st.integers(1, 64).map("a".__mul__),
    validators=digests,
    next_validators=digests,
    difficulty=st.integers(1, 600) | st.sampled_from([1 << 20, 1 << 40, (1 << 62) - 1]),
    nonce=st.binary(min_size=8, max_size=8),
)
#: Ranges that end before the nonces do, some of them over a boundary of 2^32.
starts = st.integers(0, (1 << 64) - 3_000) | st.sampled_from([0, (1 << 32) - 100, (1 << 64) - 3_000])


@needs_numba
@pytest.mark.long  # its first case compiles the search
@settings(max_examples=300, deadline=None)
@given(header=headers, start=starts, count=st.integers(0, 3_000))
def test_numba_finds_the_first_nonce_as_hashlib_does(header: Header, start: int, count: int) -> None:
    found = find_grinder("numba", SHA256)(SHA256, header, start, count)
    assert found == grind(SHA256, header, start, count)


@needs_numba
@pytest.mark.long
@pytest.mark.parametrize("length", range(1, 65))
def test_numba_at_every_place_of_the_nonce_in_a_block(length: int) -> None:
    digest = bytes(32)
    header = Header(digest, 1, digest, digest, 0, 0, "a" * length, digest, digest, 300, bytes(8))
    lanes = find_grinder("numba", SHA256)
    first = lanes(SHA256, header, 0, 20_000)
    assert first == grind(SHA256, header, 0, 20_000) is not None
    number = int.from_bytes(first)
    assert lanes(SHA256, header, 0, number) is None
    assert lanes(SHA256, header, number, 1) == first


@needs_numba
@pytest.mark.long
def test_numba_lets_the_other_words_decide_where_the_first_one_is_the_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lanes see one word of eight; with difficulty 3 the boundary is met by no nonce in reach, so it is planted."""
    from ehrcore.drive import lanes

    digest = bytes(32)
    header = Header(digest, 1, digest, digest, 0, 0, "a", digest, digest, 1, bytes(8))
    hashes = [SHA256.hash(encode(msgspec.structs.replace(header, nonce=number.to_bytes(8)))) for number in range(600)]
    bound = int.from_bytes(min(hashes[:300]))
    # At the smallest hash itself: its first word is the target's, the rest says that it is not below.
    monkeypatch.setattr(lanes, "target", lambda *_: bound)
    assert lanes.grind_lanes(SHA256, header, 0, 300) is None
    monkeypatch.setattr(lanes, "target", lambda *_: bound + 1)
    assert int.from_bytes(lanes.grind_lanes(SHA256, header, 0, 300)) == hashes.index(bound.to_bytes(32))


@needs_numba
@pytest.mark.long
def test_a_simulation_has_one_trace_whatever_its_grinder() -> None:
    work = WorkRule(difficulty=1 << 11, confirmations=2)
    params = make_params(
        (1, 1, 2, 1), endorsements=1, approvals=1, consensus=ConsensusRule.PROOF_OF_WORK, work=work, is_modelled=False
    )
    traces = [Run(params, grinder=grinder).submit(20).run().sim.trace_digest() for grinder in ("hashlib", "numba")]
    assert traces[0] == traces[1]


def test_hashlib_is_always_there_and_the_default() -> None:
    assert find_grinder("hashlib", find_suite("md5")) is grind
    assert SimSetup.__dataclass_fields__["grinder"].default == "hashlib"


def test_a_grinder_that_does_not_exist_or_fit_is_refused_in_one_line() -> None:
    with pytest.raises(ParameterError, match="^grinder: expected hashlib or numba, found 'abacus'$"):
        find_grinder("abacus", SHA256)
    with pytest.raises(ParameterError, match="^grinder numba: expected hash suite sha256, found md5$"):
        find_grinder("numba", find_suite("md5"))


def test_without_numba_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "ehrcore.drive.lanes", raising=False)
    monkeypatch.delattr("ehrcore.drive.lanes", raising=False)
    with pytest.raises(ParameterError, match="^grinder numba: the optional package 'numba' is not installed$"):
        find_grinder("numba", SHA256)
