"""Terraform itself on the modules: form, validity, and plans and applies made from mocks.

Providers are the stand-in of ``tests/stand_in/terraform_provider.py``, which has the real ones'
schemas and no cloud. The same ``*.tftest.hcl`` files run with the real providers after
``terraform init``, and need no account there either.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stand_in.terraform_files import EXAMPLES, MODULES, ROOT
from tests.stand_in.terraform_provider import running

HERE = Path(__file__).parent
SCHEMAS = HERE / "provider_schemas.json"
TERRAFORM = shutil.which("terraform")
TESTED = [p for p in (*MODULES, *EXAMPLES) if (p / "tests").is_dir()]

pytestmark = pytest.mark.skipif(
    TERRAFORM is None or sys.platform != "linux",
    reason="terraform is not on the PATH (or this is not Linux)",
)


@pytest.fixture(scope="module")
def providers() -> Iterator[str]:
    """The stand-ins, and the words by which Terraform finds them."""
    schemas = json.loads(SCHEMAS.read_text(encoding="utf-8"))
    # pytest's own folders have names too long for sockets
    with tempfile.TemporaryDirectory() as folder, running(schemas, Path(folder)) as found:
        yield found


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The modules somewhere that Terraform may write to."""
    return Path(shutil.copytree(ROOT, tmp_path / "terraform"))


def terraform(
    folder: Path, *arguments: str, providers: str = "{}"
) -> subprocess.CompletedProcess[str]:
    """Run terraform in ``folder``, away from any registry and any account."""
    assert TERRAFORM is not None
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "AWS_"))}
    added = {"CHECKPOINT_DISABLE": "1", "TF_CLI_CONFIG_FILE": os.devnull}
    return subprocess.run(
        [TERRAFORM, *arguments],
        cwd=folder,
        env=kept | added | {"TF_REATTACH_PROVIDERS": providers},
        capture_output=True,
        text=True,
        timeout=300,
    )


def initialised(folder: Path, providers: str) -> Path:
    """The folder with its modules found; the providers are there already."""
    settings = ("-backend=false", "-input=false", "-no-color")
    done = terraform(folder, "init", *settings, providers=providers)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_files_are_in_canonical_form() -> None:
    """`terraform fmt -recursive infra/terraform` would change nothing."""
    done = terraform(ROOT, "fmt", "-check", "-recursive", "-diff")

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("folder", TESTED, ids=lambda p: p.name)
def test_plans_come_to_what_the_module_promises(folder: Path, copy: Path, providers: str) -> None:
    """Every run of its own tests passes; an example applies all modules together."""
    place = initialised(copy / folder.relative_to(ROOT), providers)
    done = terraform(place, "test", "-no-color", providers=providers)

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_stand_in_notices_what_is_wrong(copy: Path, providers: str) -> None:
    """Else the tests above could not fail."""
    folder = copy / "modules" / "mesh"
    main = folder / "main.tf"
    main.write_text(main.read_text().replace("atomic           = true", "atomically = true", 1))

    done = terraform(initialised(folder, providers), "validate", "-no-color", providers=providers)

    assert done.returncode != 0
    assert 'An argument named "atomically" is not expected here' in done.stderr
