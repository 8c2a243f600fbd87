"""What the web group offers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal, Protocol

from msgspec import Struct

from tandem.agent import action, contract
from tandem_agents.engines.kinds import ChatChunk, ChatOptions, Message, Usage

State = Literal["reachable", "unreachable", "refuses"]


class RemoteAnswer(Struct, frozen=True, kw_only=True):
    """A whole answer of a remote model. ``cached``: given before, so nothing was asked and nothing was paid for."""

    text: str
    server: str
    model: str
    finish: str = ""
    usage: Usage | None = None
    cached: bool = False
    seconds: float = 0.0


class ServerStatus(Struct, frozen=True, kw_only=True):
    """How a model server was when it was last looked at, ``at`` Unix seconds; ``models`` is what it offers."""

    name: str
    state: State
    models: list[str] = []
    why: str = ""
    at: float = 0.0
    seconds: float = 0.0


@contract("RemoteConnectorAgent")
class RemoteModels(Protocol):
    """Language models on servers of others, or of your own."""

    async def generate(
        self,
        prompt: str,
        model: str = "",
        system_prompt: str = "",
        options: ChatOptions | None = None,
        server: str = "",
    ) -> RemoteAnswer:
        """One answer. ``model`` and ``server`` may be left out: then the first of each is asked.

        Raises ``NotFound`` for a server nobody configured or a model it lacks, ``Unreachable``, ``Overloaded``,
        ``PermissionDenied`` (the key), ``TooLarge``, ``InvalidArguments`` and ``Unavailable`` as the server answers.
        """
        ...

    def chat(
        self, messages: list[Message], model: str = "", options: ChatOptions | None = None, server: str = ""
    ) -> AsyncGenerator[ChatChunk, None]:
        """An answer piece by piece; ending the stream stops the server. Raises as :meth:`generate`."""
        ...

    @action(idempotent=True)
    async def check_status(self, server: str = "") -> list[ServerStatus]:
        """Look at one server, or all, now. Raises ``NotFound`` for one nobody configured."""
        ...
