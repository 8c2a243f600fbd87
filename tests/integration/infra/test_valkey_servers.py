"""The two Valkey servers of a machine: access control, durability, eviction policy."""

from __future__ import annotations

import os

import pytest
import redis.asyncio as redis
from redis import exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tandem.core.errors import Unavailable
from tandem.infra import ValkeyProbe, check, reload

pytestmark = pytest.mark.integration

NO_RETRY = Retry(NoBackoff(), 0)
REFUSED = (
    "invalid username-password|Authentication required|must be called with the client already authenticated"
)
DENIED = (exceptions.NoPermissionError, exceptions.ResponseError)


async def on_disk(node: redis.Redis) -> None:
    """Wait for the append-only file: while it is being synced the server answers before it writes."""
    await node.execute_command("WAITAOF", 1, 0, 0)


async def test_only_known_users_get_in(mainpc) -> None:
    """Without a password, with the default user, or with a neighbour's password nothing is answered."""
    access = mainpc.access("control")
    beta = mainpc.access("control", "Beta")
    for user, password in (
        (None, None),
        ("default", ""),
        (access.username, "x"),
        (access.username, beta.password),
    ):
        client = redis.Redis(unix_socket_path=access.socket, username=user, password=password, retry=NO_RETRY)
        with pytest.raises(exceptions.RedisError, match=REFUSED):
            await client.ping()
        await client.aclose()
    wrong = ValkeyProbe(type(access)(access.socket, access.username, "x"))
    with pytest.raises(Unavailable, match="AUTH"):
        await check(wrong)


async def test_the_cache_and_control_passwords_differ(mainpc) -> None:
    """A password of one server does not open the other."""
    control, cache = mainpc.access("control", "Alpha"), mainpc.access("cache", "Alpha")
    assert control.password != cache.password
    client = redis.Redis(unix_socket_path=cache.socket, username=control.username, password=control.password)
    with pytest.raises(exceptions.RedisError, match=REFUSED):
        await client.ping()
    await client.aclose()


async def test_an_agent_keeps_its_own_lease_and_reads_the_others(mainpc) -> None:
    """An agent writes its own ready key, reads every one, and can touch nobody else's, even from a script."""
    node, alpha = mainpc.valkey("control"), mainpc.valkey("control", "Alpha")
    await node.set("agent:ready:Beta", "b")
    await node.set("node:secret", "s")
    await alpha.set("agent:ready:Alpha", "a", ex=30)
    await alpha.set("own:Alpha:epoch", "1")
    assert await alpha.mget("agent:ready:Alpha", "agent:ready:Beta") == ["a", "b"]
    for attempt in (
        alpha.set("agent:ready:Beta", "x"),
        alpha.delete("agent:ready:Beta"),
        alpha.rename("agent:ready:Alpha", "agent:ready:Beta"),
        alpha.copy("agent:ready:Alpha", "agent:ready:Beta"),
        alpha.get("node:secret"),
        alpha.set("own:Beta:epoch", "1"),
        alpha.eval("return redis.call('SET', 'agent:ready:Beta', 'x')", 0),
        alpha.publish("node:commands", "stop"),
    ):
        with pytest.raises(DENIED):
            await attempt
    assert await node.get("agent:ready:Beta") == "b"


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "KEYS *",
        "CONFIG GET *",
        "ACL LIST",
        "SHUTDOWN",
        "DEBUG SLEEP 0",
        "CLIENT LIST",
        "MONITOR",
        "SAVE",
    ],
)
@pytest.mark.parametrize("purpose", ["control", "cache"])
async def test_an_agent_has_no_power_over_the_server(mainpc, purpose, command: str) -> None:
    """Commands that see or change the whole server are closed to agents."""
    with pytest.raises(DENIED):
        await mainpc.valkey(purpose, "Alpha").execute_command(*command.split())


async def test_cache_namespaces(mainpc) -> None:
    """In the cache an agent writes its own namespace and the shared one, and reads the others'."""
    alpha, beta = mainpc.valkey("cache", "Alpha"), mainpc.valkey("cache", "Beta")
    await alpha.set("cache:Alpha:k", "1")
    await beta.set("shared:k", "2")
    assert await beta.get("cache:Alpha:k") == "1"
    await alpha.set("shared:k", "3")
    with pytest.raises(DENIED):
        await beta.set("cache:Alpha:k", "9")


