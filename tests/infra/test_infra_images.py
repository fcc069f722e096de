"""What the images are made of, as far as it can be checked where no Docker runs."""

from __future__ import annotations

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infra.programs import INFRA, ROOT, checked, program

DOCKERFILE = INFRA / "docker" / "Dockerfile"
TEXT = DOCKERFILE.read_text(encoding="utf-8")
TARGETS = ("controller", "serving", "pipeline", "mlflow")
_PINNED = re.compile(r"^ARG \w+=[^\s:]+:[\w.-]+@sha256:[0-9a-f]{64}$")


def _stages() -> dict[str, str]:
    """Each stage's name and the instructions below its FROM."""
    parts = re.split(r"^FROM (\S+) AS (\S+)$", TEXT, flags=re.MULTILINE)
    return {parts[i + 1]: parts[i + 2] for i in range(1, len(parts), 3)}


def test_hadolint_has_nothing_to_say() -> None:
    """https://github.com/hadolint/hadolint, no rule switched off."""
    checked([program("hadolint"), "--failure-threshold", "info", str(DOCKERFILE)])


def test_every_base_is_pinned_by_digest() -> None:
    """A tag may be another image tomorrow."""
    bases = [line for line in TEXT.splitlines() if line.startswith("ARG ")]
    sources = re.findall(r"^FROM (\S+) AS", TEXT, flags=re.MULTILINE)

    assert bases
    assert all(_PINNED.match(line) for line in bases)
    assert all(source.startswith("${") or source in _stages() for source in sources)


@pytest.mark.parametrize("target", TARGETS)
def test_no_image_runs_as_root(target: str) -> None:
    """By number, so that Kubernetes can tell without knowing the image's users."""
    stages = _stages()

    assert f"FROM base AS {target}" in TEXT
    assert stages["base"].rstrip().endswith("USER 65532:65532")
    assert "USER" not in stages[target]


@pytest.mark.parametrize("target", TARGETS)
def test_every_image_says_how_its_health_is_asked(target: str) -> None:
    """A step of a pipeline has none but its exit code, and says so."""
    said = re.search(r"^HEALTHCHECK (.+)$", _stages()[target], flags=re.MULTILINE)

    assert said is not None
    assert (said[1] == "NONE") == (target == "pipeline")


def test_nothing_is_installed_that_is_not_locked() -> None:
    """uv.lock names every file by hash; no other installer is called."""
    assert re.findall(r"\b(pip|apt-get|curl|wget)\b", TEXT) == []
    syncs = re.findall(r"uv sync[^\n]*", TEXT)

    assert syncs
    assert all("--frozen" in each for each in syncs)


def test_the_builder_is_sent_what_is_copied_and_no_more() -> None:
    """No tests, journals, keys or history: they could be taken along by accident."""
    sent = {path.relative_to(ROOT).as_posix() for path in _context()}
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", TEXT, flags=re.MULTILINE)
    sources = [source for line in copied for source in line.split()]

    for source in sources:
        assert any(name == source or name.startswith(f"{source}/") for name in sent), source
    for name in sent:
        assert any(name == source or name.startswith(f"{source}/") for source in sources), name


@pytest.mark.skipif(
    os.environ.get("MENDLOOP_TEST_IMAGES") != "1",
    reason="installs everything anew: set MENDLOOP_TEST_IMAGES=1, as .ci/run does",
)
def test_the_locked_commands_make_programs_that_start(tmp_path: Path) -> None:
    """The very `uv sync` lines of the Dockerfile, outside Docker: every entry point starts."""
    source, made = tmp_path / "src", tmp_path / "made"
    for path in _context():
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    inherited = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment = inherited | {"UV_PROJECT_ENVIRONMENT": str(made)}
    for command in _syncs():
        done = subprocess.run(
            [*command, "--quiet"], cwd=source, env=environment, capture_output=True, text=True
        )
        if "failed to fetch" in done.stderr.lower():
            pytest.skip("no package registry can be reached")
        assert done.returncode == 0, done.stderr
    shutil.rmtree(source)
    shell = {"PATH": f"{made}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    for command in ("mendloop --help", "python -m serving --help", "mlflow --help"):
        done = subprocess.run(
            shlex.split(command), cwd=tmp_path, env=shell, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
    steps = "import kfp.dsl.executor_main, pipelines.entry, importlib.util as u; "
    steps += "assert u.find_spec('envoy') is None; import s3fs, psycopg"
    checked([f"{made}/bin/python", "-c", steps], cwd=tmp_path, env=shell)


def _syncs() -> list[list[str]]:
    """Of the stages that controller, serving and pipeline steps are made from."""
    stages = _stages()
    joined = (stages["locked"] + stages["built"]).replace("\\\n", " ")
    found = re.findall(r"^RUN .*?(uv sync .*)$", joined, flags=re.MULTILINE)
    return [[program("uv"), *shlex.split(each)[1:]] for each in found]


def _context() -> list[Path]:
    """The files that .dockerignore leaves, of those under version control or new."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    return [ROOT / name for name in listed if (ROOT / name).is_file() and _is_sent(name, rules)]


def _is_sent(name: str, rules: list[str]) -> bool:
    """Docker's rule: the last pattern that matches the path or a folder above it decides."""
    sent = True
    parts = name.split("/")
    above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    for rule in rules:
        pattern = rule.removeprefix("!").removeprefix("**/")
        names = parts if "**/" in rule else above
        if any(fnmatch.fnmatchcase(each, pattern) for each in names):
            sent = rule.startswith("!")
    return sent
