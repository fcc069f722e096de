"""One incident as a LangGraph thread: observe, diagnose, plan, guard, approve, act, verify, again.

The thread's state holds names, numbers and one step: everything else is read from the world or the
journal when it is needed. A node does one thing, an interrupt stands in a node of its own with
nothing before it, and every node may run again after a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime
from langgraph.types import interrupt

from orchestrator import nodes
from orchestrator.session import Session
from orchestrator.telemetry import node_began


class IncidentState(TypedDict, total=False):
    """JSON-native and small; ``durability="sync"`` writes all of it after each node."""

    incident: str
    goal: str
    steps_taken: int
    attempts: dict[str, int]
    """Operation name -> how often it was tried to the end, with whatever result."""
    failures: dict[str, int]
    """Operation name -> how often that did not do what its contract says."""
    ruled_out: dict[str, str]
    """Operation name -> why it is not considered any more in this incident."""
    denied: dict[str, str]
    """Operation name -> which guardrail denied it at the last look; tried again after a wait."""
    forbidden: dict[str, str]
    """Operation name -> rules that forbade it while planning, as last written to the journal."""
    plan: list[str]
    """Names of the plan's steps when it was last written to the journal."""
    cause: str
    retraining: str
    """Whether newer data can cure what the diagnosis found."""
    step: dict[str, Any]
    """``orchestrator.steps.StepRecord`` as JSON; empty when none is under way."""
    next: str
    """Where to go from here: the name of a node."""
    wait_reason: str
    waiting_for: str
    """What the last recorded wait was for: a wait is written once, not at every tick."""
    last_ruling: str
    has_promoted: bool
    """Whether this incident made a champion that still is one."""
    has_refreshed: bool
    """Whether the training that the document's triggers asked for has been answered."""
    approval: str
    giving_up: str
    """Why only what is half-way is still taken back before a person has the word."""
    outcome: str


_NODES: dict[str, Callable[[dict[str, Any], Session], dict[str, Any]]] = {
    "observe": nodes.observe,
    "diagnose": nodes.diagnose,
    "plan": nodes.plan,
    "guard": nodes.guard,
    "act": nodes.act,
    "verify": nodes.verify,
    "close": nodes.close,
}


def _route(state: IncidentState) -> str:
    return END if state["next"] == "end" else state["next"]


def _wait(state: IncidentState) -> dict[str, Any]:
    """Sleep until the controller's next tick (or a person) wakes the thread."""
    interrupt({"waiting": state.get("wait_reason", "")})
    return {"next": "verify" if state.get("step") else "observe", "denied": {}}


def _approve(state: IncidentState) -> dict[str, Any]:
    """Sleep until a person has decided; the answer is read from the journal, not from here."""
    interrupt({"approval": state.get("approval", "")})
    return {"next": "guard"}


def build_graph(
    checkpointer: BaseCheckpointSaver[Any],
) -> CompiledStateGraph[IncidentState, Session, IncidentState, IncidentState]:
    """The compiled graph; one thread per incident, the session handed in at each call."""
    graph = StateGraph(IncidentState, context_schema=Session)
    for name, work in _NODES.items():
        graph.add_node(name, _node(name, work))
    graph.add_node("wait", _wait)
    graph.add_node("approve", _approve)
    graph.add_edge(START, "observe")
    for name in (*_NODES, "wait", "approve"):
        graph.add_conditional_edges(name, _route)
    return graph.compile(checkpointer=checkpointer)


def _node(name: str, work: Callable[[dict[str, Any], Session], dict[str, Any]]) -> Any:
    def node(state: IncidentState, runtime: Runtime[Session]) -> dict[str, Any]:
        node_began.set(runtime.context.desk.clock.now())
        nodes.recall(dict(state), runtime.context)
        change = work(dict(state), runtime.context)
        # Whoever lost the lease meanwhile must not move the thread that another one goes on with.
        runtime.context.must_hold_lease()
        return change

    node.__name__ = name
    return node
