"""Which checks an installation calls for: all of what it names, and nothing that it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path

from infra.embedded.home import Home
from orchestrator.assembly import embedded_registry
from orchestrator.doctor import cluster, keeping, opening, services
from orchestrator.doctor.check import Check, NoWay
from orchestrator.doctor.permissions import Permissions
from orchestrator.journal.address import JournalAddress
from orchestrator.kill_switch import STOP_FILE, KillSwitch
from orchestrator.meter import Meter
from orchestrator.notifications.channels import FILE as CHANNELS_FILE
from orchestrator.platform import reach
from orchestrator.platform.adapters import Adapters
from orchestrator.platform.document import Platform, PlatformSpec
from orchestrator.resources.source import Resource, judge
from tools import kubernetes_rights as rights
from tools.clock import SystemClock
from tools.documents import load_document
from tools.envoy_bootstrap import binary
from tools.errors import MendloopError
from tools.kubernetes_api import KubernetesApi
from tools.kubernetes_kinds import MANAGED_MODEL
from tools.managed_model import ManagedModel

Now = Callable[[], datetime]
_HANDS_OFF = ("observe", "propose")
"""Autonomy at which mendloop changes nothing of a model."""


def of_platform(platform: Platform, *, now: Now) -> list[Check]:
    """The checks of one installation."""
    spec, api = platform.spec, None
    checks: list[Check] = []
    if spec.kubernetes is not None:
        try:
            api = reach.kubernetes(spec.kubernetes)
        except MendloopError as error:
            checks.append(NoWay("api server", str(error)))
    models = _models(spec, api)
    checks += _kept(spec, api)
    if api is not None:
        checks += _cluster(spec, api, models, now)
    checks += _services(spec, models)
    return checks


def of_home(home: Path, journal: JournalAddress, *, now: Now) -> list[Check]:
    """The checks of one machine."""
    place = Home(home)
    channels = home / CHANNELS_FILE
    checks: list[Check] = [
        keeping.HomeFolder(home),
        keeping.SigningKey(journal.keys),
        keeping.Rules([place.policies] if place.policies.is_dir() else []),
        keeping.Channels(channels if channels.is_file() else None),
        keeping.Program("Envoy", binary),
        cluster.KillSwitches(KillSwitch(home / STOP_FILE)),
    ]
    if journal.url:
        checks.append(services.JournalDatabase(lambda: journal.database))
    if place.mlflow.is_dir():
        checks.append(services.Registry(partial(embedded_registry, place), ()))
    return checks


def _kept(spec: PlatformSpec, api: KubernetesApi | None) -> Iterator[Check]:
    yield keeping.HomeFolder(spec.home)
    yield keeping.SigningKey(reach.keys(spec), spec.journal.key_from)
    own = spec.home / "policies"
    yield keeping.Rules([*([own] if own.is_dir() else []), *spec.policies.folders])
    channels = spec.notifications.file or spec.home / CHANNELS_FILE
    is_named = spec.notifications.file is not None
    yield keeping.Channels(channels if is_named or channels.is_file() else None)
    if spec.models.custom_resources is not None and api is not None:
        yield keeping.ModelResources(partial(_listed, api, spec))
    else:
        yield keeping.ModelFiles(_model_files(spec))


def _cluster(
    spec: PlatformSpec, api: KubernetesApi, models: Sequence[ManagedModel], now: Now
) -> Iterator[Check]:
    assert spec.kubernetes is not None
    own = spec.kubernetes.namespace
    yield cluster.ApiServer(api)
    yield cluster.Clock(api, now)
    yield cluster.Definitions(
        api,
        istio=spec.traffic.istio is not None,
        managed_models=spec.models.custom_resources is not None,
        servers=spec.workloads.kubernetes is not None,
    )
    namespaces = {model.metadata.namespace for model in models}
    if spec.traffic.istio is not None:
        yield cluster.Injection(api, namespaces)
    yield cluster.KillSwitches(reach.kill_switch(spec, api))
    if spec.leases.kubernetes is not None:
        yield Permissions(api, own, rights.TO_HOLD_LEASES)
    if spec.kill_switch.config_map or spec.checkpoints.config_map:
        yield Permissions(api, own, rights.TO_KEEP_CONFIG_MAPS)
    resources = spec.models.custom_resources
    watched = resources.namespaces if resources is not None else tuple(sorted(namespaces))
    for namespace in watched or ("",):
        yield Permissions(api, namespace, tuple(_needed(spec, namespace, models)))


def _needed(
    spec: PlatformSpec, namespace: str, models: Sequence[ManagedModel]
) -> Iterator[rights.Right]:
    """What is looked at, and what is changed where a model's autonomy lets mendloop change it."""
    here = [m for m in models if namespace in ("", m.metadata.namespace)]
    acts = any(model.spec.guardrails.autonomy not in _HANDS_OFF for model in here)
    if spec.models.custom_resources is not None:
        yield from rights.TO_FOLLOW_RESOURCES
    if spec.traffic.istio is not None:
        yield from rights.TO_OBSERVE_TRAFFIC
        yield from rights.TO_MOVE_TRAFFIC if acts else ()
    if spec.workloads.kubernetes is not None:
        yield from rights.TO_OBSERVE_SERVERS
        yield from rights.TO_RUN_SERVERS if acts else ()


def _services(spec: PlatformSpec, models: list[ManagedModel]) -> Iterator[Check]:
    if spec.registry.mlflow is not None:
        names = [model.spec.model for model in models]
        yield services.Registry(partial(opening.mlflow, spec.registry.mlflow), names)
    if spec.pipelines.kubeflow is not None:
        yield services.Pipelines(opening.kubeflow(spec.pipelines.kubeflow))
    if spec.metrics.prometheus is not None:
        counters = partial(opening.prometheus, spec.metrics.prometheus, models)
        yield services.Counters(counters, [model.target for model in models])
    if spec.journal.is_shared:
        yield services.JournalDatabase(lambda: reach.address(spec).database)
    adapters = Adapters(spec, clock=SystemClock(), meter=Meter())
    yield services.Predictions(lambda: adapters.log, models)


def _model_files(spec: PlatformSpec) -> list[Path]:
    folder = spec.models.folder
    return sorted(folder.glob("*.yaml")) if folder is not None else list(spec.models.files or ())


def _models(spec: PlatformSpec, api: KubernetesApi | None) -> list[ManagedModel]:
    """Those that can be read; what cannot is told by the checks."""
    found: list[ManagedModel] = []
    if spec.models.custom_resources is not None and api is not None:
        with suppress(MendloopError):
            found = [m for one in _listed(api, spec) if (m := one.model) is not None]
    for path in _model_files(spec):
        with suppress(MendloopError):
            found.append(load_document(path, ManagedModel))
    return found


def _listed(api: KubernetesApi, spec: PlatformSpec) -> list[Resource]:
    resources = spec.models.custom_resources
    namespaces = resources.namespaces if resources is not None else ()
    return [judge(body) for name in namespaces or ("",) for body in api.list(MANAGED_MODEL, name)]
