"""Guardrails: loaded strictly, judged purely, closed when anything goes wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from policies.context import GuardContext, declarations, values_of
from policies.engine import Decision, PolicySet, Ruling, judge, load_policies
from tools.errors import Invalid

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


def document(
    expression: str = "data.trusted", *, name: str = "rule", action: str = "Deny", more: str = ""
) -> str:
    """A policy with one validation."""
    return f"""\
apiVersion: mendloop.dev/v1alpha1
kind: GuardrailPolicy
metadata:
  name: {name}
spec:
  action: {action}
  validations:
    - expression: {expression}
      message: the rule forbids it
{more}"""


def loaded(*texts: str) -> PolicySet:
    """Policies in force."""
    return load_policies({f"policy-{i}.yaml": text for i, text in enumerate(texts)})


def moment(**values: Any) -> GuardContext:
    """A context with these values, the rest not known."""
    step = {"tool": "promote", "agent": "deployer", **values.pop("step", {})}
    return GuardContext.model_validate(
        {"target": "default/flights", "now": NOW, "step": step, **values}
    )


def ruled(text: str, **values: Any) -> Ruling:
    """The ruling of one policy."""
    return judge(loaded(text), moment(**values))


def test_a_rule_that_holds_allows() -> None:
    """And its verdict shows what it read."""
    ruling = ruled(document(), data={"trusted": True})

    assert ruling.decision is Decision.ALLOW
    assert ruling.verdicts[0].values == {"data.trusted": True}


@pytest.mark.parametrize(
    ("action", "decision"),
    [
        ("Deny", Decision.DENY),
        ("RequireApproval", Decision.REQUIRE_APPROVAL),
        ("Warn", Decision.ALLOW),
        ("Audit", Decision.ALLOW),
    ],
)
def test_a_violation_leads_to_the_policys_action(action: str, decision: Decision) -> None:
    """Four actions, from forbidding to only writing it down."""
    ruling = ruled(document(action=action), data={"trusted": False})

    assert ruling.decision is decision
    assert ruling.verdicts[0].result == "violated"
    assert bool(ruling.warnings) == (action == "Warn")


@pytest.mark.parametrize("action", ["Deny", "RequireApproval", "Warn", "Audit"])
@pytest.mark.parametrize(
    "expression",
    [
        "data.trusted",
        "budget.retrains / 0 == 1",
        "facts['nothing'] == 1",
        "step.arguments.percent < 5",
        "now.getHours('Nowhere/Land') == 3",
        "data.distrusted_feeds[3] == 'x'",
    ],
)
def test_a_rule_that_fails_denies_whatever_its_action(expression: str, action: str) -> None:
    """An error, a missing value, a wrong type at run time."""
    ruling = ruled(
        document(f'"{expression}"', action=action),
        budget={"retrains": 1},
        data={"distrusted_feeds": []},
        step={"arguments": {"percent": "five"}},
    )

    assert ruling.decision is Decision.DENY
    assert ruling.verdicts[0].result == "error"
    assert "rule failed" in ruling.reasons[0]


def test_a_missing_value_is_named() -> None:
    """The operator reads which value was not known."""
    assert "data.trusted is not known" in ruled(document()).reasons[0]


def test_a_known_alternative_makes_a_missing_value_irrelevant() -> None:
    """``first || second``: nobody needs the second when the first is true."""
    rule = document('"history.same_kind == 0 || history.hours_since_same_kind > 24.0"')

    assert ruled(rule, history={"same_kind": 0}).decision is Decision.ALLOW
    assert ruled(rule, history={"same_kind": 1}).decision is Decision.DENY


def test_one_denial_outweighs_everything() -> None:
    """Denial over approval over permission, whatever the order."""
    both = loaded(
        document("data.trusted", name="a", action="RequireApproval"),
        document("candidate.ready", name="b"),
    )
    asks = judge(both, moment(data={"trusted": False}, candidate={"ready": True}))
    denies = judge(both, moment(data={"trusted": False}, candidate={"ready": False}))

    assert asks.decision is Decision.REQUIRE_APPROVAL
    assert denies.decision is Decision.DENY
    assert denies.reasons == ("b: the rule forbids it",)


def test_an_approval_answers_a_request_but_no_denial() -> None:
    """A person's yes does not override a rule that forbids."""
    asks, denies = document(action="RequireApproval"), document(action="Deny")

    assert ruled(asks, data={"trusted": False}, approved=True).decision is Decision.ALLOW
    assert ruled(denies, data={"trusted": False}, approved=True).decision is Decision.DENY


