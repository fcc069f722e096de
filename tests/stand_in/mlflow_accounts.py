"""How the MLflow server of the tests knows who asks: a password, or a bearer token from a file.

MLflow's basic-auth application calls the function that its configuration names. A token stands for
an account there like a password does; a proxy in front of MLflow (OAuth2 and the like) is the same
to a client.
"""

from __future__ import annotations

import hmac
import os
from pathlib import Path
from typing import Any

ACCOUNTS = "MLFLOW_TEST_TOKENS"
"""A folder: each file is named like an account and holds its token."""


def authenticate() -> Any:
    """The account that asks, or the answer that it is none."""
    from flask import request
    from mlflow.server.auth import authenticate_request_basic_auth
    from werkzeug.datastructures import Authorization

    given = request.authorization
    if given is None or given.type != "bearer":
        return authenticate_request_basic_auth()
    for file in Path(os.environ[ACCOUNTS]).iterdir():
        if hmac.compare_digest(file.read_text().strip(), given.token or ""):
            return Authorization("basic", {"username": file.name, "password": ""})
    from mlflow.server.auth import make_basic_auth_response

    return make_basic_auth_response()
