"""Light verification: whether a header is final, by its certificate alone, without blocks or state.

Who knows the first voters needs no more while they stay the same.  Where they change, the last header before the
change names the next ones by digest and is certified by the present ones; a trail of such headers leads from the
genesis to any height, one link for each change.  Each set certifies the heights of its own term and no other, so keys
that have left are of no use for what comes after them, to a client that has seen the trail as far.
"""

from bisect import bisect_right
from collections.abc import Sequence

from ehrcore.block import Change, CommitCertificate, Header
from ehrcore.consensus.finality import header_hash, verify_certificate
from ehrcore.consensus.validators import ValidatorSet
from ehrcore.crypto import Crypto
from ehrcore.errors import ValidationError
from ehrcore.params import ChainParams


class LightClient:
    """Knows who voted when, as far as it has been shown."""

    def __init__(self, crypto: Crypto, params: ChainParams, chain: bytes, first: ValidatorSet) -> None:
        self._crypto, self._params, self._chain = crypto, params, chain
        self._firsts, self._sets = [0], [first]

    def verify(self, header: Header, certificate: CommitCertificate, trail: Sequence[Change] = ()) -> None:
        """Raise `ValidationError` unless ``header`` is final; what is new in ``trail`` is verified and kept."""
        for change in trail:
            if change.header.height >= self._firsts[-1]:
                self._follow(change)
        self._verify(header, certificate)

    def _verify(self, header: Header, certificate: CommitCertificate) -> None:
        voters = self._sets[bisect_right(self._firsts, header.height) - 1]
        for rule, expected, found in (
            ("chain", self._chain, header.chain),
            ("validators", voters.digest, header.validators),
        ):
            if expected != found:
                raise ValidationError(rule, f"expected {expected.hex()}, found {found.hex()}")
        block_hash = header_hash(self._crypto, header)
        verify_certificate(self._crypto, self._params, voters, header, block_hash, certificate, None)

    def _follow(self, change: Change) -> None:
        header = change.header
        self._verify(header, change.certificate)
        following = ValidatorSet(self._crypto, change.validators)
        if following.digest != header.next_validators:
            raise ValidationError(
                "next-validators", f"expected {header.next_validators.hex()}, found {following.digest.hex()}"
            )
        self._firsts.append(header.height + 1)
        self._sets.append(following)
