"""What PostgreSQL's errors mean to a caller, and how a password stays out of every message.

The five characters are SQLSTATE (PostgreSQL documentation, appendix A).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from tools.errors import Invalid, MendloopError, Refused, Unavailable

SCHEMES = ("postgresql://", "postgres://")
_HANGING_UP = ("57P01", "57P02", "57P03", "57P05", "25P03")


def is_postgres(url: str) -> bool:
    """Whether the URL names a PostgreSQL database."""
    return url.startswith(SCHEMES)


def conninfo_of(url: str) -> tuple[dict[str, str], str]:
    """The connection's parameters, and the URL as it may be shown. Raises Invalid."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    if not is_postgres(url):
        raise Invalid("expected postgresql://user@host:port/database", field="database URL")
    try:
        found = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.ProgrammingError:
        # The vendor's message quotes what it could not read: perhaps the password.
        raise Invalid(
            "expected postgresql://user:password@host:port/database?parameter=value; characters"
            " such as @ : / ? # in a password are written as %40 %3A %2F %3F %23",
            field="database URL",
        ) from None
    user = f"{found['user']}@" if "user" in found else ""
    host, port = found.get("host", ""), found.get("port", "5432")
    return found, f"postgresql://{user}{quote(host, safe=',:')}:{port}/{found.get('dbname', '')}"


def is_connection_lost(error: BaseException) -> bool:
    """Whether the server may have gone on without us."""
    state = getattr(error, "sqlstate", None)
    return state is None or state.startswith("08") or state in _HANGING_UP


def meaning_of(error: Exception, name: str, parameters: Mapping[str, Any]) -> MendloopError:
    """Our error for the vendor's, saying what to do."""
    text = masked(" ".join(str(error).split()), parameters)
    state: str = getattr(error, "sqlstate", None) or ""
    return _by_state(state, text, name) or Unavailable(
        f"{name}: {text}; nothing was written", retry_after_s=5.0
    )


def _by_state(state: str, text: str, name: str) -> MendloopError | None:
    match state:
        case "53100":
            return Unavailable(
                f"{name}: the disk is full ({text}); nothing was written, free some space",
                retry_after_s=30.0,
            )
        case "53300":
            return Unavailable(
                f"{name} takes no more connections ({text}); end some, or raise max_connections",
                retry_after_s=5.0,
            )
        case "25006":
            return Unavailable(
                f"{name} is read-only ({text}); nothing was written: name the primary, or end"
                " default_transaction_read_only",
                retry_after_s=30.0,
            )
        case "57014" | "55P03":
            return Unavailable(f"{name} took too long ({text}); nothing was written")
        case "3D000" | "28000" | "28P01":
            return Unavailable(
                f"{name} lets nobody in ({text}); check database, role and password",
                retry_after_s=30.0,
            )
        case "42501":
            return Refused(f"{name}: a right is missing ({text}); grant it to the role")
        case "P0001" | "23001":
            return Refused(f"{name}: {text}")
        case "42P01" | "42703" | "3F000":
            return Refused(
                f"{name} lacks what mendloop keeps there ({text}); `mendloop database show` tells"
                " its version, `mendloop database upgrade` makes it"
            )
        case _ if state.startswith("XX"):
            return Refused(f"{name} is damaged ({text}); stop mendloop and restore a backup")
        case _ if not state or state.startswith("08") or state in _HANGING_UP:
            return Unavailable(
                f"{name} does not answer ({text}); nothing was written: is it running, and may"
                " this machine reach it?",
                retry_after_s=5.0,
            )
        case _:
            return None


def masked(text: str, parameters: Mapping[str, Any]) -> str:
    """The text without the password, however it is spelled."""
    for secret in (parameters.get("password"), parameters.get("sslpassword")):
        if secret:
            for spelled in {str(secret), quote(str(secret), safe=""), quote(str(secret))}:
                text = text.replace(spelled, "[redacted]")
    return text


def without_password(error: Exception, parameters: Mapping[str, Any]) -> Exception | None:
    """The cause to name in a traceback; none where its text would show the password."""
    return error if masked(str(error), parameters) == str(error) else None


def url_with_password(url: str, password: str) -> str:
    """The URL of a database whose password is kept elsewhere (a Secret, a file); raises Invalid."""
    parameters, _ = conninfo_of(url)
    if not password or "password" in parameters:
        return url
    scheme, _, rest = url.partition("://")
    user, at, host = rest.rpartition("@")
    if at:
        return f"{scheme}://{user}:{quote(password, safe='')}@{host}"
    mark = "&" if "?" in url else "?"
    return f"{url}{mark}password={quote(password, safe='')}"