@pytest.mark.parametrize(
    ("constraints", "matches"),
    [
        ("tools: [promote]", True),
        ("tools: ['pro*']", True),
        ("tools: ['retrain_*']", False),
        ("excludeTools: [promote]", False),
        ("targets: ['default/*']", True),
        ("targets: ['other/*']", False),
        ("stages: [acting]", True),
        ("stages: [planning]", False),
    ],
)
def test_a_policy_is_about_the_steps_that_it_matches(constraints: str, matches: bool) -> None:
    """Tools and targets by glob, and the stage."""
    ruling = ruled(document(more=f"  matchConstraints:\n    {constraints}\n"))

    assert bool(ruling.verdicts) == matches


def test_a_match_condition_narrows_and_fails_closed() -> None:
    """False: not about this step. Unknown: denied."""
    rule = document(
        more="  matchConditions: [{name: change, expression: step.changes_production}]\n"
    )

    assert ruled(rule, step={"changes_production": False}).verdicts == ()
    assert ruled(rule, step={"changes_production": True}).decision is Decision.DENY
    assert "step.changes_production is not known" in ruled(rule).verdicts[0].message


def test_variables_build_on_each_other() -> None:
    """Each may read those before it, and the verdict shows their values."""
    rule = document(
        "variables.left > 0",
        more=(
            "  variables:\n"
            "    - {name: left, expression: budget.max_retrains - budget.retrains}\n"
            "    - {name: none_left, expression: variables.left <= 0}\n"
        ),
    )
    ruling = ruled(rule, budget={"retrains": 2, "max_retrains": 6})

    assert ruling.decision is Decision.ALLOW
    assert ruling.verdicts[0].values == {"variables.left": 4}
    assert ruled(rule, budget={"retrains": 2}).decision is Decision.DENY


def test_a_variable_that_is_no_number_fails_the_rule() -> None:
    """With NaN every comparison is false, and its negation would pass."""
    rule = document(
        '"!(variables.rate > 0.5)"',
        more="  variables: [{name: rate, expression: double(budget.retrains) / 0.0}]\n",
    )

    assert ruled(rule, budget={"retrains": 0}).decision is Decision.DENY


def test_messages_carry_the_values_of_the_moment() -> None:
    """Worded by CEL; the fixed message stands in when that fails."""
    words = "      messageExpression: \"'only ' + string(budget.max_retrains)\"\n"
    rule = document("data.trusted", more="").replace("forbids it\n", "forbids it\n" + words)
    known = ruled(rule, data={"trusted": False}, budget={"max_retrains": 6})
    unknown = ruled(rule, data={"trusted": False})

    assert known.reasons == ("rule: only 6",)
    assert unknown.reasons == ("rule: the rule forbids it",)


