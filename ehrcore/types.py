"""Identifiers and units.

Every quantity that crosses a function boundary has a type that says its unit; the codec enforces the ranges
given here when it decodes.  Time is virtual or real nanoseconds since the network's epoch, always an integer.
"""

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from ehrcore.errors import ParameterError

#: Nanoseconds since the network's epoch (an instant) or between two instants (a delay).
Nanos = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
#: Position of a block in the chain; the genesis block has height 0.
Height = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
#: Round of agreement within one height, from 0.
Round = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
#: Number of a leader's time in office, from 1; 0 before the first.
Term = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
#: Voting weight of an administrator, in indivisible units.
Stake = Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]
#: Output of a hash suite: 16 (MD5) to 32 bytes.
Digest = Annotated[bytes, msgspec.Meta(min_length=16, max_length=32)]
#: Fixed-length ``r || s``, big-endian, 32 bytes each.
Signature = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
#: Compressed SEC 1 point (or the modelled signer's tagged key of the same length).
PublicKey = Annotated[bytes, msgspec.Meta(min_length=33, max_length=33)]
#: Name of a node: role and index, such as ``agent-0``.
NodeId = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9-]*\Z")]

MICROSECOND: Final = 1_000
MILLISECOND: Final = 1_000_000
SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND


class Role(StrEnum):
    """The five kinds of node (paper section 3), plus the authority that certifies them.

    The paper calls agents "authoritative" and administrators "ordering" nodes in section 4 (E35).
    """

    VISITOR = "visitor"
    AGENT = "agent"
    COORDINATOR = "coordinator"
    ADMINISTRATOR = "administrator"
    CONTRIBUTOR = "contributor"
    AUTHORITY = "authority"


def node_id(role: Role, index: int) -> str:
    """Name of the ``index``-th node of a role, ``index >= 0``."""
    return f"{role.value}-{index}"


def require_count(name: str, value: int, least: int) -> int:
    """Return ``value`` if it is at least ``least``; otherwise raise `ParameterError` that names it."""
    if value < least:
        raise ParameterError(f"{name}: expected at least {least}, found {value}")
    return value
