"""What keeps the studio safe when strangers can reach it: headers, limits on size and rate, and parts of gradio turned off.

gradio itself sends none of these headers, limits no rate, and takes JSON of any size. Settings are checked in `request.py`.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from PIL import Image

log = logging.getLogger(__name__)

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
# The functions that may be called by name; the page itself calls its own by number (run/predict and queue/join).
CALLABLE = ("generate",)
BY_NAME = ("call/v2/", "call/", "run/", "api/")
UNANSWERED = "This request could not be answered: is its form right?"
MAX_WAITING = 2  # requests of one client that wait while another of its requests is drawn
# Parts of gradio that this demo does not use.
CLOSED = ("vibe", "dev/", "monitoring", "component_server", "process_recording", "proxy=", "deep_link", "runs")


class TokenBucket:
    """At most `burst` tokens at once and `rate` a second in the long run, for each client.

    It remembers the last `clients` clients; one that is forgotten starts with a full bucket.
    """

    def __init__(
        self, burst: float, rate: float, clients: int = 4096, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.burst, self.rate, self.clients, self.clock = burst, rate, clients, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, client: str, cost: float = 1.0) -> float:
        """Takes `cost` tokens and returns 0, or returns the seconds after which there will be one. Whoever has one may take
        more, and waits until they are paid back: a large request is possible, two in a row are not."""
        now = self.clock()
        with self._lock:
            tokens, then = self._buckets.pop(client, (self.burst, now))
            tokens = min(self.burst, tokens + (now - then) * self.rate)
            allowed = tokens >= 1
            self._buckets[client] = (tokens - cost * allowed, now)
            while len(self._buckets) > self.clients:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self.rate

    def give_back(self, client: str, tokens: float) -> None:
        """Returns tokens for what was asked for and then not done."""
        with self._lock:
            had, then = self._buckets.get(client, (self.burst, self.clock()))
            self._buckets[client] = (min(self.burst, had + tokens), then)


class Guard:
    """ASGI middleware: hides what is not used, refuses large bodies, floods and foreign host names, and adds the headers to
    every answer, also where something broke.

    hosts: names, besides localhost, under which the page may be reached; None allows all. An address in numbers is always
    allowed: what must not be is a stranger's page whose host name suddenly means this machine (DNS rebinding). waiting: how
    many requests for the model a client has, those that wait and the one that is drawn.
    """

    def __init__(
        self, app: ASGIApp, bucket: TokenBucket | None = None, hosts: Iterable[str] | None = (),
        waiting: Callable[[str], int] = lambda client: 0,
    ) -> None:  # fmt: skip
        self.app, self.waiting = app, waiting
        self.hosts = None if hosts is None else {"localhost", *(host.lower() for host in hosts)}
        self.bucket = bucket or TokenBucket(burst=120, rate=20)
        self.uploads = TokenBucket(burst=6, rate=0.2)  # files stay on the disk for some minutes: at most 2 MB each 5 s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                names = {name for name, _ in ours}
                message["headers"] = [h for h in message.get("headers", []) if h[0].lower() not in names] + ours
            await send(message)

        status, text = self.judge(scope)
        if status:
            await _answer(status, text, send_with_headers)
            return
        try:
            await self.app(scope, receive, send_with_headers)
        except Exception:  # a request of a form that gradio doesn't expect, most often
            if begun:
                raise
            log.exception("%s %s failed", scope["method"], scope["path"])
            await _answer(500, UNANSWERED, send_with_headers)

    def judge(self, scope: Scope) -> tuple[int, str]:
        """(0, "") to let the request in, or the status and the sentence to refuse it with."""
        path = str(scope["path"]).removeprefix("/gradio_api").strip("/")
        headers = dict(scope["headers"])
        if not self.knows(headers.get(b"host", b"").decode("latin-1")):
            return 421, "This page is not served under that host name; whoever runs it may add it: --allowed-host NAME."
        if path.startswith(CLOSED) or not may_be_called(path):
            return 404, "There is nothing here."
        if scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return 0, ""
        length = headers.get(b"content-length", b"")
        if not length.isdigit():
            return 411, "Say how long the request is (content-length)."
        if int(length) > (MAX_UPLOAD_BODY if path == "upload" else MAX_BODY):
            return 413, "That is too large: a picture may have up to 2 MB."
        client = str((scope.get("client") or ("?",))[0])
        seconds = self.bucket.wait(client) or (self.uploads.wait(client) if path == "upload" else 0.0)
        if seconds:
            return 429, f"Too many requests: please wait {seconds:.0f} seconds."
        if path == "queue/join" or path.startswith("call/"):
            if self.waiting(client) > MAX_WAITING:
                return 429, f"{MAX_WAITING} of your requests are waiting already: please wait for one of them."
        return 0, ""

    def knows(self, host: str) -> bool:
        """Whether the page may be reached as `host`, the value of that header: a name or an address, perhaps with a port."""
        if self.hosts is None:
            return True
        name = host.lower().rsplit(":", 1)[0] if not host.endswith("]") else host
        if name.rstrip(".") in self.hosts:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def may_be_called(path: str) -> bool:
    """False for a function of the page that is called by its name."""
    for prefix in BY_NAME:
        if path.startswith(prefix):
            name = path.removeprefix(prefix).split("/")[0]
            return name in CALLABLE or (name == "predict" and prefix in ("run/", "api/"))
    return True


async def _answer(status: int, text: str, send: Send) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def say_that_it_failed() -> None:
    """A call that fails within gradio, before it reaches us, is told so. gradio would answer {"error": null}, or with
    show_error whatever the error says of this machine."""
    from gradio import queueing, utils

    plain = utils.error_payload

    def payload(error: BaseException | None, show_error: bool) -> dict[str, bool | str | float | None]:
        content = plain(error, show_error)
        return content if content["error"] is not None else {**content, "error": UNANSWERED}

    if getattr(plain, "__module__", "") != __name__:
        queueing.error_payload = utils.error_payload = payload


def harden_pillow() -> None:
    """A small file may hold a huge picture: anything above 2048 x 2048 pixels is an error, not a warning."""
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
