"""The Authentication and Authorisation Agency (AAA, paper section 3): it enrols, certifies, revokes and names patients.

Enrolments, revocations and changes of stake take effect through the chain, as transactions of its own, so that all
replicas see them at the same place.
"""

from ehrcore.block import Bond, Enrolment, Revocation, Transaction, TransactionBody, Unbond
from ehrcore.consent import Erasure
from ehrcore.crypto import Crypto
from ehrcore.errors import IdentityError
from ehrcore.identity import FOREVER, Capacity, Cause, Certificate, CertificateBody
from ehrcore.pseudonyms import PseudonymKind, Pseudonyms
from ehrcore.rules import AUTHORITY
from ehrcore.types import Role


class Authority:
    """The AAA of one network.

    ``pseudonym_secret`` keys the pseudonyms: a bare hash of a patient id is found by trying all ids (claim C15).
    ``pseudonyms`` says how they are made and ``salt``, which is public, is for those that want one.  ``nonce`` is that
    of its next order.
    """

    def __init__(
        self,
        network: str,
        crypto: Crypto,
        pseudonym_secret: bytes,
        pseudonyms: PseudonymKind = PseudonymKind.KEYED,
        salt: bytes = b"",
    ) -> None:
        self._network, self._crypto = network, crypto
        self.pseudonyms = Pseudonyms(pseudonyms, crypto.suite, pseudonym_secret, salt)
        self._next_serial, self.nonce = 1, 0

    def certify(
        self,
        subject: str,
        role: Role,
        public_key: bytes,
        *,
        kinds: tuple[int, ...] = (),
        stake: int = 0,
        not_before: int = 0,
        not_after: int = FOREVER,
        organisation: str = "",
        capacity: Capacity = Capacity.SYSTEM,
        pseudonym: bytes = b"",
        wrap_key: bytes = b"",
        serial: int | None = None,
    ) -> Certificate:
        """A signed certificate with the next serial, or with one that whoever keeps serials over restarts has taken.

        `IdentityError` for a role that cannot be certified, or a capacity that it does not have.
        """
        if role is Role.AUTHORITY:
            raise IdentityError("certificate: expected one of the five roles, found the authority itself")
        if stake < 0 or (stake > 0) != (role is Role.ADMINISTRATOR):
            raise IdentityError(f"certificate of {subject}: expected stake for administrators alone, found {stake}")
        if (capacity and role is not Role.VISITOR) or bool(pseudonym) != (capacity is Capacity.PATIENT):
            raise IdentityError(f"certificate of {subject}: expected a visitor, and a pseudonym for patients alone")
        number = self._next_serial if serial is None else serial
        body = CertificateBody(
            self._network, number, subject, role, public_key, kinds, stake, not_before, not_after,
            organisation, capacity, pseudonym, wrap_key,
        )  # fmt: skip
        self._next_serial = max(self._next_serial, number + 1)
        return Certificate(body, self._crypto.sign(body))

    def enrol(self, chain: bytes, certificate: Certificate, now: int) -> Transaction:
        """The transaction that admits a certified node to the chain with this id; to be sent to every agent."""
        return self._order(chain, Enrolment(certificate), now)

    def revoke(
        self, chain: bytes, serial: int, now: int, cause: Cause = Cause.UNSPECIFIED, since: int = 0
    ) -> Transaction:
        """The transaction that withdraws the certificate with this serial; to be sent to every agent."""
        return self._order(chain, Revocation(serial, cause, since), now)

    def bond(self, chain: bytes, node: str, amount: int, now: int) -> Transaction:
        """The transaction that adds to an administrator's stake; to be sent to every agent."""
        return self._order(chain, Bond(node, amount), now)

    def unbond(self, chain: bytes, node: str, amount: int, now: int) -> Transaction:
        """The transaction that takes from an administrator's stake; to be sent to every agent."""
        return self._order(chain, Unbond(node, amount), now)

    def erase(self, chain: bytes, erasure: Erasure, now: int) -> Transaction:
        """The transaction by which a record's key is destroyed for a patient; to be sent to every agent."""
        return self._order(chain, erasure, now)

    def _order(self, chain: bytes, payload: Enrolment | Revocation | Bond | Unbond | Erasure, now: int) -> Transaction:
        body = TransactionBody(chain, AUTHORITY, self.nonce, now, payload)
        self.nonce += 1
        return Transaction(body, self._crypto.sign(body))

    def pseudonym(self, patient_id: str, study: str = "") -> bytes:
        """The patient's name on the chain or in a study; by default HMAC-SHA-256 under the authority's secret."""
        return self.pseudonyms.name(patient_id, study)
