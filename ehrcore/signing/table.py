"""The table of schemes: every backend on every curve that it offers, by name."""

from collections.abc import Callable
from importlib import import_module
from typing import Final, cast

from ehrcore.errors import ParameterError
from ehrcore.signing.base import CURVES, Curve, Scheme

_ALL: Final = tuple(CURVES)
#: Backend name -> module, class and curves.  Imported on use: a node that signs with one backend loads no other.
_BACKENDS: Final = {
    "cryptography": ("ehrcore.signing.openssl", "OpensslScheme", _ALL),
    "ecdsa": ("ehrcore.signing.pure", "PureScheme", _ALL),
    "pycryptodome": ("ehrcore.signing.pycryptodome", "PycryptodomeScheme", _ALL),
    "coincurve": ("ehrcore.signing.coincurve", "CoincurveScheme", ("secp256k1",)),
    "modelled": ("ehrcore.signing.modelled", "ModelledScheme", _ALL),
}
#: Every scheme's name, ``curve/backend``.
SCHEMES: Final = tuple(f"{curve}/{name}" for curve in CURVES for name, row in _BACKENDS.items() if curve in row[2])


def find_scheme(name: str) -> Scheme:
    """The scheme ``curve/backend``; `ParameterError` if it is unknown or its package is not installed."""
    if name not in SCHEMES:
        raise ParameterError(f"signature scheme: expected one of {', '.join(SCHEMES)}, found {name!r}")
    curve, backend = name.split("/")
    module, class_name, _ = _BACKENDS[backend]
    try:
        loaded = import_module(module)
    except ImportError:
        raise ParameterError(f"signature scheme {name}: the package '{backend}' is not installed") from None
    make = cast("Callable[[Curve], Scheme]", getattr(loaded, class_name))
    return make(CURVES[curve])
