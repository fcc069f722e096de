"""One run per key, whatever the Kubeflow API does in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stand_in.kubeflow_api import Pipelines, kubeflow_api
from tools.errors import Conflict, Invalid, MendloopError, Refused, Unavailable, Uncertain
from tools.kubeflow import Kubeflow, compiled
from tools.kubeflow_api import KubeflowApi, token_file
from tools.pipeline_runs import RunPhase, RunRequest
from tools.values import digest

STAND_INS = Path(__file__).parent.parent / "stand_in"
REQUEST = RunRequest(pipeline="toy", arguments={"log": "log.txt"})
RUNS = "/apis/v2beta1/runs"


class World:
    """The adapter, and the server it talks to."""

    def __init__(self, url: str, known: Pipelines, folder: Path) -> None:
        self.known, self.url, self.folder = known, url, folder
        self.runs = self.adapter()

    def adapter(self) -> Kubeflow:
        pipelines = {"toy": "toy_pipeline:toy"}
        return Kubeflow(KubeflowApi(self.url), pipelines, outputs_root=str(self.folder))

    def fail(self, method: str, path: str, moment: str, code: int) -> None:
        """The next such request fails, those after it do not."""
        left = [code]

        def fault(asked: str, at: str, when: str) -> int:
            hit = left and (asked, when) == (method, moment) and at.startswith(path)
            return left.pop() if hit else 0

        self.known.fault = fault


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.syspath_prepend(str(STAND_INS))
    with kubeflow_api() as (url, known):
        yield World(url, known, tmp_path)


def test_an_answer_lost_after_the_run_was_made_makes_no_second(world: World) -> None:
    """Uncertain says so; whoever submits again, in another process too, finds the first."""
    world.fail("POST", RUNS, "after", -1)

    with pytest.raises(Uncertain):
        world.runs.submit(REQUEST, key="k")
    assert world.adapter().submit(REQUEST, key="k").phase is RunPhase.RUNNING
    assert len(world.known.runs) == 1


def test_of_two_runs_of_one_key_the_older_stands(world: World) -> None:
    """A creation that came late is ended; nothing of it is reported."""
    world.runs.submit(REQUEST, key="k")
    first = world.known.run("k")
    late = type(first)(**{**first.to_dict(), "run_id": "late"})
    world.known.runs.append(late)
    state = world.runs.read("k")

    assert state.phase is RunPhase.RUNNING
    assert (first.state, late.state) == ("PENDING", "CANCELED")


@pytest.mark.parametrize(
    ("code", "reading", "writing"),
    [
        (500, Unavailable, Uncertain),
        (503, Unavailable, Uncertain),
        (429, Unavailable, Unavailable),
        (401, Refused, Refused),
        (403, Refused, Refused),
        (400, Invalid, Invalid),
        (409, Conflict, Conflict),
    ],
)
def test_every_answer_says_what_the_caller_may_do(
    world: World, code: int, reading: type[MendloopError], writing: type[MendloopError]
) -> None:
    """A creation that met a broken server may have happened."""
    world.fail("GET", RUNS, "before", code)
    with pytest.raises(reading, match="because") as read:
        world.runs.read("k")
    world.fail("POST", RUNS, "before", code)
    with pytest.raises(writing) as written:
        world.runs.submit(REQUEST, key="k")

    assert (type(read.value), type(written.value)) == (reading, writing)


def test_a_run_on_a_later_page_is_found(world: World) -> None:
    """Lists come in pages, whatever is filtered."""
    world.known.page = 1
    world.runs.submit(REQUEST, key="k")
    first = world.known.run("k")
    world.known.runs.append(type(first)(**{**first.to_dict(), "run_id": "late"}))
    world.runs.read("k")

    assert world.known.runs[1].state == "CANCELED"


def test_a_list_that_breaks_off_is_no_list(world: World) -> None:
    """Half of the runs could hide the one that is looked for."""
    world.runs.submit(REQUEST, key="k")
    world.known.page = 0  # every page points to the next, and none has anything

    with pytest.raises(Unavailable, match="no end"):
        world.runs.read("k")


def test_a_version_is_uploaded_once_per_content(world: World) -> None:
    """Its name says which; another process finds it."""
    world.runs.submit(REQUEST, key="one")
    world.adapter().submit(REQUEST, key="two")
    spec = compiled("toy_pipeline:toy")
    named = [v.display_name for v in world.known.versions]

    assert named == [f"mendloop-toy-{digest(spec)[:12]}"]
    assert list(world.known.specs.values()) == [spec]


@pytest.mark.parametrize("definition", ["toy_pipeline:toy", "pipelines.retrain:retrain"])
def test_no_step_is_taken_from_a_cache(world: World, definition: str) -> None:
    """A cached step would train on the data of another day."""
    spec = compiled(definition)
    dags = [spec["root"], *spec["components"].values()]
    tasks = [task for dag in dags for task in dag.get("dag", {}).get("tasks", {}).values()]

    assert tasks
    assert all(task["cachingOptions"] == {} for task in tasks)


@pytest.mark.parametrize("definition", ["toy_pipeline:toy", "pipelines.retrain:retrain"])
def test_every_step_runs_in_the_image_that_the_cluster_names(definition: str) -> None:
    """Pinned by digest in the configuration; another image is another version of the pipeline."""
    image = "registry.example.com/mendloop-pipeline@sha256:" + "a" * 64
    executors = compiled(definition, image=image)["deploymentSpec"]["executors"]

    assert executors
    assert {each["container"]["image"] for each in executors.values()} == {image}
    assert digest(compiled(definition, image=image)) != digest(compiled(definition))


def test_the_token_is_read_for_every_request(world: World, tmp_path: Path) -> None:
    """A service account's token is renewed while mendloop runs."""
    file = tmp_path / "token"
    api = KubeflowApi(world.url, token=token_file(file))
    for token in ("one", "two"):
        file.write_text(f"{token}\n")
        api.experiment("mendloop")

    assert world.known.tokens[0] == "Bearer one"
    assert world.known.tokens[-1] == "Bearer two"


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    """Nothing was sent, so nothing can have been made."""
    runs = Kubeflow(
        KubeflowApi("http://127.0.0.1:9"), {"toy": "toy_pipeline:toy"}, outputs_root=str(tmp_path)
    )

    with pytest.raises(Unavailable):
        runs.submit(REQUEST, key="k")


