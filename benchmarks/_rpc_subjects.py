"""What benchmarks/rpc.py and link.py compare: the server and the caller of each subject.

Every subject answers the same question, "echo this sentence", and every caller asks it over a connection it keeps.
Tandem's subjects do what they do in a fleet: typed and validated arguments and results, a verified identity,
deadlines, a task per call, a recorded span on both sides. The others move the bare bytes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import Struct

TEXT = "what is the weather going to be like in Leipzig tomorrow afternoon, and do I need a coat?"
READY = "ready"
HOST_VARIABLE = "BENCH_HOST"
HOST = os.environ.get(HOST_VARIABLE, "127.0.0.1")
"""Where subjects that cross machines listen."""

Echo = Callable[[], Awaitable[Any]]


class Subject(ABC):
    """One way to ask. ``where`` is a directory both processes know."""

    uvloop = True

    def __init__(self, where: Path):
        self.where = where

    @abstractmethod
    async def serve(self) -> None:
        """Answer until cancelled; call :meth:`ready` when callers may come."""

    @abstractmethod
    def caller(self) -> Any:
        """An async context manager giving the :data:`Echo` to measure."""

    def ready(self) -> None:
        print(READY, flush=True)


class Sentence(Struct):
    text: str
    language: str


class TandemSubject(Subject):
    """Our RPC with identities and, unless ``traced`` is off, a sampled turn around every call."""

    traced = True
    signed = True

    async def serve(self) -> None:
        from tandem.rpc import Server, handlers_from
        from tandem.security import Verifier
        from tandem.telemetry import tracing

        class Service:
            async def echo(self, text: str, language: str = "en") -> Sentence:
                return Sentence(text, language)

        verifier = Verifier(self._identity("Service").ca_public)
        tracing.set_sink(tracing.SpanQueue())
        server = Server(
            "Service@bench",
            handlers_from(Service(), {"echo": True}),
            authenticate=(lambda token: verifier.verify(token, "Service@bench")) if self.signed else None,
        )
        await self._listen(server)
        self.ready()
        await asyncio.Event().wait()

    @asynccontextmanager
    async def caller(self) -> AsyncIterator[Echo]:
        from contextlib import nullcontext

        from tandem.rpc import Peers, call_signature
        from tandem.security import Identity
        from tandem.telemetry import tracing

        class Service:
            async def echo(self, text: str, language: str = "en") -> Sentence: ...

        tracing.set_sink(tracing.SpanQueue())
        identity = Identity(self._identity("Caller"))
        peers = Peers(self, token=identity.token if self.signed else None, curve=self._keys("Caller"))
        signature = call_signature(Service.echo, idempotent=True)
        arguments = (TEXT, "de")
        with tracing.start_turn() if self.traced else nullcontext():
            yield lambda: peers.invoke("Service", signature, arguments)
        await peers.close()

    async def resolve(self, peer: str, deadline: object) -> Any:
        from tandem.rpc import Endpoint

        return Endpoint("unix", str(self.where / "service.sock"), service="Service@bench")

    async def _listen(self, server: Any) -> None:
        await server.listen_unix(self.where / "service.sock")

    def _machine(self) -> Any:
        from tandem.core.paths import Home
        from tandem.security import Authority

        return Authority.open(Home(self.where / "home")).machine("bench")

    def _identity(self, name: str) -> Any:
        return self._machine().issue(f"{name}@bench")

    def _keys(self, name: str) -> Any:
        return None


class UntracedTandem(TandemSubject):
    traced = False


class ZmqTandem(TandemSubject):
    """The same between machines: TCP and CURVE with an allow list."""

    def _keys(self, name: str) -> Any:
        return self._machine().curve(name)

    async def _listen(self, server: Any) -> None:
        known = {self._keys("Caller").public: "Caller@bench"}

        async def allow(public: bytes) -> str | None:
            return known.get(public)

        endpoint = await server.listen_zmq(
            endpoint=f"tcp://{HOST}:*", keys=self._keys("Service"), allow=allow
        )
        (self.where / "endpoint").write_text(endpoint)

    async def resolve(self, peer: str, deadline: object) -> Any:
        from tandem.rpc import Endpoint

        public = self._keys("Service").public
        address = (self.where / "endpoint").read_text()
        return Endpoint("zmq", address, curve_public=public, service="Service@bench")


class UnsignedZmqTandem(ZmqTandem):
    """Between machines without tokens: the price of identity is the difference."""

    signed = False


class Pyzmq(Subject):
    """A bare ROUTER and DEALER echo with ``zmq.asyncio``: bytes in, the same bytes out."""

    curve = False

    async def serve(self) -> None:
        import zmq
        import zmq.asyncio

        context = zmq.asyncio.Context()
        router = context.socket(zmq.ROUTER)
        if self.curve:
            public, secret = zmq.curve_keypair()
            router.curve_server, router.curve_publickey, router.curve_secretkey = True, public, secret
            (self.where / "key").write_bytes(public)
        router.bind(f"tcp://{HOST}:*" if self.curve else f"ipc://{self.where}/echo.sock")
        (self.where / "endpoint").write_bytes(router.LAST_ENDPOINT.rstrip(b"\0"))
        self.ready()
        while True:
            await router.send_multipart(await router.recv_multipart())

    @asynccontextmanager
    async def caller(self) -> AsyncIterator[Echo]:
        import zmq
        import zmq.asyncio

        context = zmq.asyncio.Context()
        dealer = context.socket(zmq.DEALER)
        if self.curve:
            public, secret = zmq.curve_keypair()
            dealer.curve_publickey, dealer.curve_secretkey = public, secret
            dealer.curve_serverkey = (self.where / "key").read_bytes()
        dealer.connect((self.where / "endpoint").read_text())
        payload = json.dumps({"text": TEXT, "language": "de"}).encode()
        waiting: dict[bytes, asyncio.Future[bytes]] = {}
        ids = itertools.count()

        async def receive() -> None:
            while True:
                mark, data = await dealer.recv_multipart()
                waiting.pop(mark).set_result(data)

        async def echo() -> bytes:
            mark = next(ids).to_bytes(8, "little")
            future = waiting[mark] = asyncio.get_running_loop().create_future()
            await dealer.send_multipart([mark, payload])
            return await future

        receiver = asyncio.create_task(receive())
        yield echo
        receiver.cancel()
        context.destroy(linger=0)


class PyzmqCurve(Pyzmq):
    curve = True


class Http(Subject):
    """The least a service over HTTP needs, a route with JSON in and JSON out: Starlette on uvicorn (httptools, uvloop),
    asked by aiohttp's client over kept connections."""

    def app(self) -> Any:
        from starlette.applications import Starlette
        from starlette.requests import Request
        from starlette.responses import JSONResponse
        from starlette.routing import Route

        async def echo(request: Request) -> JSONResponse:
            return JSONResponse(await request.json())

        return Starlette(routes=[Route("/echo", echo, methods=["POST"])])

    async def serve(self) -> None:
        import socket

        import uvicorn

        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        (self.where / "port").write_text(str(listening.getsockname()[1]))
        config = uvicorn.Config(
            self.app(), http="httptools", access_log=False, log_level="error", lifespan="off"
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:  # noqa: ASYNC110 (uvicorn offers no event)
            await asyncio.sleep(0.01)
        self.ready()
        await serving

    @asynccontextmanager
    async def caller(self) -> AsyncIterator[Echo]:
        import aiohttp

        url = f"http://127.0.0.1:{(self.where / 'port').read_text()}/echo"
        question = {"text": TEXT, "language": "de"}
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100)) as session:

            async def echo() -> Any:
                async with session.post(url, json=question) as answer:
                    return await answer.json()

            yield echo


class BareHttp(Http):
    """The same without a framework: one ASGI function that returns the body it got."""

    def app(self) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            body = (await receive())["body"]
            head = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": body})

        return app


class Ray(Subject):
    """An asyncio actor on a local Ray, which starts both processes itself."""

    uvloop = False

    async def serve(self) -> None:
        self.ready()
        await asyncio.Event().wait()

    @asynccontextmanager
    async def caller(self) -> AsyncIterator[Echo]:
        import ray

        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")

        @ray.remote(max_concurrency=100)
        class Actor:
            async def echo(self, question: dict[str, str]) -> dict[str, str]:
                return question

        actor = Actor.remote()
        question = {"text": TEXT, "language": "de"}

        async def echo() -> Any:
            return await actor.echo.remote(question)

        await echo()
        yield echo
        ray.shutdown()


SUBJECTS: dict[str, type[Subject]] = {
    "tandem": TandemSubject,
    "tandem-untraced": UntracedTandem,
    "tandem-zmq": ZmqTandem,
    "tandem-zmq-unsigned": UnsignedZmqTandem,
    "pyzmq": Pyzmq,
    "pyzmq-curve": PyzmqCurve,
    "http": Http,
    "http-bare": BareHttp,
    "ray": Ray,
}
