"""The searches for a nonce by name: hashlib's, which is always there, and numba's, which is faster and optional."""

from ehrcore.consensus.work import Grind, grind
from ehrcore.errors import ParameterError
from ehrcore.hashing import HashSuite

HASHLIB = "hashlib"
NUMBA = "numba"


def find_grinder(name: str, suite: HashSuite) -> Grind:
    """The search called ``name``, ready to run at once; `ParameterError` where it is unknown, missing or unfit.

    All of them find the same nonces.  ``numba`` (an extra of that name) knows SHA-256 alone, and takes seconds to be
    compiled where no earlier process has left it in numba's cache.
    """
    if name == HASHLIB:
        return grind
    if name != NUMBA:
        raise ParameterError(f"grinder: expected {HASHLIB} or {NUMBA}, found {name!r}")
    if suite.name != "sha256":
        raise ParameterError(f"grinder {NUMBA}: expected hash suite sha256, found {suite.name}")
    try:
        from ehrcore.drive import lanes  # noqa: PLC0415 - optional, and takes long to import
    except ImportError:
        raise ParameterError(f"grinder {NUMBA}: the optional package 'numba' is not installed") from None
    lanes.warm_up()
    return lanes.grind_lanes
