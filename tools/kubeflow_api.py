"""Talks to a Kubeflow Pipelines API (v2beta1); its failures leave as mendloop's own.

Finds and makes what a run needs: the experiment, the pipeline, a version of it per content digest,
runs by name. Nothing is retried here: whether a write may be repeated is known above.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.errors import Unavailable
from tools.kubeflow_errors import identity, items_of, strict_client, translated

_TIMEOUT_S = (3.0, 15.0)
"""To connect, and of silence within an answer."""
_PAGE = 100
_MOST_PAGES = 50
"""A list that goes on longer is not a list of one key's runs."""


class KubeflowApi:
    """One Kubeflow Pipelines server. Raises only errors of ``tools/errors.py``."""

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "",
        token: Callable[[], str] | None = None,
        timeout_s: tuple[float, float] = _TIMEOUT_S,
    ) -> None:
        """``namespace`` in multi-user installations. ``token`` is asked before every request: a
        service account's token file is renewed every hour, so read it each time."""
        self._namespace = namespace
        self._settings = (url.rstrip("/"), token)
        self._timeout_s = timeout_s
        self._opened: Any = None

    def experiment(self, name: str) -> str:
        """Id of the experiment, made when there is none."""
        from kfp_server_api import ExperimentServiceApi, V2beta1Experiment

        api = ExperimentServiceApi(self._client())
        for found in self._pages(
            "experiments",
            lambda **page: api.experiment_service_list_experiments(
                filter=_named(name), **self._where(), **page
            ),
        ):
            if found.display_name == name:
                return str(found.experiment_id)
        body = V2beta1Experiment(display_name=name, namespace=self._namespace or None)
        with translated(f"make experiment {name}", is_write=True):
            made = api.experiment_service_create_experiment(body, _request_timeout=self._timeout_s)
            return identity(made.experiment_id)

    def version(self, pipeline: str, spec: dict[str, Any], digest: str) -> tuple[str, str]:
        """(pipeline id, version id) of the compiled ``spec``, uploaded once per content digest."""
        from kfp_server_api import (
            PipelineServiceApi,
            PipelineUploadServiceApi,
            V2beta1Pipeline,
        )

        api, uploads = PipelineServiceApi(self._client()), PipelineUploadServiceApi(self._client())
        name = f"{pipeline}-{digest[:12]}"
        known = self._pipeline(api, pipeline)
        if known is None:
            # Without a package: uploading one would make a version that bears no digest.
            body = V2beta1Pipeline(
                display_name=pipeline, name=pipeline, namespace=self._namespace or None
            )
            with translated(f"make pipeline {pipeline}", is_write=True):
                made = api.pipeline_service_create_pipeline(body, _request_timeout=self._timeout_s)
                known = identity(made.pipeline_id)
        for found in self._pages(
            f"versions of {pipeline}",
            lambda **page: api.pipeline_service_list_pipeline_versions(
                known, filter=_named(name), **page
            ),
        ):
            if found.display_name == name:
                return known, str(found.pipeline_version_id)
        with self._package(spec) as file, translated(f"upload {name}", is_write=True):
            version = uploads.upload_pipeline_version(
                file, name=name, pipelineid=known, _request_timeout=self._timeout_s
            )
            return known, identity(version.pipeline_version_id)

    def runs(self, experiment: str, name: str) -> list[Any]:
        """Every run of this name, oldest first; whole or Unavailable, never a part of them."""
        from kfp_server_api import RunServiceApi

        api = RunServiceApi(self._client())
        found = self._pages(
            f"runs named {name}",
            lambda **page: api.run_service_list_runs(
                experiment_id=experiment,
                filter=_named(name),
                sort_by="created_at asc",
                **self._where(),
                **page,
            ),
        )
        return [run for run in found if run.display_name == name]

    def look(self) -> None:
        """List one run, whichever: does the server answer this account? Changes nothing."""
        from kfp_server_api import RunServiceApi

        api = RunServiceApi(self._client())
        with translated("list runs", is_write=False):
            api.run_service_list_runs(
                page_size=1, **self._where(), _request_timeout=self._timeout_s
            )

    def start(
        self,
        *,
        name: str,
        description: str,
        experiment: str,
        version: tuple[str, str],
        arguments: dict[str, Any],
    ) -> None:
        """Make a run. The API makes one at every call: look for one of this name first, and after
        Uncertain too."""
        from kfp_server_api import (
            RunServiceApi,
            V2beta1PipelineVersionReference,
            V2beta1Run,
            V2beta1RuntimeConfig,
        )

        pipeline_id, version_id = version
        body = V2beta1Run(
            display_name=name,
            description=description,
            experiment_id=experiment,
            pipeline_version_reference=V2beta1PipelineVersionReference(
                pipeline_id=pipeline_id, pipeline_version_id=version_id
            ),
            runtime_config=V2beta1RuntimeConfig(parameters=arguments),
        )
        with translated(f"start run {name}", is_write=True):
            RunServiceApi(self._client()).run_service_create_run(
                body, _request_timeout=self._timeout_s
            )

    def recurring(self, experiment: str, name: str) -> list[Any]:
        """Every recurring run of this name, oldest first; whole or Unavailable."""
        from kfp_server_api import RecurringRunServiceApi

        api = RecurringRunServiceApi(self._client())
        found = self._pages(
            f"recurring runs named {name}",
            lambda **page: api.recurring_run_service_list_recurring_runs(
                experiment_id=experiment,
                filter=_named(name),
                sort_by="created_at asc",
                **self._where(),
                **page,
            ),
        )
        return [each for each in found if each.display_name == name]

    def recur(
        self,
        *,
        name: str,
        description: str,
        experiment: str,
        version: tuple[str, str],
        arguments: dict[str, Any],
        trigger: dict[str, Any],
    ) -> None:
        """Make a recurring run, one of whose runs goes at a time and of which none is made up for.

        Like ``start``, it makes one at every call."""
        from kfp_server_api import (
            RecurringRunServiceApi,
            V2beta1PipelineVersionReference,
            V2beta1RecurringRun,
            V2beta1RuntimeConfig,
            V2beta1Trigger,
        )

        pipeline_id, version_id = version
        body = V2beta1RecurringRun(
            display_name=name,
            description=description,
            experiment_id=experiment,
            namespace=self._namespace or None,
            pipeline_version_reference=V2beta1PipelineVersionReference(
                pipeline_id=pipeline_id, pipeline_version_id=version_id
            ),
            runtime_config=V2beta1RuntimeConfig(parameters=arguments),
            max_concurrency="1",
            no_catchup=True,
            mode="ENABLE",
            trigger=V2beta1Trigger(**trigger),
        )
        api = RecurringRunServiceApi(self._client())
        with translated(f"schedule {name}", is_write=True):
            api.recurring_run_service_create_recurring_run(body, _request_timeout=self._timeout_s)

    def end_recurring(self, recurring_run_id: str) -> None:
        """Remove a recurring run; its runs under way go on."""
        from kfp_server_api import RecurringRunServiceApi

        api = RecurringRunServiceApi(self._client())
        with translated(f"end the schedule {recurring_run_id}", is_write=True):
            api.recurring_run_service_delete_recurring_run(
                recurring_run_id, _request_timeout=self._timeout_s
            )

    def terminate(self, run_id: str) -> None:
        """Ask a run to end; its pods take a while."""
        from kfp_server_api import RunServiceApi

        with translated(f"terminate run {run_id}", is_write=True):
            api = RunServiceApi(self._client())
            api.run_service_terminate_run(run_id, _request_timeout=self._timeout_s)

    def _pipeline(self, api: Any, name: str) -> str | None:
        for found in self._pages(
            "pipelines",
            lambda **page: api.pipeline_service_list_pipelines(
                filter=_named(name), **self._where(), **page
            ),
        ):
            if found.display_name == name:
                return str(found.pipeline_id)
        return None

    def _pages(self, what: str, ask: Callable[..., Any]) -> Iterator[Any]:
        token = ""
        for _ in range(_MOST_PAGES):
            with translated(f"list {what}", is_write=False):
                page = ask(page_size=_PAGE, page_token=token, _request_timeout=self._timeout_s)
            yield from items_of(page)
            token = page.next_page_token or ""
            if not token:
                return
        raise Unavailable(f"the list of {what} has no end; is the server healthy?")

    def _where(self) -> dict[str, str]:
        return {"namespace": self._namespace} if self._namespace else {}

    @contextmanager
    def _package(self, spec: dict[str, Any]) -> Iterator[str]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pipeline.yaml"
            path.write_text(json.dumps(spec), encoding="utf-8")  # JSON is YAML
            yield str(path)

    def _client(self) -> Any:
        if self._opened is None:
            from kfp_server_api import Configuration

            url, token = self._settings
            settings = Configuration(host=url)
            settings.retries = False
            if token is not None:
                read = token

                def renew(configuration: Any) -> None:
                    configuration.api_key["authorization"] = read()

                settings.api_key_prefix["authorization"] = "Bearer"
                settings.api_key["authorization"] = ""
                settings.refresh_api_key_hook = renew
            self._opened = strict_client(settings)
        return self._opened


def token_file(path: Path) -> Callable[[], str]:
    """Reads a service account's token each time it is asked."""

    def read() -> str:
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Unavailable(f"cannot read the token {path}: {error.strerror}") from error

    return read


def _named(name: str) -> str:
    predicate = {"operation": "EQUALS", "key": "name", "stringValue": name}
    return json.dumps({"predicates": [predicate]})
