"""The paper's five roles as state machines: an event and the time go in, effects come out."""

from ehrcore.roles.administrator import Administrator
from ehrcore.roles.agent import Agent
from ehrcore.roles.context import Context
from ehrcore.roles.contributor import Contributor
from ehrcore.roles.coordinator import Coordinator
from ehrcore.roles.visitor import Visitor

__all__ = ["Administrator", "Agent", "Context", "Contributor", "Coordinator", "Visitor"]
