"""How long guardrails take: 20 rules on one step, and all shipped rules on every step of a plan.

Beside it, in the same run, the same 20 rules written in Python: what a language that people can
read, check and replay costs.
Run: python -m benchmarks.guardrails [--quick] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

from orchestrator.policy_files import builtin_policies
from policies.context import GuardContext
from policies.engine import PolicySet, judge, load_policies

LIMIT_MS = 5.0
RULES = 20
STEP = {
    "target": "shop/price",
    "incident": "inc-1",
    "now": datetime(2026, 1, 5, 12, tzinfo=UTC),
    "event_time": datetime(2026, 1, 5, 11, tzinfo=UTC),
    "autonomy": "auto",
    "facts": {f"fact.{number}": "unknown" for number in range(20)},
    "step": {
        "tool": "retrain_full",
        "agent": "trainer",
        "changes_production": False,
        "is_safe_return": False,
        "takes_back_own": False,
        "risks": ["trains"],
        "cost_minutes": 10.0,
        "cost_money": 10.0,
    },
    "data": {"trusted": True, "distrusted_feeds": []},
    "budget": {
        "retrains": 2,
        "max_retrains": 6,
        "spent": {"changes": 12.0, "minutes": 40.0, "money": 30.0},
        "limits": {"changes": 50.0, "minutes": 500.0, "money": 200.0},
    },
    "history": {
        "same_kind": 1,
        "hours_since_same_kind": 400.0,
        "evidence_hours_since_same_kind": 380.0,
        "cool_down_hours": 168.0,
    },
    "calendar": {"freezes": [], "holidays": []},
    "fleet": {"changing": [], "traffic_percent": 10.0, "spent": {}, "limits": {}},
    "limits": {"ask_before": []},
    "pause": {"active": False},
}
POLICY = """
apiVersion: mendloop.dev/v1alpha1
kind: GuardrailPolicy
metadata: {{name: own-{number}}}
spec:
  matchConstraints: {{tools: ["retrain_*"]}}
  matchConditions:
    - {{name: going back is free, expression: "!step.is_safe_return"}}
  variables:
    - {{name: left, expression: "budget.limits['money'] - budget.spent['money']"}}
  validations:
    - expression: variables.left >= step.cost_money && budget.retrains < budget.max_retrains
      message: the budget is used up
      messageExpression: "'left are ' + string(variables.left)"
"""


def twenty() -> PolicySet:
    """Rules that all match the step: a condition, a variable, a comparison of each."""
    return load_policies({str(n): POLICY.format(number=n) for n in range(RULES)})


def in_python(context: GuardContext) -> list[tuple[bool, str]]:
    """The same twenty rules, by hand."""
    verdicts = []
    for _ in range(RULES):
        if context.step.is_safe_return:
            continue
        spent, limits = context.budget.spent, context.budget.limits
        retrains, most = context.budget.retrains, context.budget.max_retrains
        cost = context.step.cost_money
        if spent is None or limits is None or retrains is None or most is None or cost is None:
            verdicts.append((False, "not known"))
            continue
        left = limits["money"] - spent["money"]
        passed = left >= cost and retrains < most
        verdicts.append((passed, "" if passed else f"left are {left}"))
    return verdicts


def median_ms(work: Callable[[], object], repeats: int) -> float:
    """Of ``repeats`` runs, after a tenth as many to warm up."""
    for _ in range(repeats // 10 + 1):
        work()
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken)


def measure(repeats: int) -> dict[str, float]:
    """Medians in milliseconds."""
    rules, shipped = twenty(), builtin_policies()
    context = GuardContext.model_validate(STEP)
    ruling = judge(rules, context)
    if len(ruling.verdicts) != RULES or ruling.decision != "allow":
        raise SystemExit(f"expected {RULES} rules to pass, got {ruling}")
    return {
        "rules": RULES,
        "judge_ms": median_ms(lambda: judge(rules, context), repeats),
        "python_ms": median_ms(lambda: in_python(context), repeats),
        "context_ms": median_ms(lambda: GuardContext.model_validate(STEP), repeats),
        "shipped_policies": len(shipped.policies),
        "shipped_ms": median_ms(lambda: judge(shipped, context), repeats),
        "loading_shipped_ms": median_ms(builtin_policies, 3),
    }


def main() -> None:
    """Measure, print, and write the figures as JSON when asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    figures = measure(200 if arguments.quick else 2000)
    held = figures["judge_ms"] < LIMIT_MS and figures["shipped_ms"] < LIMIT_MS
    if arguments.json:
        print(json.dumps({**figures, "holds": held}))
        sys.exit(0 if held else 1)
    for name, value in figures.items():
        print(f"{name:20} {value:,.3f}")
    print(f"{RULES} rules on one step in under {LIMIT_MS:g} ms: {'held' if held else 'missed'}")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
