"""`minidiff serve --onnx DIR`: an exported model behind HTTP. torch is not imported.

    curl -s localhost:7861/generate -d '{"prompt": "a red star", "seed": 1}' -o star.png

POST /generate takes a JSON table of the fields of `Asked` and answers with a PNG; GET / says which model it is. What can't be
done is answered with status 400 and one sentence, as JSON. Images are drawn one after the other: each takes all cores.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, fields
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

from minidiff.data.world.prompt_expansion import expand_prompt
from minidiff.utils.validation import Between, build

LARGEST = 64_000  # bytes of a request
MOST_CHARACTERS = 200  # of a prompt, as in request.py, which needs torch


@dataclass(frozen=True)
class Asked:
    """One image. What each setting means is said in `request.Request`."""

    prompt: str
    negative_prompt: str = ""
    sampler: str = "dpmpp_2m"
    steps: Annotated[int, Between(1, 50)] = 20
    guidance_scale: Annotated[float, Between(0, 15)] | None = None
    seed: Annotated[int, Between(0, 2**31 - 1)] = 42
    expand_prompt: bool = True

    def __post_init__(self) -> None:
        for name, text in (("prompt", self.prompt), ("negative prompt", self.negative_prompt)):
            if len(text) > MOST_CHARACTERS:
                raise ValueError(f"the {name} has {len(text)} characters and at most {MOST_CHARACTERS} are allowed.")
        if not self.prompt.strip():
            raise ValueError("the prompt is empty.")


@dataclass
class ServeOptions:
    """Answer requests over HTTP with a model that `minidiff export onnx` wrote. torch is not needed."""

    onnx: Path
    """The folder of the export."""
    host: str = "127.0.0.1"
    """Address to listen on; 127.0.0.1 is this machine only."""
    port: int = 7861
    """Port to listen on."""
    threads: Annotated[int, Between(0, 256)] = 0
    """Threads of the processor; 0 takes all cores."""


def draw(drawer: Any, asked: Asked) -> bytes:
    """The PNG. Raises ValueError as `Drawer.draw`."""
    prompt = expand_prompt(asked.prompt, asked.seed, drawer.settings["tell_places"]) if asked.expand_prompt else asked.prompt
    image = drawer.draw(prompt, asked.negative_prompt, asked.seed, asked.steps, asked.guidance_scale, asked.sampler)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


class Handler(BaseHTTPRequestHandler):
    """drawer, lock: shared by all requests, each of which has a thread of its own."""

    def __init__(self, drawer: Any, lock: Lock, *given: Any) -> None:
        self.drawer, self.lock = drawer, lock
        super().__init__(*given)

    def log_message(self, *_: Any) -> None:
        """Nothing: what people ask for is nobody's business."""

    def do_GET(self) -> None:
        if self.path != "/":
            return self.refuse(404, f"There is nothing at {self.path}: POST /generate draws.")
        about = {"model": self.drawer.settings["model"], "settings": [field.name for field in fields(Asked)]}
        self.answer(200, "application/json", json.dumps(about).encode())

    def do_POST(self) -> None:
        size = self.headers.get("Content-Length", "")
        if self.path != "/generate":
            return self.refuse(404, f"There is nothing at {self.path}: POST /generate draws.")
        if not size.isdigit() or int(size) > LARGEST:
            self.rfile.read(min(int(size), 16 * LARGEST) if size.isdigit() else 0)  # or the answer is lost on the way
            return self.refuse(413, f"A request has at most {LARGEST:,} bytes, and says how many.")
        try:
            asked = build(Asked, json.loads(self.rfile.read(int(size))), "the request")
            with self.lock:
                picture = draw(self.drawer, asked)
        except ValueError as error:
            return self.refuse(400, str(error))
        self.answer(200, "image/png", picture)

    def refuse(self, status: int, sentence: str) -> None:
        self.answer(status, "application/json", json.dumps({"error": sentence}, ensure_ascii=False).encode())

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(options: ServeOptions) -> None:
    """Serves until it is stopped. Raises ValueError for a folder that is no export, and where onnxruntime is not installed."""
    drawer = open_drawer(options.onnx, options.threads)
    server = ThreadingHTTPServer((options.host, options.port), partial(Handler, drawer, Lock()))
    print(f"{drawer.settings['model']} at http://{options.host}:{server.server_port}", flush=True)
    server.serve_forever()


def open_drawer(folder: Path, threads: int) -> Any:
    """The model in a folder. Raises ValueError."""
    try:
        from minidiff.pipelines.onnx_runner import PARTS, Drawer
    except ImportError as error:
        raise ValueError(f"--onnx needs onnxruntime ({error}): pip install 'minidiff[onnx]'.") from None
    for name in ("model.json", "tokenizer.json", *(f"{part}.onnx" for part in PARTS)):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no {name}: give a folder that `minidiff export onnx` wrote.")
    try:
        return Drawer(folder, threads)
    except Exception as error:  # onnxruntime's errors have no common class
        raise ValueError(f"{folder} can't be read: {type(error).__name__}: {str(error).splitlines()[0]}") from None
