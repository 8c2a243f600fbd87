"""What each mend makes of the code: before, after, and what the result then does."""

from __future__ import annotations

import logging
import os
import runpy
import sys
import textwrap
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import pytest

from tandem.audit import Options, audit
from tandem.audit.fix.patch import Change, write
from tandem.audit.fix.plan import Plan, plan


def put(root: Path, **files: str) -> None:
    """Write files; ``__`` in a name is a slash."""
    for name, text in files.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")


def after(found: Plan, path: str = "a.py") -> str:
    """The certain text of a file."""
    return next((change.after for change in found.changes if change.path == path), "unchanged")


def proposed(found: Plan, path: str = "a.py") -> str:
    """The suggested text of a file."""
    return next((change.after for change in found.suggestions if change.path == path), "nothing")


def run(root: Path, path: str = "a.py") -> dict[str, Any]:
    """Run a file of the tree and return its globals."""
    return runpy.run_path(str(root / path))


def mend(root: Path, *rules: str) -> Plan:
    """Plan, write the certain changes, and check that a second plan finds nothing more to write."""
    found = plan(root, rules)
    write(found.root, found.changes)
    again = plan(root, rules)
    assert again.changes == [], "the mend is not idempotent"
    return found


def left(root: Path, rule: str) -> list[int]:
    """Lines on which ``rule`` still reports."""
    return [item.line for item in audit(Options(root=root, rules=frozenset({rule}), cache=False, jobs=1)).findings]


# --- addresses ---


def test_address_in_a_constant_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A constant keeps its value, and a variable of its name now overrides it."""
    put(tmp_path, a='PC2_HOST = "192.168.100.17"  # the other one\n')
    found = mend(tmp_path, "hardcoded-address")
    assert after(found) == 'import os\n\nPC2_HOST = os.environ.get("PC2_HOST", "192.168.100.17")  # the other one\n'
    monkeypatch.delenv("PC2_HOST", raising=False)
    assert run(tmp_path)["PC2_HOST"] == "192.168.100.17"
    monkeypatch.setenv("PC2_HOST", "pc2.lan")
    assert run(tmp_path)["PC2_HOST"] == "pc2.lan"


def test_address_within_texts_uses_the_name_the_tree_has_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoints, plain or formatted, use the variable that another file reads for the same address."""
    put(
        tmp_path,
        env='import os\nHOST = os.environ.get("PC2_IP", "192.168.100.17")\n',
        a="""
        import os
        A = "tcp://192.168.100.17:7150"
        def b(port):
            return f'http://192.168.100.17:{port}/{{x}}'
        C = 'say "192.168.100.17" {literally}'
        """,
    )
    mend(tmp_path, "hardcoded-address")
    monkeypatch.delenv("PC2_IP", raising=False)
    same = run(tmp_path)
    assert (same["A"], same["b"](9), same["C"]) == (
        "tcp://192.168.100.17:7150",
        "http://192.168.100.17:9/{x}",
        'say "192.168.100.17" {literally}',
    )
    monkeypatch.setenv("PC2_IP", "pc2")
    assert run(tmp_path)["b"](9) == "http://pc2:9/{x}"


def test_address_without_a_known_name_is_only_suggested(tmp_path: Path) -> None:
    """The name of a variable is never made up in what is written."""
    put(tmp_path, a='def f(s):\n    s.connect("tcp://10.0.0.9:1")\n')
    found = mend(tmp_path, "hardcoded-address")
    assert found.changes == []
    assert "HOST_10_0_0_9" in proposed(found)


def test_address_known_by_two_names_is_only_suggested(tmp_path: Path) -> None:
    """When the tree has two variables for one address, the choice is a person's."""
    put(
        tmp_path,
        x='import os\nos.environ.get("HUB_IP", "10.0.0.9")\nos.environ.get("NAS_IP", "10.0.0.9")\n',
        a='U = "http://10.0.0.9/"\n',
    )
    assert mend(tmp_path, "hardcoded-address").changes == []


@pytest.mark.parametrize(
    "text",
    [
        'def f():\n    """Connects to 10.0.0.9."""\n',
        'from typing import Literal\nX: Literal["10.0.0.9"]\n',
        'def f(x):\n    match x:\n        case "10.0.0.9":\n            return 1\n',
        'X = b"10.0.0.9"\n',
    ],
    ids=["docstring", "type", "pattern", "bytes"],
)
def test_places_an_address_cannot_be_looked_up_stay(tmp_path: Path, text: str) -> None:
    """Docstrings, types, patterns and bytes are neither changed nor proposed."""
    put(tmp_path, a=text)
    found = mend(tmp_path, "hardcoded-address")
    assert found.changes == []
    assert found.suggestions == []


