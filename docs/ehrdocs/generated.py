"""What can stand behind ``<!-- generated: NAME -->`` on a page, by name."""

import re
from collections.abc import Mapping
from typing import Final

from ehrdocs import commands, drawing, experiments, modules, protocol, scenarios
from ehrdocs.markdown import Maker

MAKERS: Final[Mapping[str, Maker]] = {
    "profiles": scenarios.make_profiles,
    "defaults": scenarios.make_defaults,
    "constants": scenarios.make_constants,
    "experiments": experiments.make_experiments,
    "tables": experiments.make_tables,
    "finding": experiments.make_finding,
    "steps": protocol.make_steps,
    "roles": protocol.make_roles,
    "messages": protocol.make_messages,
    "blocks": protocol.make_blocks,
    "seam": protocol.make_seam,
    "parameters": protocol.make_parameters,
    "reasons": protocol.make_reasons,
    "sequence": drawing.make_sequence,
    "states": drawing.make_states,
    "layers": drawing.make_layers,
    "ehrbench": commands.make_ehrbench,
    "ehrcore": commands.make_ehrcore,
    "map": modules.make_map,
    "modules": modules.make_modules,
    "module": modules.make_module,
}
_MERMAID: Final = re.compile(r"^```mermaid\n.*?^```$", re.DOTALL | re.MULTILINE)


def replace_mermaid(text: str) -> str:
    """The page with its diagram, which repositories draw by a script, as a picture of the same rules."""
    return _MERMAID.sub(lambda _: drawing.make_states(), text)
