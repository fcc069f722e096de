"""Speaks Terraform's plugin protocol with a provider's schema and no cloud behind it.

``terraform validate`` and ``terraform test`` ask a provider for its schema before anything else.
Where no provider can be downloaded, this one answers with what `provider_schemas.json` says, so
that every attribute, block and type is checked, and plans are made from mocks. It validates no
values and makes nothing: what only AWS knows stays unknown.

Protocol: tfplugin6.proto (github.com/hashicorp/terraform, docs/plugin-protocol). The providers run
in the tests' own process; Terraform finds them by TF_REATTACH_PROVIDERS, as it does for a provider
under a debugger.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc

MODES = {"single": 1, "list": 2, "set": 3, "map": 4}
SERVICE = "/tfplugin6.Provider/"


def varint(number: int) -> bytes:
    """Protocol buffers' integers: seven bits a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, value: str | bytes | int) -> bytes:
    """One field of a message: text and bytes by length, numbers and truths as integers."""
    if isinstance(value, int):
        return varint(number << 3) + varint(int(value)) if value else b""
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def attribute(name: str, shape: dict[str, Any]) -> bytes:
    """Schema.Attribute; an object of its own attributes where the schema nests them."""
    flags = {4: "required", 5: "optional", 6: "computed", 11: "write_only"}
    nested = shape.get("nested")
    if nested:
        inner = b"".join(field(1, attribute(n, a)) for n, a in nested["attributes"].items())
        kind = field(10, inner + field(3, MODES[shape["nesting"]]))
    else:
        kind = field(2, json.dumps(shape["type"]))
    return field(1, name) + kind + b"".join(field(n, shape.get(f, False)) for n, f in flags.items())


def block(shape: dict[str, Any]) -> bytes:
    """Schema.Block."""
    attributes = (field(2, attribute(n, a)) for n, a in shape["attributes"].items())
    nested = (field(3, nested_block(n, b)) for n, b in shape["block_types"].items())
    return b"".join((*attributes, *nested))


def nested_block(name: str, shape: dict[str, Any]) -> bytes:
    """Schema.NestedBlock."""
    limits = field(4, shape.get("min_items", 0)) + field(5, shape.get("max_items", 0))
    return (
        field(1, name)
        + field(2, block(shape["block"]))
        + field(3, MODES[shape["nesting_mode"]])
        + limits
    )


def provider_schema(schemas: dict[str, Any]) -> bytes:
    """GetProviderSchema.Response."""
    out = field(1, field(2, block(schemas["provider"])))
    kinds = {2: "resource_schemas", 3: "data_source_schemas", 8: "ephemeral_resource_schemas"}
    for number, kind in kinds.items():
        for name, shape in schemas.get(kind, {}).items():
            out += field(number, field(1, name) + field(2, field(2, block(shape))))
    return out


def opened(schemas: dict[str, Any]) -> bytes:
    """OpenEphemeralResource.Response for the one kind there is, a password."""
    (shape,) = schemas["ephemeral_resource_schemas"].values()
    known = {"length": 40, "special": False, "result": "x" * 40}
    values = {name: known.get(name) for name in shape["attributes"]}
    return field(3, field(2, json.dumps(values)))


class Answers(grpc.GenericRpcHandler):
    """Every method that checking calls; an empty answer means "no objection"."""

    def __init__(self, schemas: dict[str, Any]) -> None:
        self._known = {"GetProviderSchema": provider_schema(schemas)}
        if "ephemeral_resource_schemas" in schemas:
            self._known["OpenEphemeralResource"] = opened(schemas)

    def service(self, call: Any) -> Any:
        """See grpc.GenericRpcHandler; that the process should end is heard, and no more."""
        if not call.method.startswith((SERVICE, "/plugin.GRPCController/")):
            return None
        answer = self._known.get(call.method.removeprefix(SERVICE), b"")
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: answer)


@contextmanager
def running(schemas: dict[str, Any], folder: Path) -> Iterator[str]:
    """Every provider of ``schemas`` on a socket in ``folder``; gives TF_REATTACH_PROVIDERS."""
    with ExitStack() as stack:
        found = {}
        for name, its in schemas.items():
            socket = folder / f"{name}.sock"
            server = grpc.server(ThreadPoolExecutor(max_workers=4))
            server.add_generic_rpc_handlers((Answers(its),))
            server.add_insecure_port(f"unix://{socket}")
            server.start()
            stack.callback(lambda s: s.stop(grace=None).wait(), server)
            found[f"registry.terraform.io/hashicorp/{name}"] = {
                "Protocol": "grpc",
                "ProtocolVersion": 6,
                "Pid": os.getpid(),
                "Test": True,
                "Addr": {"Network": "unix", "String": str(socket)},
            }
        yield json.dumps(found)