# --- log handlers ---


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


# --- health ---


def test_health_answer_gets_the_one_form(tmp_path: Path) -> None:
    """The old word becomes ours, what was missing is added, and other keys stay."""
    put(
        tmp_path,
        a="""
        class Echo:
            def handle(self, request):
                if request.get("action") == "health_check":
                    return {"status": "ok", "queue": 3}  # alive
                return {"status": "ok", "echo": request}
        """,
    )
    found = mend(tmp_path, "health-dialect")
    assert "# alive" in after(found)
    echo = run(tmp_path)["Echo"]()
    answer = echo.handle({"action": "health_check"})
    assert (answer["status"], answer["service"], answer["queue"], answer["issues"]) == ("healthy", "Echo", 3, [])
    assert answer["timestamp"] > 1e9
    assert isinstance(answer["machine"], str)
    assert echo.handle({"action": "x"}) == {"status": "ok", "echo": {"action": "x"}}
    assert left(tmp_path, "health-dialect") == []


def test_health_word_somebody_looks_for_is_only_suggested(tmp_path: Path) -> None:
    """When code of the tree compares a status with the old word, changing the word is a person's decision."""
    put(
        tmp_path,
        a='class A:\n    def health_check(self):\n        return {"status": "ok"}\n',
        b='def good(reply):\n    return reply["status"] == "ok"\n',
    )
    found = mend(tmp_path, "health-dialect")
    assert found.changes == []
    assert '"status": "healthy"' in proposed(found)


def test_health_answer_by_condition(tmp_path: Path) -> None:
    """Both words of a conditional answer are mended."""
    put(
        tmp_path,
        a="""
        class A:
            up = True
            def health_check(self):
                return {"status": "running" if self.up else "down"}
        """,
    )
    mend(tmp_path, "health-dialect")
    agent = run(tmp_path)["A"]()
    assert agent.health_check()["status"] == "healthy"
    agent.up = False
    assert agent.health_check()["status"] == "unhealthy"


def test_health_answer_of_a_web_route_is_only_suggested(tmp_path: Path) -> None:
    """What a load balancer may look for is not changed without asking."""
    put(tmp_path, a='def make(app):\n    @app.get("/health")\n    def health():\n        return {"status": "ok"}\n')
    found = mend(tmp_path, "health-dialect")
    assert found.changes == []
    assert '"status": "healthy"' in proposed(found)


@pytest.mark.parametrize(
    "text",
    [
        'from time import time\nclass A:\n    def health_check(self):\n        return {"status": "ok", "at": time()}\n',
        'class A:\n    def health_check(self, time):\n        return {"status": "ok", "at": time}\n',
        'import my_clock as time\nclass A:\n    def health_check(self):\n        return {"status": "ok"}\n',
    ],
    ids=["function", "parameter", "alias"],
)
def test_needed_import_never_hides_another_meaning(tmp_path: Path, text: str) -> None:
    """Where a name is taken, the change that would need it is left out."""
    put(tmp_path, a=text)
    assert mend(tmp_path, "health-dialect").changes == []


# --- errors ---

BUS = """
SEEN = []
def report_error(error_type, message, severity="ERROR"):
    SEEN.append((error_type, message, severity))
"""
PUBLISHER = """
import json
import zmq
class A:
    def __init__(self, context):
        self.name = "A"
        self.error_bus_pub = context.socket(zmq.PUB)
        self.error_bus_pub.connect("tcp://127.0.0.1:7150")
    def fail(self, kind, text):
        data = {"error_type": kind, "message": text, "agent": self.name}
        # tell everybody
        self.error_bus_pub.send_string(f"ERROR:{json.dumps(data)}")
    def close(self):
        self.error_bus_pub.close()
        self.name = ""
"""


