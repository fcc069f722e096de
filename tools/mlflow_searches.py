"""Finds models and versions in MLflow, whole or not at all.

An answer that is about something else (a proxy's page in JSON, an empty object) would read as
"there is none"; it is no answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from tools.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion
    from mlflow.entities.model_registry import RegisteredModel
    from mlflow.tracking import MlflowClient

_MOST_PAGES = 1000
"""Of 100 to 200 versions each; a list that goes on longer has no end."""


_PAGE = 1000  # models that MLflow lists in one answer at most


def find_model(client: MlflowClient, model: str) -> RegisteredModel | None:
    """The registered model; None when there is none."""
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_registered_model(model)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    if found.name != model:
        raise Unavailable(f"asked for the model {model}, the answer is about {found.name!r}")
    return found


def ensure_model(client: MlflowClient, model: str) -> None:
    """Make the registered model unless there is one."""
    from mlflow.exceptions import MlflowException

    if find_model(client, model) is not None:
        return
    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def get_version(client: MlflowClient, model: str, version: str) -> MlflowVersion:
    """One version, which must be there."""
    found = client.get_model_version(model, version)
    if (found.name, str(found.version)) != (model, version):
        raise Unavailable(
            f"asked for version {version} of {model}, the answer is about {found.version!r} of "
            f"{found.name!r}"
        )
    return found


def search_versions(client: MlflowClient, query: str) -> list[MlflowVersion]:
    """Every page of a search, oldest version first."""
    found: list[MlflowVersion] = []
    token: str | None = None
    for _ in range(_MOST_PAGES):
        page = client.search_model_versions(query, page_token=token)
        found += list(page)
        token = page.token
        if not token:
            return sorted(found, key=lambda each: int(each.version))
    raise Unavailable("the list of versions has no end; is the server healthy?")


def registered_models(client: MlflowClient) -> Iterator[RegisteredModel]:
    """Every model with its aliases, page by page."""
    token: str | None = None
    for _ in range(_MOST_PAGES):
        page = client.search_registered_models(max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
    raise Unavailable("the list of models has no end; is the server healthy?")


def carriers(model: RegisteredModel) -> dict[str, str]:
    """Alias to the version that carries it."""
    return {alias: str(version) for alias, version in model.aliases.items()}


def quoted(text: str) -> str:
    """Text that MLflow's searches can express. Raises Invalid for other."""
    if "'" in text or '"' in text or "`" in text:
        raise Invalid(f"{text!r} holds a quotation mark, which MLflow's searches cannot express")
    return text
