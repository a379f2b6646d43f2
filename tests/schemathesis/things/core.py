"""
What things are made with: calls of the API, and memory of what was made.
"""

import json
import secrets
import threading

import requests

MODEL = "storybook"
PASSWORD = "correct horse battery"


class Core:
    def __init__(self, file: str, key: str):
        with open(file, encoding="utf8") as source:
            self.world = json.load(source)
        self.key = key
        self.lock = threading.RLock()
        self.session = requests.Session()
        self.kept: dict[str, object] = {}

    @property
    def is_admin(self) -> bool:
        return self.key == self.world["adminKey"]

    def address(self) -> str:
        """One caller at one address would be refused for having failed, or signed in, too often."""
        return ".".join(["10", *(str(secrets.randbelow(250)) for _ in range(3))])

    def call(self, method: str, path: str, body=None, key=None, version="/api/v1", **more):
        """Asks the gateway, with the operator's key unless another one is named ("" = none)."""
        response = self.session.request(
            method,
            f"{self.world['url']}{version}{path}",
            headers={
                "CF-Connecting-IP": self.address(),
                **({} if key == "" else {"Authorization": f"Bearer {key or self.world['adminKey']}"}),
                **more.pop("headers", {}),
            },
            **({} if body is None else {"json": body}),
            **more,
            timeout=60,
        )
        if response.status_code >= 300:
            raise RuntimeError(f"{method} {path}: {response.status_code} {response.text[:300]}")
        kind = response.headers.get("content-type", "")
        return response.json() if "json" in kind and response.text else response.content or {}

    def ask_workshop(self, path: str, body: dict) -> dict:
        """What needs a private key or the gateway's secret: world.ts makes it."""
        response = self.session.post(f"{self.world['workshop']}{path}", json=body, timeout=60)
        response.raise_for_status()
        return response.json()

    def once(self, name: str, make):
        """The same thing each time it is asked for."""
        with self.lock:
            if name not in self.kept:
                self.kept[name] = make()
            return self.kept[name]


def one(name: str, make):
    return lambda things: {name: make(things)}


def kept(name: str, thing: str):
    """The same thing for every case: nothing happens to it."""
    return lambda things: {name: things.once(thing, getattr(things, thing))}
