"""The one exception tree of the framework: what can go wrong in normal operation.

Anything else that is raised is a bug.  Each error names what was expected and what was found, in one line,
so that a command can print it as it is.
"""


class EhrError(Exception):
    """Root of everything that may happen in normal operation."""


class CodecError(EhrError):
    """Bytes that are not the canonical form of the expected message."""


class ParameterError(EhrError):
    """A parameter, name or count outside its domain."""


class SignatureError(EhrError):
    """A key or signature that cannot be used (malformed, wrong curve, out of range)."""


class IdentityError(EhrError):
    """A credential that is unknown, revoked, expired, of the wrong role, or not signed by the authority."""


class ProofError(EhrError):
    """A Merkle proof or certificate that does not prove what it is shown for."""


class ValidationError(EhrError):
    """A block that breaks a rule of the chain.

    ``rule`` is a short stable name of the broken rule, for counting and for tests.
    """

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule


class LedgerError(EhrError):
    """A ledger that cannot be opened, is not a ledger, or does not verify."""


class RecordError(EhrError):
    """Bytes that are no health record of a kind that the chain takes."""


class StorageError(EhrError):
    """An off-chain object that is missing or refused."""


class DeploymentError(EhrError):
    """A network's files, folders, addresses or processes that are not as they must be."""
