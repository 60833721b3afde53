"""ECDSA over named curves, with interchangeable backends behind one small protocol."""

from ehrcore.signing.base import CURVES, PrivateKey, Scheme, VerifyingKey, derive_secret
from ehrcore.signing.table import SCHEMES, add_backend, find_scheme

__all__ = ["CURVES", "SCHEMES", "PrivateKey", "Scheme", "VerifyingKey", "add_backend", "derive_secret", "find_scheme"]
