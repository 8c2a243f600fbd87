"""One machine's nats-server: who gets in, what they may say, what survives."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.js.api import StreamConfig

from tandem.core.deadline import Deadline
from tandem.core.errors import Unreachable
from tandem.core.paths import Home, MachineDirs
from tandem.core.tasks import end
from tandem.events import Bus, Event
from tandem.events.streams import ensure_streams
from tandem.infra import check, nats_access, nats_state, reload, wait_ready
from tandem.security import Authority

pytestmark = pytest.mark.integration


class KettleBoiled(Event, topic="kettle.boiled"):
    cups: int


async def connect(servers, *, cert: tuple[str, str] | None, seed: bytes, ca: str):
    """A single attempt with chosen credentials."""
    tls = ssl.create_default_context(cafile=ca)
    if cert:
        tls.load_cert_chain(*cert)

    async def ignore(_: Exception) -> None:
        pass

    client = await nats.connect(
        f"tls://127.0.0.1:{servers.ports.nats}",
        tls=tls,
        nkeys_seed_str=seed.decode(),
        allow_reconnect=False,
        max_reconnect_attempts=0,
        connect_timeout=30,
        error_cb=ignore,
    )
    await client.close()


async def test_only_members_with_certificate_and_key_get_in(mainpc, tmp_path: Path) -> None:
    """No certificate, a stranger's certificate, or an unknown nkey: each is refused; the node's own pair is not."""
    access = nats_access(mainpc.machine, mainpc.ports, "node")
    own = (access.cert_file, access.key_file)
    stranger = Authority.open(Home(tmp_path / "other")).machine("mainpc")
    foreign = (stranger.client_tls.cert, stranger.client_tls.key)
    await connect(mainpc, cert=own, seed=access.nkey_seed, ca=access.ca_file)
    refusals = (nats.errors.Error, ssl.SSLError, OSError, asyncio.TimeoutError)
    with pytest.raises(refusals):
        await connect(mainpc, cert=None, seed=access.nkey_seed, ca=access.ca_file)
    with pytest.raises(refusals):
        await connect(mainpc, cert=foreign, seed=access.nkey_seed, ca=access.ca_file)
    with pytest.raises(refusals):
        await connect(mainpc, cert=own, seed=stranger.nkey("node").seed, ca=access.ca_file)


async def test_nothing_listens_in_the_clear_or_beyond_loopback(mainpc, listeners) -> None:
    """The client port demands TLS, and both listeners are bound to 127.0.0.1."""
    with pytest.raises((nats.errors.Error, OSError)):
        await nats.connect(
            f"nats://127.0.0.1:{mainpc.ports.nats}", allow_reconnect=False, max_reconnect_attempts=0
        )
    addresses = listeners(mainpc.processes["nats"].pid)
    assert len(addresses) == 2
    assert all(address.startswith("0100007F:") for address in addresses)


@pytest.mark.parametrize(
    "subject",
    [
        "event.pc2.fact.learned",
        "errors.mainpc.Beta.critical",
        "dead.mainpc.Beta.x",
        "presence.mainpc.Beta",
        "epoch.mainpc",
        "_INBOX.Beta.x",
        "$JS.API.STREAM.CREATE.X",
        "$JS.API.STREAM.DELETE.EVENTS_ALL",
        "$JS.API.CONSUMER.DELETE.EVENTS_ALL.Beta-x",
        "$JS.API.CONSUMER.CREATE.ERRORS_ALL.Alpha",
        "$SYS.REQ.SERVER.PING",
    ],
)
async def test_an_agent_cannot_say_what_is_not_its_own(mainpc, eventually, subject: str, settle) -> None:
    """Publishing in another's name, or what belongs to the node, is a permissions violation and reaches nobody."""
    node, alpha = await mainpc.nats(), await mainpc.nats("Alpha")
    heard: list[str] = []

    async def listen(message) -> None:
        heard.append(message.subject)

    await node.subscribe(subject, cb=listen)
    await node.subscribe("event.mainpc.after", cb=listen)
    await settle(node)
    await alpha.publish(subject, b"x")
    await alpha.publish("event.mainpc.after", b"x")
    await eventually(lambda: "event.mainpc.after" in heard and mainpc.errors)
    assert heard == ["event.mainpc.after"]
    assert f'permissions violation for publish to "{subject.lower()}"' in mainpc.errors[0].lower()


@pytest.mark.parametrize("subject", ["_INBOX.>", "_INBOX.Beta.>", "errors.>", "trace.>", "$JS.>", ">"])
async def test_an_agent_cannot_listen_to_what_is_not_its_own(mainpc, eventually, subject: str) -> None:
    """Others' inboxes, errors and everything at once are closed to an agent."""
    alpha = await mainpc.nats("Alpha")
    await alpha.subscribe(subject)
    await eventually(lambda: mainpc.errors)
    assert "permissions violation for subscription" in mainpc.errors[0].lower()


async def test_agents_rights_suffice_for_the_event_bus(mainpc) -> None:
    """Through the real event bus one agent announces, another follows durably, and no permission is missing."""
    await ensure_streams(await mainpc.nats(), "mainpc")
    received: asyncio.Queue[KettleBoiled] = asyncio.Queue()
    alpha, beta = (Bus(nats_access(mainpc.machine, mainpc.ports, name), name) for name in ("Alpha", "Beta"))
    try:
        await alpha.connect(timeout=60)
        await beta.connect(timeout=60)
        await beta.subscribe(KettleBoiled, received.put)
        await alpha.publish(KettleBoiled(cups=3), timeout=60)
        async with asyncio.timeout(60):
            assert (await received.get()).cups == 3
    finally:
        await alpha.close()
        await beta.close()
    assert "Violation" not in mainpc.log("nats").read_text()


