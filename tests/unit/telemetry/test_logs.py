"""Log lines: their fields, and what happens when nobody reads them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os

import pytest

from tandem.core.ids import new_id
from tandem.telemetry import logs, tracing
from tandem.telemetry.logs import JsonHandler, LineWriter, render_plain
from tandem.telemetry.resource import Resource, resource_scope

F_SETPIPE_SZ = 1031  # linux/fcntl.h


class Pipe:
    """A pipe with a small buffer and a reader that takes what is there."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        fcntl.fcntl(self.write_fd, F_SETPIPE_SZ, 8192)

    def read(self) -> bytes:
        data = b""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self.read_fd, 65536):
                data += part
        return data

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.read().splitlines() if line]

    def close(self) -> None:
        for fd in (self.read_fd, self.write_fd):
            with contextlib.suppress(OSError):
                os.close(fd)


@pytest.fixture
def pipe():
    """A pipe, closed afterwards."""
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def logger(pipe):
    """A logger of its own that writes JSON into the pipe."""
    logger = logging.Logger("test")
    logger.addHandler(JsonHandler(pipe.write_fd))
    with resource_scope(Resource("NLUAgent", "mainpc")):
        yield logger


def test_a_line_has_the_agreed_fields(pipe, logger):
    """Time in UTC with milliseconds, level, agent, machine, message, and extra fields under their names."""
    logger.warning("heard %d words", 3, extra={"language": "en"})
    [line] = pipe.lines()
    assert line["level"] == "WARNING"
    assert line["agent"] == "NLUAgent"
    assert line["machine"] == "mainpc"
    assert line["msg"] == "heard 3 words"
    assert line["language"] == "en"
    assert "turn" not in line
    assert len(str(line["ts"])) == len("2025-01-31T12:00:00.000Z")
    assert str(line["ts"]).endswith("Z")


def test_a_line_inside_a_turn_names_it(pipe, logger):
    """Turn and trace ids come from the current span without the author's doing, sampled or not."""
    turn = new_id()
    with tracing.start_turn(turn, sampled=False):
        logger.info("working")
    [line] = pipe.lines()
    assert line["turn"] == turn
    assert line["trace"] == tracing.trace_of(turn)


def test_a_traceback_stays_on_one_line(pipe, logger):
    """An exception is a field of its record, so a line is always one record."""
    try:
        raise KeyError("missing")
    except KeyError:
        logger.exception("failed")
    [line] = pipe.lines()
    assert "KeyError: 'missing'" in str(line["exc"])
    assert str(line["exc"]).startswith("Traceback")


class Unprintable:
    """An object whose repr raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    ("message", "arguments", "extra"),
    [
        ("%d", ("text",), {}),
        ("%s %s", ("one",), {}),
        ("lone surrogate \ud800", (), {}),
        ("x", (), {"value": object()}),
        ("x", (), {"value": {("tuple",): 1}}),
        ("x", (), {"value": 2**80}),
        ("%s", (Unprintable(),), {}),
        ("x", (), {"value": Unprintable()}),
        ("x", (), {"value": float("nan")}),
    ],
)
def test_nothing_a_caller_logs_raises(pipe, logger, message, arguments, extra):
    """Wrong formats, unencodable text and hostile objects still give one valid line."""
    logger.info(message, *arguments, extra=extra)
    [line] = pipe.lines()
    assert line["level"] == "INFO"


def test_an_overlong_line_is_cut_and_stays_valid(tmp_path):
    """A dump of megabytes becomes a line within the limit."""
    path = tmp_path / "log"
    with path.open("wb") as file:
        handler = JsonHandler(file.fileno())
        handler.emit(logging.makeLogRecord({"msg": "x" * 5_000_000, "blob": "é" * 1_000_000}))
    [line] = path.read_bytes().splitlines()
    assert len(line) <= logs.MAX_LINE_BYTES
    assert json.loads(line)["msg"].endswith("(cut)")


def test_a_full_pipe_drops_lines_and_later_says_so(pipe, logger):
    """While nobody reads, logging returns; the first line read afterwards is followed by the number lost."""
    for number in range(200):
        logger.info("line %d", number)
    handler = logger.handlers[0]
    assert isinstance(handler, JsonHandler)
    lost = handler.dropped
    kept = pipe.lines()
    assert 0 < lost == 200 - len(kept)
    logger.info("after")
    after, notice = pipe.lines()
    assert after["msg"] == "after"
    assert notice["lost"] == lost
    logger.info("again")
    assert [line["msg"] for line in pipe.lines()] == ["again"]


def test_a_line_torn_by_a_full_pipe_does_not_spoil_the_next(pipe):
    """After a line stopped half way the next starts on a line of its own."""
    writer = LineWriter(pipe.write_fd)
    assert not writer.write(b"a" * 20_000)
    pipe.read()
    assert writer.write(b"whole")
    assert pipe.read() == b"\nwhole\n"


def test_a_reader_that_died_stops_nobody(pipe, logger):
    """A broken pipe is counted, not raised."""
    os.close(pipe.read_fd)
    logger.info("anyone?")
    handler = logger.handlers[0]
    assert isinstance(handler, JsonHandler)
    assert handler.dropped == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_stops_nobody():
    """ENOSPC is counted, not raised."""
    with open("/dev/full", "wb", buffering=0) as full:
        writer = LineWriter(full.fileno())
        assert not writer.write(b"line")


def test_configure_replaces_the_root_handlers(pipe):
    """Every logger of the process, warnings included, ends up as JSON lines under the agent's name."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        logs.configure("Agent7", "pc2", "DEBUG", pipe.write_fd)
        logging.getLogger("somewhere").debug("deep")
        [line] = pipe.lines()
        assert (line["agent"], line["machine"], line["logger"]) == ("Agent7", "pc2", "somewhere")
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = before
        root.setLevel(level)
        logs.set_process_resource(Resource())


def test_plain_rendering_reads_like_a_log(pipe, logger):
    """A person sees time, level, agent, message, extra fields, and the traceback indented below."""
    try:
        raise ValueError("bad")
    except ValueError:
        logger.exception("could not parse", extra={"word": "tea"})
    text = render_plain(pipe.read().decode())
    first, *rest = text.splitlines()
    assert "ERROR    NLUAgent could not parse word=tea" in first
    assert rest[-1] == "    ValueError: bad"
    assert "\x1b[31mERROR" in render_plain('{"level":"ERROR","msg":"x"}', color=True)


@pytest.mark.parametrize("line", ["plain text", "[1, 2]", '{"other": 1}', "{broken", "12"])
def test_foreign_lines_pass_unchanged(line):
    """The output of a program that is not ours is shown as it is."""
    assert render_plain(line + "\n") == line
