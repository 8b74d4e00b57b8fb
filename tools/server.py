"""A real ComfyUI server in a folder of its own, spoken to over its HTTP API."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

from pez_core.device.choice import best_device

REPOSITORY = Path(__file__).parents[1]


def comfyui_path() -> Path | None:
    """The ComfyUI checkout to test in: COMFYUI_PATH, else ~/ComfyUI."""
    path = Path(os.environ.get("COMFYUI_PATH") or Path.home() / "ComfyUI")
    return path if (path / "main.py").is_file() else None


class Server:
    """A server started on a free port, and the few requests that tests make.

    COMFYUI_FRONTEND may name the folder of an editor's files, to try another one than is installed.
    """

    def __init__(self, checkout: Path, base: Path) -> None:
        self.base = base
        self.url = f"http://127.0.0.1:{_free_port()}"
        self.log = base / "server.log"
        port = self.url.rsplit(":", 1)[1]
        arguments = ["--port", port, "--base-directory", str(base), "--disable-api-nodes"]
        arguments += ["--cpu"] * (best_device().type == "cpu")
        if frontend := os.environ.get("COMFYUI_FRONTEND"):
            arguments += ["--front-end-root", frontend]
        with self.log.open("wb") as log:
            command = [sys.executable, str(checkout / "main.py"), *arguments]
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=base)
        self._wait_until_up()

    def _wait_until_up(self) -> None:
        for _ in range(1500):
            try:
                return requests.get(f"{self.url}/system_stats", timeout=5).raise_for_status()
            except requests.ConnectionError:
                if self._process.poll() is not None:
                    break
                time.sleep(0.2)
        raise RuntimeError(f"ComfyUI did not start:\n{self.log.read_text()[-4000:]}")

    @property
    def process_id(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)

    def get(self, path: str) -> Any:
        """JSON as a browser reads it: without NaN and infinity."""
        response = requests.get(f"{self.url}{path}", timeout=30)
        response.raise_for_status()
        return response.json(parse_constant=_refuse)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        response = requests.post(f"{self.url}{path}", json=body, timeout=30)
        return response.json() if response.content else {}

    def queue(self, prompt: dict[str, Any]) -> str:
        """Queue a graph in API format and return its id; a graph that is not valid raises."""
        answer = self.post("/prompt", {"prompt": prompt})
        if "prompt_id" not in answer:
            raise ValueError(f"the graph was refused: {answer}")
        identity: str = answer["prompt_id"]
        return identity

    def finish(self, identity: str, seconds: float = 300) -> dict[str, Any]:
        """The history of a queued graph, once it has ended."""
        for _ in range(int(seconds / 0.1)):
            history = self.get(f"/history/{identity}")
            if identity in history:
                record: dict[str, Any] = history[identity]
                return record
            time.sleep(0.1)
        raise TimeoutError(f"the graph did not end in {seconds} seconds:\n{self.log.read_text()[-2000:]}")

    def run(self, prompt: dict[str, Any]) -> dict[str, list[Any]]:
        """Run a graph and return, for each output node, what it showed; a failure raises with ComfyUI's message."""
        record = self.finish(self.queue(prompt))
        if record["status"]["status_str"] != "success":
            raise RuntimeError(error_of(record))
        return {node: output.get("text", []) for node, output in record["outputs"].items()}


def error_of(record: dict[str, Any]) -> str:
    """The message of the failed node, or the kind of ending when none failed."""
    for kind, details in record["status"]["messages"]:
        if kind == "execution_error":
            return f"{details['exception_type']}: {details['exception_message']}"
    return str(record["status"]["messages"][-1][0])


def _refuse(constant: str) -> None:
    raise ValueError(f"the server answered with {constant}, which is no JSON")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
