"""Port: one HTTP POST to somebody else's endpoint, and what was answered.

Adapter: ``tools/http_webhook.py``.
"""

from __future__ import annotations

from typing import Protocol

from tools.values import Value


class WebhookRequest(Value):
    """What is sent; ``url`` may carry a secret and is never logged."""

    url: str
    headers: dict[str, str]
    body: str
    timeout_s: float = 5.0
    proxy: str = ""


class WebhookAnswer(Value):
    """What came back; the body is nobody's business."""

    status: int
    retry_after_s: float | None = None

    @property
    def is_taken(self) -> bool:
        """Whether the receiver has it for good."""
        return 200 <= self.status < 300


class Webhook(Protocol):
    """Posts a message once."""

    def post(self, request: WebhookRequest) -> WebhookAnswer:
        """The receiver's answer, whatever its status; redirects are not followed.

        Raises Unavailable when there is none (refused, no such host), Uncertain when the message
        may have arrived (cut off or timed out after it was sent): sent again, it has the same id.
        """
