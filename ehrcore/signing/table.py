"""The table of schemes: every backend on every curve that it offers, by name."""

from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from typing import Final, cast

from ehrcore.errors import ParameterError
from ehrcore.registry import register
from ehrcore.signing.base import CURVES, Curve, Scheme
from ehrcore.signing.conformance import check_scheme

_ALL: Final = tuple(CURVES)
#: Backend name -> module and curves.  Imported on use: a node that signs with one backend loads no other.
_BACKENDS: Final = {
    "cryptography": ("ehrcore.signing.openssl", _ALL),
    "ecdsa": ("ehrcore.signing.pure", _ALL),
    "pycryptodome": ("ehrcore.signing.pycryptodome", _ALL),
    "coincurve": ("ehrcore.signing.coincurve", ("secp256k1",)),
    "modelled": ("ehrcore.signing.modelled", _ALL),
}


def _load(backend: str, curve: Curve) -> Scheme:
    make = cast("Callable[[Curve], Scheme]", import_module(_BACKENDS[backend][0]).scheme)
    return make(curve)


#: Every scheme by its name, ``curve/backend``, and what makes it.
SCHEMES: Final[dict[str, Callable[[], Scheme]]] = {
    f"{curve.name}/{name}": partial(_load, name, curve)
    for curve in CURVES.values()
    for name, (_, curves) in _BACKENDS.items()
    if curve.name in curves
}


def find_scheme(name: str) -> Scheme:
    """The scheme ``curve/backend``; `ParameterError` if it is unknown or its package is not installed."""
    if name not in SCHEMES:
        raise ParameterError(f"signature scheme: expected one of {', '.join(SCHEMES)}, found {name!r}")
    try:
        return SCHEMES[name]()
    except ImportError:
        raise ParameterError(f"signature scheme {name}: the package '{name.split('/')[1]}' is not installed") from None


def add_backend(name: str, make: Callable[[Curve], Scheme], curves: Iterable[str] = _ALL) -> None:
    """Add a library of one's own: ``make(curve)`` gives its scheme on a curve, called ``curve/name``.

    It has to do what the default library does, byte for byte (`ehrcore.signing.conformance`), or a `ParameterError`
    names what it does not.
    """
    for curve in (CURVES[curve] for curve in curves):
        check_scheme(make(curve), f"{curve.name}/{name}", curve, find_scheme(f"{curve.name}/cryptography"))
        load: Callable[[], Scheme] = partial(make, curve)
        register("signature scheme", SCHEMES, f"{curve.name}/{name}", load)