class Recorder:
    """Stands in for a context and its sockets."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def socket(self, kind: int) -> Recorder:
        return self

    def connect(self, endpoint: str) -> None: ...

    def close(self) -> None: ...

    def send_string(self, text: str) -> None:
        self.sent.append(text)


def test_error_goes_both_ways_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step adds the report to the bus and keeps the send."""
    put(tmp_path, a=PUBLISHER, bus=BUS)
    monkeypatch.delitem(sys.modules, "bus", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    text = after(mend(tmp_path, "zmq-error-publisher"))
    assert text.index("# tell everybody") < text.index("report_error(error_type=kind, message=text)") < text.index("send_string")
    names, old_way = run(tmp_path), Recorder()
    names["A"](old_way).fail("crash", "it broke")
    assert len(old_way.sent) == 1
    assert names["report_error"].__globals__["SEEN"] == [("crash", "it broke", "ERROR")]


def test_error_goes_to_the_bus_only_in_the_second_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second step removes the send, and the publisher that then serves nobody."""
    put(tmp_path, a=PUBLISHER, bus=BUS)
    monkeypatch.delitem(sys.modules, "bus", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    mend(tmp_path, "zmq-error-publisher")
    second = plan(tmp_path, ["zmq-error-publisher"], bus_only=True)
    write(second.root, second.changes)
    assert "error_bus_pub" not in (tmp_path / "a.py").read_text()
    names, old_way = run(tmp_path), Recorder()
    names["A"](old_way).fail("crash", "it broke")
    assert old_way.sent == []
    assert len(names["report_error"].__globals__["SEEN"]) == 1
    assert left(tmp_path, "zmq-error-publisher") == []


def test_second_step_leaves_sends_that_reach_no_bus(tmp_path: Path) -> None:
    """Without a report beside it a send is the only way the error travels, so it stays."""
    put(tmp_path, a=PUBLISHER)
    assert plan(tmp_path, ["zmq-error-publisher"], bus_only=True).changes == []


def test_error_without_a_bus_is_left_alone(tmp_path: Path) -> None:
    """In a tree without `report_error` there is nothing to call."""
    put(tmp_path, a=PUBLISHER)
    assert mend(tmp_path, "zmq-error-publisher").changes == []


def test_error_reporter_does_not_call_itself(tmp_path: Path) -> None:
    """A module's own `report_error` that sends over ZeroMQ is not made to call itself."""
    put(tmp_path, a='import zmq\npub = zmq.Context().socket(zmq.PUB)\ndef report_error(error_type, message):\n    pub.send_string("ERROR:" + message)\n')
    assert mend(tmp_path, "zmq-error-publisher").changes == []


# --- imports ---


def test_unused_imports_go(tmp_path: Path) -> None:
    """Unused names go, used ones, comments and the rest of a shared line stay."""
    put(
        tmp_path,
        a="""
        # first
        import json
        import os, sys
        from typing import (
            Any,
            Dict,  # old
            List,
        )

        def f(x: Any) -> List[Any]:
            return [sys.path, x]
        """,
    )
    text = after(mend(tmp_path, "unused-import"))
    assert text.startswith("# first\nimport sys\nfrom typing import (\n    Any,\n")
    assert "Dict" not in text
    assert run(tmp_path)["f"](1)[1] == 1


def test_import_another_module_takes_from_here_stays(tmp_path: Path) -> None:
    """A name that is imported to be passed on is used, elsewhere."""
    put(tmp_path, a="import json\nfrom os import path\nX = 1\n", b="from a import path\nprint(path)\n")
    assert after(mend(tmp_path, "unused-import")) == "from os import path\nX = 1\n"


def test_import_with_effects_is_only_suggested(tmp_path: Path) -> None:
    """Importing a module that does work when it is imported is not dropped without asking."""
    put(tmp_path, effects="for i in range(3):\n    print(i)\n", a="import effects\nX = 1\n")
    found = mend(tmp_path, "unused-import")
    assert found.changes == []
    assert "import effects" not in proposed(found)


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import orjson\nexcept ImportError:\n    orjson = None\n",
        "from __future__ import annotations\nX = 1\n",
        "import json\n__all__ = ['json']\n",
        "import json  # noqa: F401\n",
    ],
    ids=["probe", "future", "exported", "silenced"],
)
def test_imports_that_only_look_unused_stay(tmp_path: Path, text: str) -> None:
    """Probes, future imports, exports and silenced lines are kept."""
    put(tmp_path, a=text)
    assert mend(tmp_path, "unused-import").changes == []


# --- syntax ---


