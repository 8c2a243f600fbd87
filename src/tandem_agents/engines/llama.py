"""Language models in GGUF files, run inside this process by llama.cpp (``xllamacpp``, MIT)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tandem.core.errors import InvalidArguments, TooLarge, Unavailable
from tandem_agents.engines.kinds import DEFAULT_CHAT, ChatChunk, ChatOptions, Message
from tandem_agents.engines.openai_wire import chat_chunk, chat_request
from tandem_agents.engines.optional import LazyModule
from tandem_agents.engines.worker import Emit, Worker

if TYPE_CHECKING:
    import xllamacpp
else:
    xllamacpp = LazyModule("xllamacpp", extra="llm")

_QUIET = -1
"""llama.cpp's verbosity below its errors; they reach us as exceptions."""


class LlamaOptions(Struct, frozen=True, kw_only=True):
    """How the model runs.

    ``context_tokens`` is shared by ``parallel`` conversations answered at a time. ``threads`` 0 takes every core
    but one: llama.cpp's threads wait for each other by spinning, so one that must share its core stops them all (on two
    cores with two busy neighbours two threads made 12 tokens/s, one made 44).
    ``gpu_layers`` -1 lets llama.cpp put on the GPU what fits; it needs a build of ``xllamacpp`` with GPU support.
    """

    context_tokens: int = 4096
    parallel: int = 1
    threads: int = 0
    gpu_layers: int = -1


class LlamaModel:
    """A loaded GGUF model. Up to ``parallel`` answers are generated at a time, the others wait their turn."""

    def __init__(self, name: str, server: Any, worker: Worker):
        self._name = name
        self._server = server
        self._worker = worker

    @classmethod
    async def load(cls, name: str, path: Path, options: LlamaOptions) -> LlamaModel:
        """Raises ``Unavailable`` when the library is missing or ``path`` is no model it can run."""
        worker = Worker("llama", threads=options.parallel)
        try:
            return cls(name, await worker.run(_start, path, options), worker)
        except BaseException:
            worker.close()
            raise

    @property
    def name(self) -> str:
        return self._name

    async def chat(
        self, messages: Sequence[Message], options: ChatOptions = DEFAULT_CHAT
    ) -> AsyncGenerator[ChatChunk, None]:
        """See :class:`LanguageModel`. A generation that is closed ends at its next token."""
        request = chat_request(messages, options)
        if options.seed is not None:
            # A prompt taken from the cache gives slightly other numbers than one computed anew.
            request["cache_prompt"] = False
        async with aclosing(self._worker.stream(_Generation(self._server, request))) as chunks:
            async for chunk in chunks:
                yield chunk

    async def close(self) -> None:
        self._worker.close()
        self._server = None  # frees the model once no generation holds it


class _Generation:
    """One answer, made on the worker's thread."""

    def __init__(self, server: Any, request: dict[str, Any]):
        self._server = server
        self._request = request
        self._error: Exception | None = None

    def __call__(self, emit: Emit[ChatChunk]) -> None:
        def receive(event: Any) -> bool:
            """llama.cpp stops when this returns true; it swallows what this raises."""
            try:
                return not emit(_chunk(event))
            except Exception as error:
                self._error = error
                return True

        try:
            self._server.handle_chat_completions(self._request, receive)
        except (ValueError, RuntimeError) as error:
            raise InvalidArguments(f"llama.cpp refused the request: {error}") from error
        if self._error is not None:
            raise self._error


def _chunk(event: Any) -> ChatChunk:
    if "error" not in event:
        return chat_chunk(event)
    error = event["error"]
    message = str(error.get("message", error))
    if error.get("type") == "exceed_context_size_error":
        raise TooLarge(f"the conversation does not fit the model's context: {message}")
    if error.get("code") == 400:
        raise InvalidArguments(f"llama.cpp refused the request: {message}")
    raise Unavailable(f"llama.cpp failed: {message}")


def _start(path: Path, options: LlamaOptions) -> Any:
    if not path.is_file():
        raise Unavailable(f"there is no model file {path}")
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = options.context_tokens
    params.n_parallel = options.parallel
    params.n_gpu_layers = options.gpu_layers
    threads = options.threads or max(1, len(os.sched_getaffinity(0)) - 1)
    for pool in (params.cpuparams, params.cpuparams_batch):
        pool.n_threads = threads
        # Idle threads sleep rather than poll for work.
        pool.poll = 0
    params.use_jinja = True
    params.verbosity = _QUIET
    # The library insists on listening for HTTP: on a socket in a private directory that is gone once it listens.
    with tempfile.TemporaryDirectory() as directory:
        params.hostnames = [f"{directory}/llama.sock"]
        try:
            return xllamacpp.Server(params)
        except (RuntimeError, ValueError) as error:
            raise Unavailable(f"llama.cpp cannot load {path}: {error}") from error
