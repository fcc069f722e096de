"""Signs messages as Standard Webhooks does: HMAC-SHA256 over id, timestamp and body.

https://github.com/standard-webhooks/standard-webhooks: the headers ``webhook-id``,
``webhook-timestamp`` (Unix seconds) and ``webhook-signature`` (``v1,`` and base64); signed is
``id.timestamp.body``. Receivers compare in constant time and refuse timestamps that are far off.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime

from orchestrator.notifications.message import Message


def headers_of(message: Message, key: bytes | None, *, at: datetime) -> dict[str, str]:
    """Headers of one attempt; without a key the message is not signed."""
    stamp = str(int(at.timestamp()))
    headers = {
        "content-type": message.content_type,
        "user-agent": "mendloop",
        "webhook-id": message.id,
        "webhook-timestamp": stamp,
    }
    if key is not None:
        headers["webhook-signature"] = sign(key, message.id, stamp, message.body)
    return headers


def sign(key: bytes, identity: str, stamp: str, body: str) -> str:
    """The value of ``webhook-signature``."""
    signed = f"{identity}.{stamp}.{body}".encode()
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