REFUSED = {
    "undeclared name": (document("data.trustd"), r"policy-0\.yaml:8:23: .*data\.trustd"),
    "wrong type": (document("budget.retrains < 2.5"), r"policy-0\.yaml:8:35: .*double\(x\)"),
    "not a condition": (document("budget.retrains + 1"), "comes to a int, expected a bool"),
    "no expression": (document("data.trusted &&"), "Syntax error"),
    "quoted": (document('"data.trustd"'), r"policy-0\.yaml:8:24: "),
    "literal block": (
        document("|\n        data.trusted &&\n        candidate.redy"),
        r"policy-0\.yaml:10:18: ",
    ),
    "too long": (document(" || ".join(["data.trusted"] * 200)), "at most 2000"),
    "unknown field": (document(more="  severity: high\n"), r"spec\.severity: unknown field"),
    "failing open": (document(more="  failurePolicy: Ignore\n"), "failurePolicy"),
    "unknown action": (document(action="Shrug"), r"spec\.action"),
    "no message": (document().replace("message: the rule", "#"), "message"),
    "a variable of itself": (
        document(more="  variables: [{name: x, expression: variables.x}]\n"),
        r"variables\.x",
    ),
    "not YAML": ("a: [", "not valid YAML"),
    "not a document": ("- 1", "expected a GuardrailPolicy document"),
    "another kind": (document().replace("GuardrailPolicy", "Deployment"), "kind"),
    "nothing at all": ("", "no policy was found"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_policy_is_refused_when_loaded(case: str) -> None:
    """With the place in the file, and what was expected there."""
    text, message = REFUSED[case]
    with pytest.raises(Invalid, match=message):
        loaded(text)


def test_two_policies_of_one_name_are_refused() -> None:
    """Otherwise one would silently replace the other."""
    with pytest.raises(Invalid, match="another policy named rule"):
        loaded(document(), document())


def test_one_file_may_hold_several_policies() -> None:
    """Documents separated as YAML does it."""
    text = document(name="a") + "---\n" + document(name="b")

    assert [policy.name for policy in loaded(text).policies] == ["a", "b"]


def test_the_digest_says_which_rules_were_in_force() -> None:
    """The same rules give the same digest, however they are spread over files."""
    a, b = document(name="a"), document(name="b")

    assert loaded(a, b).digest == loaded(b + "---\n" + a).digest
    assert loaded(a).digest != loaded(a.replace("it", "that")).digest


def test_a_rule_that_runs_away_denies() -> None:
    """The runtime bounds its iterations; nobody waits."""
    numbers = "[" + ",".join(str(n) for n in range(60)) + "]"
    rule = f'"{numbers}.all(a, {numbers}.all(b, {numbers}.all(c, {numbers}.all(d, a+b+c+d >= 0))))"'

    assert ruled(document(rule)).decision is Decision.DENY


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_context_holds_only_numbers(value: float) -> None:
    """NaN would make rules pass that are written with a negation."""
    with pytest.raises(ValidationError):
        moment(step={"risk": value})
    with pytest.raises(ValidationError):
        moment(step={"arguments": {"share": value}})


def test_an_oversize_context_is_refused() -> None:
    """Rules judge figures and names, not data."""
    with pytest.raises(ValidationError, match="65536"):
        moment(facts={"rows": "x" * 70_000})


def test_every_known_value_of_a_context_is_declared() -> None:
    """What is not declared could be read by no rule."""
    context = moment(
        event_time=NOW,
        autonomy="auto",
        data={"trusted": True, "distrusted_feeds": ["weather"]},
        traffic={"split": {"1": 100}},
    )

    assert values_of(context).keys() <= declarations().keys()
    assert values_of(context)["data.distrusted_feeds"] == ["weather"]
    assert "traffic.next_percent" not in values_of(context)


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)


@given(st.dictionaries(st.sampled_from(["percent", "version", "x"]), SCALARS))
def test_whatever_the_arguments_judging_raises_nothing(arguments: dict[str, Any]) -> None:
    """Only a percent that is a small enough number passes."""
    ruling = judge(PERCENT, moment(step={"arguments": arguments}))
    percent = arguments.get("percent")
    passes = isinstance(percent, int) and not isinstance(percent, bool) and percent <= 25
    within = not isinstance(percent, int) or abs(percent) < 2**63

    assert (ruling.decision is Decision.ALLOW) == (
        passes and within and all(_is_small(v) for v in arguments.values())
    )


def _is_small(value: Any) -> bool:
    """CEL has 64 bits; a context with more fails as a whole, which denies."""
    return not isinstance(value, int) or -(2**63) <= value < 2**63


PERCENT = load_policies({"p": document("step.arguments.percent <= 25")})


@pytest.mark.parametrize(
    "expression",
    [
        "traffic .next_percent > 10",
        "traffic. next_percent > 10",
        "size(facts) == 1 && traffic.next_percent > 10",
        "facts['quality'] == 'meets' && [traffic.next_percent].exists(step, step > 10)",
    ],
)
def test_a_rule_gets_every_value_that_it_reads_however_it_is_written(expression: str) -> None:
    """Only the values that stand in its text are handed over: none may be overlooked."""
    ruling = ruled(document(expression), traffic={"next_percent": 25}, facts={"quality": "meets"})

    assert ruling.decision is Decision.ALLOW, ruling.reasons


def test_a_policy_says_whether_its_denial_may_pass_by_itself() -> None:
    """The incident waits only when every rule that denies may."""
    passing = document("1 == 2", more="  transient: true\n")
    lasting = document("1 == 2", name="other")

    assert judge(loaded(passing), moment()).is_transient is True
    assert judge(loaded(passing, lasting), moment()).is_transient is False
    assert judge(loaded(document("1 == 1")), moment()).is_transient is False


def test_while_planning_only_what_is_known_forbids() -> None:
    """A value that does not exist yet is asked for again right before the act, and denies then."""
    unknown = ruled(document(), stage="planning")
    known = ruled(document(), stage="planning", data={"trusted": False})

    assert (unknown.decision, unknown.forbidding) == (Decision.DENY, ())
    assert (known.decision, known.forbidding) == (Decision.DENY, ("rule",))
