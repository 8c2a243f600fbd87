"""Mends of log handlers that grow without end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

import pytest
from mends import after, left, mend, proposed, put, run


@pytest.fixture
def quiet_logging() -> Iterator[None]:
    """Handlers a test adds to the root logger are removed again."""
    root = logging.getLogger()
    before = list(root.handlers)
    root.handlers.clear()
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = before


def test_file_handler_rotates(tmp_path: Path) -> None:
    """A plain handler becomes a rotating one for the same file and encoding."""
    log = tmp_path / "x.log"
    put(tmp_path, a=f'import logging\n\nHANDLER = logging.FileHandler({str(log)!r}, "a", "utf-8")  # all of it\n')
    found = mend(tmp_path, "log-without-rotation")
    assert "# all of it" in after(found)
    handler = run(tmp_path)["HANDLER"]
    assert isinstance(handler, RotatingFileHandler)
    assert (handler.baseFilename, handler.encoding, handler.mode) == (str(log), "utf-8", "a")
    assert handler.maxBytes > 0
    assert handler.backupCount > 0
    handler.close()
    assert left(tmp_path, "log-without-rotation") == []


@pytest.mark.usefixtures("quiet_logging")
def test_basic_config_with_a_file_rotates(tmp_path: Path) -> None:
    """The file moves into a rotating handler; level and format stay."""
    log = tmp_path / "y.log"
    put(
        tmp_path,
        a=f"""
        import logging
        logging.basicConfig(
            filename={str(log)!r},
            format="%(levelname)s %(message)s",
            level=logging.INFO,
        )
        logging.info("hello")
        """,
    )
    mend(tmp_path, "log-without-rotation")
    logging.getLogger().handlers.clear()
    run(tmp_path)
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, RotatingFileHandler)
    assert log.read_text() == "INFO hello\n"


def test_rotating_handler_gets_the_limits_it_lacks(tmp_path: Path) -> None:
    """Only what is missing is added."""
    put(tmp_path, a='from logging.handlers import RotatingFileHandler\nh = RotatingFileHandler("x.log", maxBytes=7)\n')
    text = after(mend(tmp_path, "log-without-rotation"))
    assert 'RotatingFileHandler("x.log", maxBytes=7, backupCount=5)' in text


def test_dictionary_configuration_rotates(tmp_path: Path) -> None:
    """A handler declared in a dictionary gets the rotating class and its limits, and keeps its layout."""
    put(
        tmp_path,
        a="""
        import logging.config
        CONFIG = {
            "version": 1,
            "handlers": {
                "file": {
                    "class": "logging.FileHandler",
                    "filename": "z.log",
                    "delay": True,
                },
            },
        }
        """,
    )
    mend(tmp_path, "log-without-rotation")
    handler = run(tmp_path)["CONFIG"]["handlers"]["file"]
    assert handler.pop("class") == "logging.handlers.RotatingFileHandler"
    assert handler == {"filename": "z.log", "delay": True, "maxBytes": 10_000_000, "backupCount": 5}


def test_handler_that_truncates_is_only_suggested(tmp_path: Path) -> None:
    """A rotating handler always appends, so one that starts afresh is not replaced without asking."""
    put(tmp_path, a='import logging\nh = logging.FileHandler("x.log", mode="w")\n')
    found = mend(tmp_path, "log-without-rotation")
    assert found.changes == []
    assert "RotatingFileHandler" in proposed(found)