def test_a_page_that_is_no_answer_starts_no_run(world: World) -> None:
    """A proxy's login page, read as a list without runs, would make the run a second time."""
    world.runs.submit(REQUEST, key="k")
    for page in ("<html>log in</html>", "[]", '"runs"', '{"runs": 7}', '{"runs": [7]}'):
        world.known.page_instead = page
        with pytest.raises(Unavailable):
            world.runs.read("k")
        with pytest.raises((Unavailable, Uncertain)):
            world.adapter().submit(REQUEST, key="k")
    world.known.page_instead = ""

    assert len(world.known.runs) == 1


def test_a_server_that_asks_for_patience_gets_it(world: World) -> None:
    """How long it asks for, at most an hour; without a word, a second."""
    for said, patience in (("17", 17.0), ("86400", 3600.0), ("soon", 1.0)):
        world.known.headers = {"Retry-After": said}
        world.fail("GET", RUNS, "before", 429)
        with pytest.raises(Unavailable) as busy:
            world.runs.read("k")
        assert busy.value.retry_after_s == patience


def test_an_expired_token_is_refused_with_what_to_do(world: World) -> None:
    """Asking again would not help before it is renewed."""
    world.fail("GET", RUNS, "before", 401)

    with pytest.raises(Refused, match="renew it"):
        world.runs.read("k")