async def test_an_observer_may_read_every_stream(mainpc) -> None:
    """The hub's rights let it consume errors, which an ordinary agent may not."""
    node = await mainpc.nats()
    await ensure_streams(node, "mainpc")
    alpha, watcher = await mainpc.nats("Alpha"), await mainpc.nats("Watcher")
    await alpha.jetstream().publish("errors.mainpc.Alpha.error", b"boom")
    subscription = await watcher.jetstream().pull_subscribe("", durable="Watcher", stream="ERRORS_ALL")
    (message,) = await subscription.fetch(1, timeout=60)
    await message.ack_sync()
    assert message.data == b"boom"
    assert not mainpc.errors


async def test_acknowledged_messages_survive_sigkill(mainpc, eventually) -> None:
    """Everything JetStream acknowledged before a SIGKILL is there, in order, after the restart."""
    node = await mainpc.nats()
    await node.jetstream().add_stream(StreamConfig(name="KEPT", subjects=["event.mainpc.>"]))
    acknowledged: list[int] = []

    async def publish() -> None:
        for number in range(100_000):
            await node.jetstream().publish("event.mainpc.n", b"%d" % number, timeout=60)
            acknowledged.append(number)

    publishing = asyncio.create_task(publish())
    await eventually(lambda: len(acknowledged) >= 300)
    mainpc.kill("nats")
    await end(publishing)
    await mainpc.start("nats")
    reader = await mainpc.nats()
    subscription = await reader.jetstream().pull_subscribe("event.mainpc.n", stream="KEPT")
    found: list[int] = []
    while len(found) < len(acknowledged):
        found += [int(message.data) for message in await subscription.fetch(500, timeout=60)]
    assert found[: len(acknowledged)] == acknowledged


async def test_an_agent_is_added_without_a_restart(mainpc, settle) -> None:
    """A reload lets a new agent in and an abandoned one out, while a connected one keeps its connection."""
    alpha = await mainpc.nats("Alpha")
    started = (await nats_state(mainpc.specs()["nats"].probe)).start
    with pytest.raises(nats.errors.Error):
        async with asyncio.timeout(60):
            access = nats_access(mainpc.machine, mainpc.ports, "Gamma")
            await connect(
                mainpc, cert=(access.cert_file, access.key_file), seed=access.nkey_seed, ca=access.ca_file
            )
    mainpc.agents += ["Gamma"]
    mainpc.agents.remove("Beta")
    pid = mainpc.processes["nats"].pid
    await reload(mainpc.specs()["nats"], pid)
    gamma = await mainpc.nats("Gamma")
    await gamma.publish("errors.mainpc.Gamma.info", b"")
    await settle(gamma)
    assert alpha.is_connected and not mainpc.errors
    access = nats_access(mainpc.machine, mainpc.ports, "Beta")
    with pytest.raises(nats.errors.Error):
        await connect(
            mainpc, cert=(access.cert_file, access.key_file), seed=access.nkey_seed, ca=access.ca_file
        )
    assert (await nats_state(mainpc.specs()["nats"].probe)).start == started


async def test_reloading_what_has_not_changed_does_nothing(mainpc) -> None:
    """A reload with the same plan leaves the server's configuration time as it was."""
    spec = mainpc.specs()["nats"]
    before = (await nats_state(spec.probe)).config_load_time
    await reload(spec, mainpc.processes["nats"].pid)
    assert (await nats_state(spec.probe)).config_load_time == before


async def test_no_secret_is_in_argv_environment_or_log(mainpc) -> None:
    """Neither seeds nor passwords appear in a server's command line, environment or log."""
    machine = mainpc.machine
    secrets = [machine.nkey(who).seed for who in ("node", "leaf", "Alpha@mainpc")]
    secrets += [
        machine.password(f"valkey-{purpose}", who).encode()
        for who in ("node", "Alpha@mainpc")
        for purpose in ("control", "cache")
    ]
    await mainpc.nats("Alpha")
    await mainpc.valkey("control", "Alpha").ping()
    for name in mainpc.processes:
        seen = mainpc.visible(name)
        assert seen and not [secret for secret in secrets if secret in seen]


async def test_two_fleets_live_side_by_side(make_servers, mainpc, tmp_path: Path, short_path: Path) -> None:
    """A second home with other ports starts its own servers; on the same ports the probe names the owner."""
    other = Authority.open(Home(tmp_path / "second"))
    second = make_servers("mainpc")
    second.authority = other
    second.dirs = MachineDirs(tmp_path / "second" / "mainpc", short_path / "second")
    await second.start()
    assert (await second.nats()).is_connected and (await mainpc.nats()).is_connected
    assert await second.valkey("control").ping()
    second.ports = mainpc.ports
    with pytest.raises(Unreachable, match=str(mainpc.dirs.root)):
        await wait_ready(second.specs()["nats"], Deadline.after(5.0))


async def test_a_dead_server_is_reported_as_such(mainpc) -> None:
    """The probe of a killed server raises Unreachable instead of hanging."""
    for spec in mainpc.specs().values():
        await check(spec.probe, 60)
        mainpc.kill(spec.name)
        with pytest.raises(Unreachable):
            await check(spec.probe)
