"""Whether an account may move a model's aliases, found out without moving any.

MLflow says what an account may do only to its administrators. A change that lacks a required field
is judged by the server's authorization first (403), and is then refused as malformed (400): so the
answer tells the right, and nothing can have happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.errors import Unavailable

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_NO_ALIAS = ""


def missing_alias_rights(client: MlflowClient, model: str, account: str) -> tuple[str, ...]:
    """What is missing and how to grant it; empty when nothing is."""
    from mlflow.exceptions import MlflowException

    client.get_registered_model(model)
    # The client itself would refuse such an alias before the server could say anything.
    internals: Any = client
    registry = internals._get_registry_client()
    missing = []
    for verb in ("set", "remove"):
        try:
            if verb == "set":
                registry.set_registered_model_alias(model, _NO_ALIAS, "1")
            else:
                registry.delete_registered_model_alias(model, _NO_ALIAS)
        except MlflowException as error:
            if error.error_code == "PERMISSION_DENIED":
                missing.append(
                    f"{account} may not {verb} aliases of {model}: grant it the permission MANAGE "
                    "on that registered model"
                )
            elif error.error_code != "INVALID_PARAMETER_VALUE":
                raise
        else:
            raise Unavailable(f"the server takes an alias without a name for {model}: not MLflow?")
    return tuple(missing)
