"""A thread of three nodes that writes down which of them ran; as a process it kills itself."""

from __future__ import annotations

import operator
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from orchestrator.checkpointer import file_checkpointer, postgres_checkpointer
from tools.postgres import Database


class State(TypedDict):
    """What the nodes add to."""

    notes: Annotated[list[Any], operator.add]


def build(saver: BaseCheckpointSaver[Any], log: Path, *, is_dying: bool = False) -> Any:
    """first -> sleep (until it is woken) -> last."""

    def note(text: str) -> None:
        with log.open("a") as file:
            file.write(f"{text}\n")

    def first(state: State) -> dict[str, Any]:
        note("first")
        return {"notes": ["first"]}

    def sleep(state: State) -> dict[str, Any]:
        if is_dying:
            note("dying")
            os.kill(os.getpid(), signal.SIGKILL)
        interrupt("waiting")
        return {"notes": ["woken"]}

    def last(state: State) -> dict[str, Any]:
        note("last")
        return {"notes": ["last"]}

    graph = StateGraph(State)
    for name, node in (("first", first), ("sleep", sleep), ("last", last)):
        graph.add_node(name, node)
    for begin, end in ((START, "first"), ("first", "sleep"), ("sleep", "last"), ("last", END)):
        graph.add_edge(begin, end)
    return graph.compile(checkpointer=saver)


def main() -> None:
    kind, folder, url = sys.argv[1:]
    place = Path(folder)
    saver = (
        file_checkpointer(place / "checkpoints.db")
        if kind == "file"
        else postgres_checkpointer(Database(url))
    )
    graph = build(saver, place / "log", is_dying=True)
    config: Any = {"configurable": {"thread_id": "inc-1"}}
    graph.invoke({"notes": []}, config, durability="sync")


if __name__ == "__main__":
    main()
