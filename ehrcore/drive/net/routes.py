"""Where a node reaches its peers, if that is not where they listen: behind a NAT, or through a forwarded port.

The plan says where every node listens, signed and the same for all.  What one node sees of that is its own affair and
stands in its own folder: ``nodes/NAME/routes.json``, an object from a peer's name to ``host:port``.  It is read when
the node starts.  A route only carries: links stay authenticated end to end, and TLS still asks for the certificate of
the address in the plan.
"""

import re
from collections.abc import Mapping
from typing import Final

from ehrcore.drive.net.files import read_json
from ehrcore.drive.net.plan import NetworkFolder, NetworkPlan
from ehrcore.errors import DeploymentError

ROUTES_FILE: Final = "routes.json"
_PLACE: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})")


class Routes:
    """The URL of each peer: ``detours`` (name -> ``host:port``) come before the plan's addresses."""

    def __init__(self, plan: NetworkPlan, detours: Mapping[str, str] | None = None) -> None:
        self._plan, self._detours = plan, dict(detours or {})

    def url(self, peer: str) -> str:
        """Where ``peer`` answers this node; `DeploymentError` for a name that is not in the plan."""
        direct = self._plan.url(peer)
        return f"{direct.partition('//')[0]}//{self._detours[peer]}" if peer in self._detours else direct

    def tls_name(self, peer: str) -> str | None:
        """Whose certificate is asked for, if not that of the host in the URL."""
        return self._plan.nodes[peer].host if self._plan.tls and peer in self._detours else None


def read_routes(folder: NetworkFolder, plan: NetworkPlan, name: str) -> Routes:
    """The routes of the node ``name``; without a file, all go where the plan says.

    `DeploymentError` names the first entry that is no peer's or no address.
    """
    path = folder.node(name) / ROUTES_FILE
    if not path.exists():
        return Routes(plan)
    detours = read_json(path, dict[str, str], "peers with host:port", 1 << 20)
    for peer, place in detours.items():
        if peer not in plan.nodes or peer == name:
            raise DeploymentError(f"{path}: expected another node of the plan, found {peer!r}")
        found = _PLACE.fullmatch(place)
        if not found or not 1 <= int(found[1]) <= 65_535:  # noqa: PLR2004 - ports
            raise DeploymentError(f"{path}: {peer}: expected host:port, found {place!r}")
    return Routes(plan, detours)
