"""Fails unless a demo's report says that the loop closed: ``check_report.py REPORT``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def broken_claims(report: dict[str, Any]) -> list[str]:
    """What the report should say and does not."""
    diagnoses = {incident["diagnosis"] for incident in report["incidents"]}
    done = [
        {a["tool"] for a in i["actions"] if a["outcome"].startswith(("applied", "already"))}
        for i in report["incidents"]
    ]
    quality = report["quality"]["total"]
    claims = {
        "a drift was found": bool(diagnoses & {"concept_drift", "covariate_drift", "label_drift"}),
        "a retrained model was promoted": any(
            "promote" in d and d & {"retrain_full", "retrain_recent"} for d in done
        ),
        "the broken feed was fallen back from, and not trained on": any(
            "fall_back_to_trusted_data" in d and not d & {"retrain_full", "retrain_recent"}
            for d in done
        ),
        "the feed's recovery was taken up": any("restore_inputs" in d for d in done),
        "the bad release was undone": any("roll_back" in d for d in done),
        "no request failed for another reason": report["requests"]["failed_otherwise"] == 0,
        "no effect happened twice": report["crash"]["duplicated_effects"] == 0,
        "a person was asked, said yes, and the step was taken": any(
            a["status"] == "used" and a["by"] for a in report["approvals"]
        ),
        "a policy denied a step": bool(report["denials"]),
        "the journal verifies": report["journal"]["verified"] is True,
        "what was served beats the never-retrained model": quality["served"]["log_loss"]
        < quality["never_retrained"]["log_loss"],
    }
    return [claim for claim, holds in claims.items() if not holds]


if __name__ == "__main__":
    missing = broken_claims(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    for claim in missing:
        print(f"not in the report: {claim}")
    sys.exit(1 if missing else 0)