async def test_a_watcher_hears_of_leases(mainpc) -> None:
    """An agent may follow changes of ready keys by keyspace notifications of the control server."""
    node, alpha = mainpc.valkey("control"), mainpc.valkey("control", "Alpha")
    async with alpha.pubsub() as watch:
        await watch.psubscribe("__keyspace@0__:agent:ready:*")
        await watch.get_message(timeout=60)
        await node.set("agent:ready:Beta", "b")
        message = await watch.get_message(timeout=60, ignore_subscribe_messages=True)
    assert message is not None
    assert (message["channel"], message["data"]) == ("__keyspace@0__:agent:ready:Beta", "set")


@pytest.mark.parametrize("purpose", ["control", "cache"])
async def test_answered_writes_survive_sigkill(mainpc, purpose) -> None:
    """Every write that was answered is there after SIGKILL and a restart, over the stale socket file."""
    node = mainpc.valkey(purpose)
    for number in range(500):
        await node.set(f"kept:{number}", str(number))
    await on_disk(node)
    await node.aclose()
    mainpc.kill(f"valkey-{purpose}")
    assert os.stat(mainpc.access(purpose).socket)
    await mainpc.start(f"valkey-{purpose}")
    again = mainpc.valkey(purpose)
    assert await again.mget(*(f"kept:{n}" for n in range(500))) == [str(n) for n in range(500)]


async def test_a_stop_keeps_the_data_without_a_snapshot(mainpc) -> None:
    """SIGTERM ends the cache at once, leaving no dump behind, and the restart has every entry."""
    node = mainpc.valkey("cache")
    await node.set("kept", "1")
    await node.aclose()
    process = mainpc.processes["valkey-cache"]
    process.terminate()
    assert process.wait(timeout=30) == 0
    await mainpc.start("valkey-cache")
    assert await mainpc.valkey("cache").get("kept") == "1"
    assert "Saving the final RDB snapshot" not in mainpc.log("valkey-cache").read_text()


async def test_a_torn_last_write_does_not_stop_the_restart(mainpc) -> None:
    """A half-written end of the append-only file, as a power loss leaves it, costs only that write."""
    node = mainpc.valkey("control")
    await node.set("kept", "1")
    await on_disk(node)
    await node.aclose()
    mainpc.kill("valkey-control")
    (log,) = (mainpc.dirs.valkey / "control" / "appendonlydir").glob("*.incr.aof")
    with log.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nto")
    await mainpc.start("valkey-control")
    assert await mainpc.valkey("control").get("kept") == "1"


async def test_the_policies_are_those_of_their_purpose(mainpc) -> None:
    """Leases are never evicted; the cache has 2 GB, evicts the least recently used and saves as configured."""
    control, cache = mainpc.valkey("control"), mainpc.valkey("cache")
    assert (await control.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
    settings = await cache.config_get("*")
    assert settings["maxmemory-policy"] == "allkeys-lru"
    assert int(settings["maxmemory"]) == 2 * 1024**3
    assert (settings["save"], settings["appendonly"], settings["appendfsync"]) == ("900 1", "yes", "everysec")


async def test_neither_server_opens_a_port(mainpc, listeners) -> None:
    """The servers' only listener is a unix socket nobody else may connect to."""
    for purpose in ("control", "cache"):
        assert listeners(mainpc.processes[f"valkey-{purpose}"].pid) == []
        assert os.stat(mainpc.access(purpose).socket).st_mode & 0o777 == 0o700


async def test_an_agent_is_added_without_a_restart(mainpc) -> None:
    """Reloading the ACL lets a new agent in and an abandoned one out, while others keep their connections."""
    alpha, beta = mainpc.valkey("control", "Alpha"), mainpc.valkey("control", "Beta")
    number = await alpha.client_id()
    await beta.ping()
    with pytest.raises(exceptions.RedisError, match=REFUSED):
        await mainpc.valkey("control", "Gamma").ping()
    mainpc.agents += ["Gamma"]
    mainpc.agents.remove("Beta")
    await reload(mainpc.specs()["valkey-control"], mainpc.processes["valkey-control"].pid)
    await mainpc.valkey("control", "Gamma").set("agent:ready:Gamma", "g")
    assert await alpha.client_id() == number
    with pytest.raises(exceptions.RedisError):
        await beta.set("agent:ready:Beta", "b")


async def test_passwords_are_on_disk_only_as_hashes(mainpc) -> None:
    """The ACL file is private and holds no password in the clear."""
    for purpose in ("control", "cache"):
        text = (mainpc.dirs.valkey / purpose / "users.acl").read_text()
        assert (mainpc.dirs.valkey / purpose / "users.acl").stat().st_mode & 0o777 == 0o400
        for who in ("node", "Alpha"):
            assert mainpc.access(purpose, who).password not in text
