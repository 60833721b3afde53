"""What a refused request is told: problem details of RFC 9457, each kind under a stable slug.

The slug is counted and stands in the problem's ``type``; a refused transaction's slug is its `Reason`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from ehrcore.errors import EhrError
from ehrcore.identity import Reason

PROBLEM_MEDIA: Final = "application/problem+json"

#: Status and title of a refused transaction.  The last twelve come after an agent's word, so no agent answers them.
REASONS: Final[Mapping[Reason, tuple[int, str]]] = {
    Reason.BAD_SIGNATURE: (401, "Signature that does not verify"),
    Reason.UNKNOWN_AUTHOR: (403, "Author without a certificate"),
    Reason.WRONG_ROLE: (403, "Author of another role"),
    Reason.NO_RIGHT: (403, "Author without the right"),
    Reason.REVOKED: (403, "Author's certificate is revoked"),
    Reason.EXPIRED: (403, "Author's certificate has expired"),
    Reason.NOT_YET_VALID: (403, "Author's certificate is not valid yet"),
    Reason.WRONG_CHAIN: (403, "Meant for another chain"),
    Reason.FIXED_ADMINISTRATORS: (403, "Administrators are fixed"),
    Reason.BAD_CERTIFICATE: (403, "Certificate that is not the authority's"),
    Reason.UNKNOWN_ADMINISTRATOR: (422, "Stake of a node that is no administrator"),
    Reason.NO_STAKE: (422, "More or less stake than there can be"),
    Reason.BAD_EVIDENCE: (403, "Evidence that shows nothing"),
    Reason.PUNISHED: (409, "Offence that was punished before"),
    Reason.REPLAYED: (409, "Nonce that was used before"),
    Reason.TOO_LARGE: (413, "Longer than a block or the route takes"),
    Reason.STALE: (422, "Signed too long ago"),
    Reason.FUTURE: (422, "Signed by a clock ahead of this one"),
    Reason.MALFORMED_CONSENT: (422, "Consent whose provisions say nothing"),
    Reason.MALFORMED_ACCESS: (422, "Access or erasure that does not say what of"),
    Reason.BAD_AGREEMENT: (422, "Agreement that is not both parties'"),
    Reason.POLICY: (422, "Not enough endorsements"),
    Reason.APPROVALS: (422, "Not enough approvals"),
    Reason.CONTRACT: (422, "Refused by a contract"),
    Reason.NO_CONSENT: (403, "No consent that permits it"),
    Reason.DENIED: (403, "Denied by the patient"),
    Reason.UNKNOWN_CONSENT: (404, "No such consent in force"),
    Reason.TOO_MANY_CONSENTS: (409, "As many consents in force as there may be"),
    Reason.ERASED: (410, "Record that was erased"),
    Reason.NO_AGREEMENT: (404, "No such agreement in force between these"),
    Reason.CLAUSES: (403, "Not what the agreement permits"),
    Reason.AGREED: (409, "Agreement that was made before"),
    Reason.TOO_MANY_AGREEMENTS: (409, "As many agreements in force as there may be"),
}

_REQUESTS: Final[Mapping[str, tuple[int, str]]] = {
    "malformed-http": (400, "Not a request of HTTP"),
    "malformed": (400, "Not what the route expects"),
    "malformed-frame": (400, "Not a frame, or not of canonical messages"),
    "future-frame": (400, "Frame from a clock ahead of this one"),
    "incomplete-body": (400, "Body that breaks off"),
    "not-authentic": (401, "Not from whom it says"),
    "not-permitted": (403, "Not permitted"),
    "unknown-route": (404, "No such route on this node"),
    "unknown-transaction": (404, "Not in the ledger of this node"),
    "unknown-object": (404, "No such object in the store"),
    "unknown-block": (404, "No such block in the ledger of this node"),
    "wrong-method": (405, "The route takes other methods"),
    "slow-headers": (408, "Headers that take too long"),
    "slow-body": (408, "Body that takes too long"),
    "stale-frame": (408, "Frame that was sent too long ago"),
    "old-epoch": (409, "Frame from before its sender's last start"),
    "unsupported-media-type": (415, "The route takes other media types"),
    "failed-expectation": (417, "Only 100-continue can be expected"),
    "upgrade-required": (426, "The route takes a WebSocket"),
    "crowded": (429, "Too many connections"),
    "busy": (429, "Too much waiting to take more"),
    "internal": (500, "A bug: the node's log says more"),
    "unavailable": (503, "The node cannot keep what it is asked to keep"),
}
#: Status and title by slug.
PROBLEMS: Final[Mapping[str, tuple[int, str]]] = MappingProxyType(
    {**_REQUESTS, **{reason.value: told for reason, told in REASONS.items()}}
)


class ProblemView(msgspec.Struct, frozen=True, omit_defaults=True, rename={"slug": "type"}):
    """A problem as it is answered (RFC 9457 section 3); ``reason`` is a refused transaction's."""

    slug: str
    title: str
    status: int
    detail: str
    reason: str | None = None


class ProblemError(EhrError):
    """A request that gets a problem for an answer; ``slug`` is one of `PROBLEMS`."""

    def __init__(self, slug: str, detail: str, *, reason: Reason | None = None, allow: str = "") -> None:
        # What a client has sent may stand in it, and need not be text that can be written.
        super().__init__(detail.encode(errors="backslashreplace").decode())
        self.slug, self.reason, self.allow = slug, reason, allow
        self.status, self.title = PROBLEMS[slug]

    @classmethod
    def refused(cls, reason: Reason, detail: str) -> "ProblemError":
        """The problem of a transaction that is refused for ``reason``."""
        return cls(reason.value, detail, reason=reason)

    def view(self) -> ProblemView:
        reason = self.reason.value if self.reason else None
        return ProblemView(f"/problems/{self.slug}", self.title, self.status, str(self), reason)

    def headers(self) -> dict[str, str]:
        """Headers that HTTP asks for with some statuses (RFC 9110 sections 7.8, 10.2.1, 10.2.3 and 11.6.1)."""
        if self.allow:
            return {"Allow": self.allow}
        return {
            401: {"WWW-Authenticate": "Ehrcore"},
            426: {"Upgrade": "websocket"},
            429: {"Retry-After": "1"},
        }.get(self.status, {})
