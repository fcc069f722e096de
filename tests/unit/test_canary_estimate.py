"""The time to a decision, told beforehand: bound, simulation, command line."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from orchestrator.cli.main import cli
from tools.errors import Invalid
from tools.statistics.eprocess import ArmCounts, Stretch, log_harm, log_non_inferiority
from tools.statistics.time_to_decision import harm_bound, harm_time, promotion_time

ASKED = ["canary", "estimate", "--stable-rate", "0.01", "--canary-rate", "0.02", "--share", "0.1"]


def test_the_lower_bound_is_the_published_figure() -> None:
    """1 % against 2 %, share 10 %, both error rates 5 %: 7,738 requests."""
    assert round(harm_bound(0.01, 0.02, 0.1, alpha=0.05, beta=0.05)) == 7738


def test_the_lower_bound_is_walds() -> None:
    """The same from scipy's entropies."""
    demand = stats.entropy([0.9, 0.1], [0.02, 0.98])
    pooled = 0.3 * 0.05 + 0.7 * 0.01
    information = 0.3 * stats.entropy([0.05, 0.95], [pooled, 1 - pooled])
    information += 0.7 * stats.entropy([0.01, 0.99], [pooled, 1 - pooled])

    assert harm_bound(0.01, 0.05, 0.3, alpha=0.02, beta=0.1) == pytest.approx(demand / information)


def test_the_expected_number_is_within_half_again_of_the_bound() -> None:
    """The claim: mean requests to prove harm <= 1.5 x 7,738."""
    found = harm_time(0.01, 0.02, 0.1)

    assert found.lower_bound <= found.expected <= 1.5 * 7738
    assert found.expected <= found.p90 <= found.planned


def measured(
    step: Stretch,
    log_e: Callable[[Sequence[Stretch]], float],
    seed: int,
    rates: tuple[float, float],
) -> list[int]:
    """Requests until 1/0.05, simulated request block by request block with the real process."""
    rng = np.random.default_rng(seed)
    size = step.stable.requests + step.canary.requests
    stops = []
    for _ in range(80):
        seen, total = step.model_copy(update={"stable": ArmCounts(), "canary": ArmCounts()}), 0
        while log_e([seen]) < math.log(20):
            total += size
            to_canary = int(rng.binomial(size, step.share))
            bad = [
                int(rng.binomial(size - to_canary, rates[0])),
                int(rng.binomial(to_canary, rates[1])),
            ]
            seen = Stretch(
                stable=seen.stable + ArmCounts(requests=size - to_canary, bad=bad[0]),
                canary=seen.canary + ArmCounts(requests=to_canary, bad=bad[1]),
                share=step.share,
            )
        stops.append(total)
    return stops


def test_the_harm_time_is_what_the_process_takes() -> None:
    """Against the process itself, simulated by other code: the means agree within 25 %."""
    step = Stretch(stable=ArmCounts(requests=50), canary=ArmCounts(requests=50), share=0.5)
    stops = measured(step, log_harm, 1, (0.02, 0.06))

    assert harm_time(0.02, 0.06, 0.5).expected == pytest.approx(np.mean(stops), rel=0.25)


def test_the_promotion_time_is_what_the_process_takes() -> None:
    """The same for an equal canary and a margin."""
    step = Stretch(stable=ArmCounts(requests=40), canary=ArmCounts(requests=10), share=0.2)
    stops = measured(step, lambda seen: log_non_inferiority(seen, 0.05), 2, (0.02, 0.02))
    told = promotion_time(0.02, 0.02, 0.2, margin=0.05)

    assert told.expected == pytest.approx(np.mean(stops), rel=0.25)
    assert np.mean(np.array(stops) <= told.planned) >= 0.85


def test_the_same_seed_tells_the_same() -> None:
    """Figures can be replayed; another seed differs a little."""
    assert harm_time(0.01, 0.02, 0.1, seed=3) == harm_time(0.01, 0.02, 0.1, seed=3)
    assert harm_time(0.01, 0.02, 0.1, seed=3).expected != harm_time(0.01, 0.02, 0.1).expected


@pytest.mark.parametrize(
    ("stable", "canary", "share"),
    [(0.0, 0.05, 0.05), (0.3, 0.99, 0.5), (1e-5, 1e-3, 0.01), (0.01, 0.011, 0.1)],
)
def test_extreme_rates_have_a_time(stable: float, canary: float, share: float) -> None:
    """From one error in a hundred thousand to nearly all, and a difference of a tenth."""
    found = harm_time(stable, canary, share)

    assert 0 < found.lower_bound <= found.expected <= found.p90


def test_what_cannot_be_told_apart_is_refused() -> None:
    """A difference below what the test resolves names the rate."""
    with pytest.raises(Invalid, match="canary_rate"):
        harm_time(0.01, 0.0100001, 0.1)
    with pytest.raises(Invalid, match="margin"):
        promotion_time(0.01, 0.03, 0.1, margin=0.02)


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and everything printed."""
    result = CliRunner().invoke(cli, list(arguments))
    return result.exit_code, result.output


def test_the_command_prints_json_with_the_promised_keys() -> None:
    """lower_bound, expected, p90, duration_s."""
    code, output = run(*ASKED, "--rps", "10", "--json")
    report = json.loads(output)

    assert code == 0
    assert report["lower_bound"] == 7738
    assert report["lower_bound"] < report["expected"] < report["p90"]
    assert report["duration_s"] == pytest.approx(report["expected"] / 10)


def test_the_command_adds_the_promotion_when_a_margin_is_given() -> None:
    """One call plans both decisions; without a rate the duration is null, not zero."""
    code, output = run(*ASKED, "--margin", "0.01", "--json")
    report = json.loads(output)

    assert code == 0
    assert report["question"] == "harm"
    assert report["promotion"]["question"] == "promotion"
    assert report["duration_s"] is None


def test_a_deadline_that_is_too_short_is_said() -> None:
    """Exit code 1, and what to do."""
    code, output = run(*ASKED, "--rps", "1", "--deadline", "60")

    assert code == 1
    assert "too few" in output


def test_the_table_is_for_people() -> None:
    """Names in words, thousands separated."""
    code, output = run(*ASKED, "--rps", "10")

    assert code == 0
    assert "7,738" in output
    assert "90th percentile" in output


@pytest.mark.parametrize(
    ("changed", "option"),
    [
        (["--share", "10"], "--share"),
        (["--share", "nan"], "--share"),
        (["--stable-rate", "-0.1"], "--stable-rate"),
        (["--canary-rate", "0.01"], "--canary-rate"),
        (["--canary-rate", "0.01000001"], "--canary-rate"),
        (["--alpha", "0.6", "--beta", "0.5"], "--beta"),
        (["--margin", "0"], "--margin"),
        (["--rps", "0"], "--rps"),
        (["--rps", "inf"], "--rps"),
        (["--deadline", "60"], "--rps"),
    ],
)
def test_wrong_input_names_the_option(changed: list[str], option: str) -> None:
    """Exit code 2 and the option, never a traceback."""
    code, output = run(*ASKED, *changed)

    assert code == 2
    assert option in output
    assert "Traceback" not in output


def test_help_has_an_example() -> None:
    """Both levels."""
    for arguments in (["canary"], ["canary", "estimate"]):
        code, output = run(*arguments, "--help")

        assert code == 0
        assert "Example: mendloop canary estimate" in " ".join(output.split())
