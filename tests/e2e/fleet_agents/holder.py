"""An agent that has a secret and is careless with it in every way it can."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Iterable

from msgspec import Struct

from tandem.agent import Agent, Issue, action
from tandem.telemetry.tracing import span


class Holder(Agent):
    """Tells its secret to everything that might keep it."""

    class Settings(Struct):
        api_key: str
        nested: dict[str, list[str]] = {}

    async def start(self) -> None:
        self._careless = False

    async def check(self) -> Iterable[Issue]:
        return [Issue(f"cannot log in with {self.settings.api_key}")] if self._careless else []

    @action(idempotent=True)
    async def facts(self) -> dict[str, str]:
        """The secret's last letters, to prove that it arrived, and where it is not."""
        return {
            "key": self.settings.api_key[-4:],
            "nested": self.settings.nested["list"][0][-4:],
            "env": os.environ.get("HOLDER_KEY", "")[-4:],
            "argv": " ".join(sys.argv),
        }

    @action()
    async def babble(self) -> None:
        key = self.settings.api_key
        self._careless = True
        self.log.warning("the key is %s", key, extra={"shape": {"deep": [key]}, "raw": key.encode()})
        self.log.info("encoded: %s", base64.b64encode(key.encode()).decode())
        print("printed", key, flush=True)
        print("printed to stderr", key, file=sys.stderr, flush=True)
        with span("login", key=key):
            self.report_error("LoginFailed", f"refused: {key}", context={"sent": key})
        try:
            raise LookupError(key)
        except LookupError:
            self.log.exception("no luck")

    @action(idempotent=True)
    async def explode(self) -> None:
        raise RuntimeError(f"bad key {self.settings.api_key}")
