"""What is put together from a Platform document, as far as it needs nobody to answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.meter import Meter
from orchestrator.platform.adapters import Adapters
from orchestrator.platform.document import Platform
from tools.clock import SystemClock
from tools.database_log import DatabasePredictionLog
from tools.documents import parse_document
from tools.errors import Invalid

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "platforms" / "cluster.yaml"


def adapters_of(tmp_path: Path, **sections: Any) -> Adapters:
    """Of the example of a cluster with these sections instead."""
    document = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    document["spec"] |= {"home": str(tmp_path), **sections}
    spec = parse_document(document, Platform, source="test").spec
    return Adapters(spec, clock=SystemClock(), meter=Meter())


def test_the_prediction_log_may_be_a_database(tmp_path: Path) -> None:
    """Its password is read from a file that Kubernetes mounts."""
    secret = tmp_path / "password"
    secret.write_text("planted-Passw0rd\n")
    place = {"url": "postgresql://reader@db/log", "passwordFrom": {"file": str(secret)}}

    log = adapters_of(tmp_path, predictionLog={"database": place}).log

    assert isinstance(log, DatabasePredictionLog)


def test_a_password_that_is_not_there_is_named(tmp_path: Path) -> None:
    """At the start, not at the first window."""
    place = {"url": "postgresql://reader@db/log", "passwordFrom": {"file": "/nowhere/password"}}

    with pytest.raises(Invalid, match=r"predictionLog[.]database[.]passwordFrom: cannot read"):
        _ = adapters_of(tmp_path, predictionLog={"database": place}).log


def test_only_postgresql_is_given_a_password(tmp_path: Path) -> None:
    """Others have ways of their own, and a secret would be lost in their URL."""
    secret = tmp_path / "password"
    secret.write_text("planted-Passw0rd")
    place = {"url": "bigquery://project/data", "passwordFrom": {"file": str(secret)}}

    with pytest.raises(Invalid, match=r"spec[.]predictionLog[.]database"):
        _ = adapters_of(tmp_path, predictionLog={"database": place}).log
