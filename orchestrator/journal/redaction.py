"""Takes secrets out of what is about to be written down: the only door of the journal uses it.

Typed secrets (pydantic's ``SecretStr``) are masked by pydantic already when a payload becomes JSON.
This finds the others: passwords inside URLs, credentials of HTTP headers, tokens of well-known
issuers by their shape, private keys, and any text that stands under a name such as ``password``.
Numbers are never touched: a fencing token is no secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

MASK = "[redacted]"

_NAMED = (
    r"(?:pass(?:word|wd|phrase|code)|(?<![a-z])pwd(?![a-z])|secret|token|credential|authorization"
    r"|api[-_. ]?key|access[-_. ]?key|private[-_. ]?key|signing[-_. ]?key|account[-_. ]?key|cookie"
    r"|session[-_. ]?id)"
)
_SECRET_NAME = re.compile(_NAMED, re.IGNORECASE)

_SHAPES = (
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",  # AWS key ids
    r"\bgh[opsur]_[A-Za-z0-9]{20,}",  # GitHub
    r"\bgithub_pat_[A-Za-z0-9_]{20,}",
    r"\bglpat-[A-Za-z0-9_-]{16,}",  # GitLab
    r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",  # Slack
    r"\bAIza[0-9A-Za-z_-]{30,}",  # Google
    r"\bya29\.[0-9A-Za-z_-]{20,}",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",  # JSON web tokens
    r"\b[rs]k[-_](?:live|test|proj|ant)?[-_]?[A-Za-z0-9_-]{20,}",  # Stripe and API keys alike
    r"\bnpm_[A-Za-z0-9]{30,}",
    r"\bpypi-[A-Za-z0-9_-]{30,}",
    r"\bhf_[A-Za-z0-9]{30,}",  # Hugging Face
    r"\bdapi[0-9a-f]{32}\b",  # Databricks
    r"\bPRIVATE\+KEY\+[^\s\"']+",  # signed notes
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
)
_TOKEN = re.compile("|".join(_SHAPES), re.DOTALL)
_USERINFO = re.compile(r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]*://)(?P<who>[^\s/?#\"'<>]+)@")
_WEBHOOK = re.compile(r"(?P<head>hooks\.slack\.com/(?:services|workflows)/)[^\s\"'<>]+")
_HEADER = re.compile(
    r"(?P<head>\b(?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?(?:[A-Za-z]+\s+)?)"
    r"(?P<value>[A-Za-z0-9\-._~+/]+=*)",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?P<head>\bbearer\s+)(?P<value>[A-Za-z0-9\-._~+/]{8,}=*)", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"(?P<head>[\w.-]*{_NAMED}[\w.-]*[\"']?\s*[:=]\s*)"
    r"(?P<value>\"[^\"]*\"|'[^']*'|[^\s\"',;&)\]}]+)",
    re.IGNORECASE,
)
_SIGNED_URL = re.compile(r"(?P<head>[?&](?:sig|signature|x-amz-signature|key)=)[^&\s\"'#]+", re.I)

# Text without any of these holds no secret that the patterns above would find. Looking for them
# costs a small part of what the patterns do, and nearly every payload stops here: the words that
# ordinary payloads are full of (``key``, a fencing ``token``, rules that ``passed``) are looked at
# more closely.
_NEEDLES = (
    *("://", "bearer", "authorization", "pwd", "secret", "credential", "cookie", "akia", "asia"),
    *("gho_", "ghp_", "ghs_", "ghu_", "ghr_", "github_pat_", "glpat-", "xox", "aiza", "ya29."),
    *("eyj", "sk-", "sk_", "rk_", "rk-", "npm_", "pypi-", "hf_", "dapi", "hooks.slack.com"),
)
_DOUBTFUL = (
    ("key", re.compile(r"(?:api|access|private|signing|account)[-_. +]?key|[?&]key=")),
    ("token", re.compile(r"token(?!\":\d+[,}])")),
    ("pass", re.compile(r"pass(?:word|wd|phrase|code)")),
    ("session", re.compile(r"session[-_. ]?id")),
    ("sig", re.compile(r"[?&](?:sig|signature|x-amz-signature)=")),
)


_NAME_LENGTH = 40


def may_hold_secrets(text: str) -> bool:
    """A quick look: False means that ``redacted`` would change nothing."""
    lowered = text.lower()
    for needle in _NEEDLES:
        if needle in lowered:
            return True
    return any(word in lowered and pattern.search(lowered) for word, pattern in _DOUBTFUL)


def redacted(value: Any) -> Any:
    """``value`` (JSON-native) with every secret in it masked; the rest is as it was."""
    return _walk(value, named=False)


def redacted_text(text: str) -> str:
    """One text, an error message for instance, with the secrets in it masked."""
    return _name_redacted(text) if len(text) <= _NAME_LENGTH else _redacted_text(text)


@lru_cache(maxsize=4096)
def _name_redacted(text: str) -> str:
    """Names of fields and other short texts come again with every event: looked at once."""
    return _redacted_text(text)


def _redacted_text(text: str) -> str:
    if not may_hold_secrets(text):
        return text
    for pattern, put in _RULES:
        text = pattern.sub(put, text)
    return text


@lru_cache(maxsize=4096)
def _redacted_key(key: str) -> str:
    """Keys are few and come again and again."""
    return redacted_text(key)


def _walk(value: Any, *, named: bool) -> Any:
    match value:
        case str():
            return MASK if named and value else redacted_text(value)
        case Mapping():
            spoken_for = named or _names_a_secret(value.get("name"))
            return {
                _redacted_key(key): _walk(
                    inner,
                    named=named
                    or _names_a_secret(key)
                    or (spoken_for and key in ("value", "default")),
                )
                for key, inner in value.items()
            }
        case list() | tuple():
            return [_walk(inner, named=named) for inner in value]
        case _:
            return value


def _names_a_secret(name: Any) -> bool:
    return isinstance(name, str) and _SECRET_NAME.search(name) is not None


def _keep_head(found: re.Match[str]) -> str:
    return found["head"] + MASK


def _assigned(found: re.Match[str]) -> str:
    """A plain number under such a name is a count or a fencing token."""
    value = found["value"].strip("\"'")
    is_harmless = not value or value.isdecimal() or value == MASK or value.startswith("[redacted")
    return found[0] if is_harmless else found["head"] + MASK


_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (_TOKEN, MASK),
    (_USERINFO, rf"\g<scheme>{MASK}@"),
    (_WEBHOOK, _keep_head),
    (_HEADER, _keep_head),
    (_BEARER, _keep_head),
    (_SIGNED_URL, _keep_head),
    (_ASSIGNED, _assigned),
)