@pytest.mark.parametrize(
    ("before", "mended"),
    [
        ('import os\nB = os.path.join("a", "..")))\n', 'import os\nB = os.path.join("a", "..")\n'),
        ("def f(x)\n    return x\n", "def f(x):\n    return x\n"),
        ("def f(self, x:\n    return x\n", "def f(self, x):\n    return x\n"),
        ('print("a"\nx = 1\n', 'print("a")\nx = 1\n'),
        ("x = [1\ny = 3\n", "x = [1]\ny = 3\n"),
        ("x = {'a': 1)\n", "x = {'a': 1}\n"),
        ("def f():\nreturn 1\n", "def f():\n    return 1\n"),
        ("x = 1\n    y = 2\n", "x = 1\ny = 2\n"),
        ("if x\n    pass\nelse:\n    pass\n", "if x:\n    pass\nelse:\n    pass\n"),
    ],
    ids=["surplus", "colon", "header", "call", "list", "wrong", "indent", "over-indented", "if"],
)
def test_mistake_with_exactly_one_mend_is_mended(tmp_path: Path, before: str, mended: str) -> None:
    """A missing or surplus bracket, a missing colon and a wrong indent are mended where only one mend compiles."""
    put(tmp_path, a=before)
    assert after(mend(tmp_path, "syntax-error")) == mended


@pytest.mark.parametrize(
    "text",
    [
        "x = f(a, b\ny = 1\n",
        "x = [1, 2\ny = 3\n",
        "def f():\nx = 1\ny = 2\n",
        "print 'x'\n",
        "x = f(a) + g(b))\n",
        'class A(\n    """Text."""\n    object):\n    pass\n',
    ],
    ids=["two places", "list or tuple", "how many lines", "python 2", "which bracket", "docstring among the bases"],
)
def test_mistake_with_several_mends_is_not_written(tmp_path: Path, text: str) -> None:
    """Where several mends compile and mean different things, or tokens would have to move, nothing is written."""
    put(tmp_path, a=text)
    assert mend(tmp_path, "syntax-error").changes == []


def test_docstring_among_the_bases_is_suggested(tmp_path: Path) -> None:
    """The docstring a careless script pasted between a class and its bases is moved, as a suggestion."""
    put(tmp_path, a='class A(\n    """Text."""\n    object):\n    def f(self):\n        return 1\n')
    assert proposed(mend(tmp_path, "syntax-error")) == 'class A(object):\n    """Text."""\n    def f(self):\n        return 1\n'


def test_several_mistakes_are_suggested_together(tmp_path: Path) -> None:
    """A file with two mistakes gets one suggestion that mends both."""
    put(tmp_path, a="def f(x)\n    return x\n\ndef g(y)\n    return y\n")
    found = mend(tmp_path, "syntax-error")
    assert found.changes == []
    assert proposed(found) == "def f(x):\n    return x\n\ndef g(y):\n    return y\n"


# --- files ---


def test_line_ends_and_encoding_stay(tmp_path: Path) -> None:
    """A file keeps its line ends, its encoding and its mode."""
    path = tmp_path / "a.py"
    path.write_bytes('# coding: latin-1\r\nNAME = "caf\u00e9"\r\nPC2_HOST = "10.0.0.9"\r\n'.encode("latin-1"))
    path.chmod(0o750)
    mend(tmp_path, "hardcoded-address")
    data = path.read_bytes()
    assert 'NAME = "caf\u00e9"\r\n'.encode("latin-1") in data
    assert data.count(b"\n") == data.count(b"\r\n")
    assert path.stat().st_mode & 0o777 == 0o750


def test_planning_changes_nothing(tmp_path: Path) -> None:
    """A plan leaves the tree as it was."""
    put(tmp_path, a='PC2_HOST = "10.0.0.9"\n')
    stamp = os.stat(tmp_path / "a.py").st_mtime_ns
    assert plan(tmp_path).changes
    assert os.stat(tmp_path / "a.py").st_mtime_ns == stamp


def test_file_changed_since_the_plan_is_not_overwritten(tmp_path: Path) -> None:
    """When any file was edited meanwhile nothing at all is written."""
    put(tmp_path, a='PC2_HOST = "10.0.0.9"\n', b='NAS_HOST = "10.0.0.8"\n')
    found = plan(tmp_path)
    (tmp_path / "b.py").write_text("edited = True\n")
    with pytest.raises(RuntimeError, match="has changed meanwhile"):
        write(found.root, found.changes)
    assert (tmp_path / "a.py").read_text() == 'PC2_HOST = "10.0.0.9"\n'


def test_tests_keep_their_imports(tmp_path: Path) -> None:
    """Files among tests are not tidied."""
    put(tmp_path, tests__test_a="import json\n")
    assert mend(tmp_path, "unused-import").changes == []


def test_changes_name_the_rules_they_answer(tmp_path: Path) -> None:
    """One file mended for several rules is one change that names them all."""
    put(tmp_path, a='import json\nPC2_HOST = "10.0.0.9"\n')
    (change,) = plan(tmp_path).changes
    assert isinstance(change, Change)
    assert change.rules == ("hardcoded-address", "unused-import")
