"""Builds the targets of a generated world and puts their first champions into service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulations.behaviour import Behaviour
from simulations.law import excess_loss
from simulations.managed import documents_of
from simulations.records import HOUR_S, START, Crowd, Records, Weather
from simulations.served_log import Answered
from simulations.site import Site
from simulations.site_ledger import SiteLedger
from simulations.workshop import Workshop
from tools.managed_model import ManagedModel
from tools.registry import CHAMPION
from tools.virtual_service import virtual_service
from tools.workloads import ServerRequest

if TYPE_CHECKING:
    import pandas as pd

    from simulations.fleet import FleetWorld

MARGIN_S = 12 * HOUR_S
"""Rows are drawn this far beyond the end, for the expected loss of the last moments."""


def build_sites(world: FleetWorld) -> list[Site]:
    """Every target of the world's scenario."""
    spec = world.scenario.spec
    from_s = -spec.world.history.total_seconds()
    until_s = spec.world.duration.total_seconds() + MARGIN_S
    weather = Weather(seed=world.seed, from_s=from_s, until_s=until_s)
    return [
        _site(world, document, number, weather, from_s, until_s)
        for number, document in enumerate(documents_of(world.scenario, str(world.folder)))
    ]


def put_into_service(world: FleetWorld) -> None:
    """First champions, their servers and routes; the world's clock still shows its start."""
    for site in world.sites:
        first = site.workshop.first(_history(site))
        site.usual_excess = _usual_excess(site, first.version)
        world.registry.set_alias(first.model, CHAMPION, first.version, key="first")
        request = ServerRequest(
            target=site.target,
            version=first.version,
            artifact=site.workshop.folder / "artifact-1",
            artifact_digest=first.artifact_digest,
        )
        world.workloads.start(request, key="first", token=0)
        world.workloads.begin_ready(site.target, first.version)
        serving = site.document.spec.serving
        body = virtual_service(
            *site.route, host=serving.host, version=first.version, hosts=[serving.host]
        )
        world.traffic.create(body)
        world.traffic.follow()


def _site(
    world: FleetWorld,
    document: ManagedModel,
    number: int,
    weather: Weather,
    from_s: float,
    until_s: float,
) -> Site:
    spec, name = world.scenario.spec, document.metadata.name
    records = Records(
        _crowd(world),
        spec.world.models[number].effects,
        weather,
        seed=[world.seed, 2, number],
        from_s=from_s,
        until_s=until_s,
    )
    folder = world.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    history = str(folder / "history.parquet")
    data = document.spec.data.model_copy(update={"history": history})
    document = document.model_copy(update={"spec": document.spec.model_copy(update={"data": data})})
    answered = Answered(records)
    world.log.targets[document.target] = answered
    workshop = Workshop(
        registry=world.registry,
        workloads=world.workloads,
        document=document,
        folder=folder,
        usual=Behaviour(errors=spec.noise.errors, slow=spec.noise.slow),
        seed=world.seed,
    )
    site = Site(
        world=world,
        document=document,
        records=records,
        workshop=workshop,
        ledger=SiteLedger(document, world.journal),
        number=number,
        answered=answered,
        requests_per_s=spec.world.traffic.requests_per_second,
        capacity=spec.world.traffic.capacity,
    )
    _history(site).to_parquet(history)
    return site


def _usual_excess(site: Site, version: str) -> float:
    """Over the whole history, by the law that ruled it."""
    table, past = site.records.table, slice(0, site.answered.first)
    rows = {name: values[past] for name, values in table.real.items()}
    made = site.workshop.made[version]
    return float(excess_loss(made.model.chance(rows), table.chance[past]).mean())


def _crowd(world: FleetWorld) -> Crowd:
    spec = world.scenario.spec
    people = spec.world.population
    depots = dict.fromkeys(("east", "north", "west"), 1.0)
    return Crowd(
        rows_per_hour=people.rows_per_hour,
        day=people.day_swing,
        week=people.weekend_dip,
        depots={**depots, **{str(k): v for k, v in people.depots.items()}},
        weather_swing=people.weather_day_swing,
        weekly_weather=people.weather_week_swing,
        unlabelled=spec.noise.unlabelled,
        label_delay_s=spec.world.label_delay.total_seconds(),
    )


def _history(site: Site) -> pd.DataFrame:
    """Labelled rows from before the start, as a training table."""
    import numpy as np
    import pandas as pd

    table, count = site.records.table, site.answered.first
    start = np.datetime64(START, "us")
    sent = start + np.round(table.at_s[:count] * 1e6).astype("timedelta64[us]")
    rows = {name: values[:count] for name, values in table.real.items()}
    frame = pd.DataFrame({"sent": sent, **rows, "late": table.label[:count]})
    return frame[np.isfinite(table.known_s[:count])].reset_index(drop=True)
