"""The commented scenario document that ``mendloop simulate new`` writes."""

from __future__ import annotations

import re
from pathlib import Path

from tools.errors import Invalid, Refused

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")

TEMPLATE = """\
# A rehearsal. Run it:        mendloop simulate {name}.yaml --seeds 3
# Every field, with its type:  mendloop schema Scenario
# Durations are 90s, 30m, 12h, 3d and count from the world's start.
apiVersion: mendloop.dev/v1alpha1
kind: Scenario
metadata:
  name: {name}
  labels: {{family: mine}}
spec:
  description: Heavy parcels, late until now, are suddenly the ones in time.

  # The world before anything goes wrong. All of it may be left out.
  world:
    duration: 12d
    # Two models that share the weather feed would be: [{{name: parcels}}, {{name: pallets}}]
    models:
      - name: parcels
        # Fields of its ManagedModel that differ from the usual ones:
        # spec: {{rollout: {{probation: 1d}}, guardrails: {{autonomy: approve}}}}
    population: {{rowsPerHour: 60}}       # logged rows; columns weight, distance, wind, rain, depot
    traffic: {{requestsPerSecond: 20}}    # counted requests; servers are quick up to capacity 100

  # What goes wrong, and when. Kinds: covariate_drift, concept_drift, label_drift, feedback,
  # seasonal_swing, mix_shift, noisy_slice, null_surge, frozen_feed, unit_change, schema_change,
  # late_labels, missing_labels, wrong_labels, poisoning, leakage, miscalibration,
  # training_serving_skew, slice_regression, slow_servers, failing_servers, traffic_surge,
  # training_fault, broken_artifacts, release, metrics_blackout, metrics_gap, port_outage,
  # weights_stuck, weights_edited, alias_moved, server_crash, controller_crash, freeze,
  # duplicate_triggers.
  faults:
    - kind: concept_drift
      onset: 3d
      # ramp: 2d          # comes up slowly
      # end: 9d           # and goes away again
      # on: canary_started  # onset counts from when an operator did this, not from the start
      feature: weight
      size: 2.3

  # noise: {{errors: 0.002, slow: 0.004, unlabelled: 0.02}}
  # guardrails: {{approver: {{answers: approves, after: 30m}}}}

  # What is really the case, and what a good operator would do.
  truth:
    kind: fault           # fault | nothing | decoy | compound
    causes:
      - {{target: parcels, cause: concept_drift}}
    goodOperator: Retrain on labels from after the change, prove it in a canary, promote it.
    acceptable: [replace_model]   # anything else that is done to the model is a false action
    forbidden: [mask]
    mitigatedWhen: {{measure: excess_loss, below: 0.1, heldFor: 12h}}
    expect: [detected, diagnosed] # left out: mitigated as well

  # scoring: {{detectWithin: 4d, repairWithin: 8d}}
"""


def write_template(name: str, into: Path) -> Path:
    """Write ``NAME.yaml``. Raises Invalid for a name that cannot be one, Refused where it is."""
    if not _NAME.fullmatch(name):
        raise Invalid("expected lower-case letters, digits and dashes", field="NAME")
    path = into / f"{name}.yaml"
    if path.exists():
        raise Refused(f"{path} exists already; choose another name or remove it")
    into.mkdir(parents=True, exist_ok=True)
    path.write_text(TEMPLATE.format(name=name), encoding="utf-8")
    return path
