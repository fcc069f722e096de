"""Planted secrets do not come through the journal's door; ordinary words and figures do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.journal.redaction import MASK, may_hold_secrets, redacted, redacted_text

HIDDEN = "Zq9" + "x7Kp" * 9
"""Stands in for the secret part; assembled so that no scanner takes this file for a leak."""

TEXTS = {
    "password in a URL": f"connecting to postgresql://kim:{HIDDEN}@db:5432/mlflow failed",
    "token in a URL": f"cloned https://{HIDDEN}@git.example/repo.git",
    "password with odd characters": f"https://kim:p:{HIDDEN}!$@host/path",
    "header": f"Authorization: Bearer {HIDDEN}",
    "header, basic": f"sent 'Authorization': 'Basic {HIDDEN}=='",
    "header of a proxy": f"Proxy-Authorization: Basic {HIDDEN}",
    "bearer in a sentence": f"the server refused bearer {HIDDEN}",
    "assignment": f"PGPASSWORD={HIDDEN} psql -h db",
    "assignment, quoted": f'api_key="{HIDDEN} with blanks"',
    "query": f"GET /v1?api_key={HIDDEN}&page=2",
    "signed URL": f"https://blob.example/c?sv=2024&sig={HIDDEN}",
    "AWS": "AKIA" + "ABCDEFGHIJKLMNOP",
    "GitHub": "ghp_" + HIDDEN,
    "GitHub, fine": "github_pat_" + HIDDEN,
    "GitLab": "glpat-" + HIDDEN,
    "Slack": "xoxb-" + HIDDEN,
    "Slack webhook": f"https://hooks.slack.com/services/T0/B0/{HIDDEN}",
    "Google": "AIza" + HIDDEN,
    "web token": f"eyJ{HIDDEN}.eyJ{HIDDEN}.{HIDDEN}",
    "Stripe": "sk_live_" + HIDDEN,
    "PyPI": "pypi-" + HIDDEN,
    "Hugging Face": "hf_" + HIDDEN,
    "Databricks": "dapi" + "0123456789abcdef" * 2,
    "our own signing key": f"PRIVATE+KEY+mendloop+1234+{HIDDEN}",
    "PEM": f"-----BEGIN RSA PRIVATE KEY-----\n{HIDDEN}\n-----END RSA PRIVATE KEY-----",
    "PEM, cut off": f"-----BEGIN PRIVATE KEY-----\n{HIDDEN}",
}


@pytest.mark.parametrize("case", TEXTS)
@pytest.mark.parametrize("place", ["text", "nested", "list", "key"])
def test_a_planted_secret_is_masked_wherever_it_stands(case: str, place: str) -> None:
    """In a message, deep inside a payload, in a list, even as a name."""
    text = TEXTS[case]
    value: Any = {
        "text": {"detail": text},
        "nested": {"output": {"before": {"response": {"body": text}}}},
        "list": {"lines": [["fine"], [text, {"again": text}]]},
        "key": {"headers": {text: "x"}},
    }[place]
    told = str(redacted(value))

    assert may_hold_secrets(str(value))
    for secret in (HIDDEN, "AKIAABCDEFGHIJKLMNOP", "0123456789abcdef" * 2):
        assert secret not in told
    assert MASK in told


@pytest.mark.parametrize(
    "value",
    [
        {"db_password": "hunter2"},
        {"clientSecret": "hunter2"},
        {"MLFLOW_TRACKING_TOKEN": "hunter2"},
        {"apiKey": "hunter2", "api-key": "hunter2"},
        {"credentials": {"user": "hunter2", "parts": ["hunter2", {"x": "hunter2"}]}},
        {"Cookie": "hunter2"},
        {"env": [{"name": "DB_PASSWORD", "value": "hunter2"}]},
        {"private_key": "hunter2"},
    ],
    ids=str,
)
def test_text_under_a_telling_name_is_masked(value: dict[str, Any]) -> None:
    """Whatever it looks like, however deep below the name."""
    assert may_hold_secrets(str(value))
    assert "hunter2" not in str(redacted(value))


PLAIN = [
    "the lease on default/flights with token 7 is lost",
    "log loss 0.412 against 0.389, z = 3.2, p = 0.0007",
    "https://mlflow.example:5000/#/experiments/3 said 503",
    "start-canary-0123456789abcdef01234567",
    "sha256:" + "9f86d081" * 8,
    "mendloop-journal-0011aabb+1234abcd+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz",
    "cannot be used: training.data is full is out of reach",
    "spiffe://cluster.local/ns/default/sa/flights",
    "the bearer of bad news",
    "tokens: 512, passwords: 0",
]


@pytest.mark.parametrize("text", PLAIN)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    """Digests, names, figures, public keys and fencing tokens are needed as they are."""
    assert redacted({"detail": text}) == {"detail": text}


def test_numbers_and_truths_under_a_telling_name_stay() -> None:
    """A fencing token is no secret."""
    value = {"token": 7, "has_password": True, "secret": None, "tokens": [1, 2.5]}

    assert redacted(value) == value


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(JSON)
def test_masking_twice_changes_nothing_more(value: Any) -> None:
    """What was masked once is settled."""
    once = redacted(value)

    assert redacted(once) == once


@given(st.text())
def test_the_quick_look_never_misses_what_the_patterns_find(text: str) -> None:
    """It only saves time."""
    if redacted({"x": text}) != {"x": text}:
        assert may_hold_secrets(text)
    assert may_hold_secrets(text) or redacted_text(text) == text
