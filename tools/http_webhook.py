"""Posts webhooks with httpx: a new connection each time, bounded, without following redirects."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from tools.errors import Unavailable, Uncertain
from tools.webhook import WebhookAnswer, WebhookRequest

_MOST_RETRY_AFTER_S = 3600.0


class HttpWebhook:
    """Implements Webhook."""

    def post(self, request: WebhookRequest) -> WebhookAnswer:
        """See Webhook. Errors name the host alone: the rest of the address may be secret."""
        host = urlsplit(request.url).hostname or "?"
        try:
            with (
                httpx.Client(
                    timeout=request.timeout_s, trust_env=False, proxy=request.proxy or None
                ) as client,
                client.stream(
                    "POST",
                    request.url,
                    headers=request.headers,
                    content=request.body.encode(),
                ) as answer,
            ):
                return WebhookAnswer(
                    status=answer.status_code, retry_after_s=_retry_after_s(answer)
                )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise Unavailable(f"no connection to {host}: {type(error).__name__}") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Uncertain(f"no answer from {host}: {type(error).__name__}") from error


def _retry_after_s(answer: httpx.Response) -> float | None:
    """The header's seconds; its form as a date is rare and not worth believing a clock for."""
    text = answer.headers.get("retry-after", "")
    return min(float(text), _MOST_RETRY_AFTER_S) if text.isdecimal() else None
