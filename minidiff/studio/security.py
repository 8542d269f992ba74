"""What keeps the studio safe when strangers can reach it: headers, limits on size and rate, and parts of gradio turned off.

gradio itself sends none of these headers, limits no rate, and takes JSON of any size. Settings are checked in `request.py`.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from PIL import Image

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_UPLOAD = "2mb"
MAX_UPLOAD_BODY = 2_200_000  # bytes: a file of 2 MB and the form around it
MAX_BODY = 200_000  # bytes of any other request
MAX_PIXELS = 2048 * 2048

# gradio's page has inline scripts and styles, and compiles templates in the browser: hence the two "unsafe" words.
# Everything may come from this server only.
CONTENT_POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cross-origin-opener-policy": "same-origin",
}
# Parts of gradio that this demo does not use.
CLOSED = ("vibe", "dev/", "monitoring", "component_server", "process_recording", "proxy=", "deep_link", "runs")


class TokenBucket:
    """At most `burst` calls (or pictures) at once and `rate` a second in the long run, for each client.

    It remembers the last `clients` clients; one that is forgotten starts with a full bucket.
    """

    def __init__(
        self, burst: float, rate: float, clients: int = 4096, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.burst, self.rate, self.clients, self.clock = burst, rate, clients, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, client: str, cost: float = 1.0) -> float:
        """Takes `cost` tokens and returns 0, or returns the seconds after which there will be enough. What costs more than a
        full bucket needs a full one, and leaves a debt."""
        now = self.clock()
        with self._lock:
            tokens, then = self._buckets.pop(client, (self.burst, now))
            tokens = min(self.burst, tokens + (now - then) * self.rate)
            needed = min(cost, self.burst)
            allowed = tokens >= needed
            self._buckets[client] = (tokens - cost * allowed, now)
            while len(self._buckets) > self.clients:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (needed - tokens) / self.rate


class Guard:
    """ASGI middleware: hides what is not used, refuses large bodies and floods, and adds the headers to every answer."""

    def __init__(self, app: ASGIApp, bucket: TokenBucket | None = None) -> None:
        self.app = app
        self.bucket = bucket or TokenBucket(burst=120, rate=20)
        self.uploads = TokenBucket(burst=6, rate=0.2)  # files stay on the disk for some minutes: at most 2 MB each 5 s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                names = {name for name, _ in ours}
                message["headers"] = [h for h in message.get("headers", []) if h[0].lower() not in names] + ours
            await send(message)

        status, text = self.judge(scope)
        if status:
            await _answer(status, text, send_with_headers)
        else:
            await self.app(scope, receive, send_with_headers)

    def judge(self, scope: Scope) -> tuple[int, str]:
        """(0, "") to let the request in, or the status and the sentence to refuse it with."""
        path = str(scope["path"]).removeprefix("/gradio_api").strip("/")
        if path.startswith(CLOSED):
            return 404, "There is nothing here."
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return 0, ""
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        if not length.isdigit():
            return 411, "Say how long the request is (content-length)."
        if int(length) > (MAX_UPLOAD_BODY if path == "upload" else MAX_BODY):
            return 413, "That is too large: a picture may have up to 2 MB."
        client = str((scope.get("client") or ("?",))[0])
        seconds = self.bucket.wait(client) or (self.uploads.wait(client) if path == "upload" else 0.0)
        if seconds:
            return 429, f"Too many requests: please wait {seconds:.0f} seconds."
        return 0, ""


async def _answer(status: int, text: str, send: Send) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def harden_pillow() -> None:
    """A small file may hold a huge picture: anything above 2048 x 2048 pixels is an error, not a warning."""
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
