"""What is rendered for the servers, without starting any."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from tandem.core.errors import ConfigError
from tandem.core.paths import Home, MachineDirs
from tandem.fleet.model import HERE, Fleet, InfraPorts, MachineConfig
from tandem.infra import (
    Hub,
    Leaf,
    ServerSpec,
    install,
    link_of,
    mend,
    nats_access,
    plan_servers,
    valkey_access,
)
from tandem.infra.permissions import agent_subjects, leaf_denials, observer_subjects
from tandem.security import Authority

PORTS = InfraPorts(nats=4222, leaf=7422, monitor=8322, join=7443)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open(Home(tmp_path))


@pytest.fixture
def dirs(tmp_path: Path) -> MachineDirs:
    return MachineDirs(tmp_path / "machines" / "mainpc", tmp_path / "run" / "mainpc")


def plan(authority: Authority, dirs: MachineDirs, **options: object) -> dict[str, ServerSpec]:
    agents = options.pop("agents", ["Alpha", "Beta"])
    specs = plan_servers("mainpc", dirs, authority, PORTS, agents=agents, **options)  # type: ignore[arg-type]
    return {spec.name: spec for spec in specs}


def text(spec: ServerSpec, name: str) -> str:
    return next(file.content for file in spec.files if file.path.name == name)


def test_three_servers_with_everything_a_supervisor_needs(authority: Authority, dirs: MachineDirs) -> None:
    """A machine runs nats and two Valkeys; executables exist, only nats has a port, sockets are in the run directory."""
    specs = plan(authority, dirs)
    assert list(specs) == ["nats", "valkey-control", "valkey-cache"]
    assert all(Path(spec.argv[0]).is_file() for spec in specs.values())
    assert [spec.port for spec in specs.values()] == [4222, None, None]
    assert [Path(spec.socket).parent for spec in specs.values() if spec.socket] == [dirs.run, dirs.run]


def test_planning_is_deterministic_and_installing_twice_changes_nothing(
    authority: Authority, dirs: MachineDirs
) -> None:
    """The same fleet gives byte-identical files, so an unchanged plan needs no reload."""
    first, second = plan(authority, dirs), plan(authority, dirs)
    assert [spec.files for spec in first.values()] == [spec.files for spec in second.values()]
    assert all(install(spec) for spec in first.values())
    assert not any(install(spec) for spec in second.values())


def test_a_loosened_secret_file_is_tightened(authority: Authority, dirs: MachineDirs) -> None:
    """A file with right content but wrong permissions is written anew."""
    spec = plan(authority, dirs)["valkey-control"]
    install(spec)
    acl = dirs.valkey / "control" / "users.acl"
    acl.chmod(0o644)
    assert install(spec)
    assert acl.stat().st_mode & 0o777 == 0o400


@pytest.mark.parametrize("damage", [b"", b"\xff\xfe\x00garbage", b"user"])
def test_a_damaged_configuration_is_written_anew(authority: Authority, dirs: MachineDirs, damage: bytes) -> None:
    """Empty, cut off or no text at all: it is ours, so the server gets it as it should be."""
    for spec in plan(authority, dirs).values():
        install(spec)
        for file in spec.files:
            file.path.chmod(0o600)
            file.path.write_bytes(damage)
        assert install(spec)
        assert [file.path.read_bytes() for file in spec.files] == [file.content.encode() for file in spec.files]


@pytest.mark.parametrize(
    ("words", "is_damage"),
    [
        ("1:M # Bad file format reading the append only file appendonly.aof.1.incr.aof: make a backup", True),
        ("The AOF manifest file contains too long line", True),
        ("1:M # Wrong RDB checksum expected: (1) but got (2). Aborting now.", True),
        ("1:M * DB loaded from append only file: 0.000 seconds", False),
        ("1:M # Can't open the append-only file: Permission denied", False),
    ],
)
def test_a_server_that_cannot_read_its_data_gets_on_without(
    authority: Authority, dirs: MachineDirs, words: str, is_damage: bool
) -> None:
    """By its last words, and only by these, what it had written is put aside; events are never."""
    specs = plan(authority, dirs)
    for spec in specs.values():
        install(spec)
        for name in ("appendonlydir", "jetstream"):
            (Path(spec.cwd) / name).mkdir()
        mend(spec, ["something before", words, "something after"])
    control = dirs.valkey / "control"
    assert (control / "appendonlydir").exists() is not is_damage
    assert len(list(control.glob("appendonlydir.damaged-*"))) == is_damage
    assert (dirs.nats / "jetstream").exists() and (dirs.nats / "appendonlydir").exists()


def test_secrets_are_in_no_argument_and_no_readable_file(authority: Authority, dirs: MachineDirs) -> None:
    """Seeds and passwords are in neither argv nor environment; a seed only in a 0400 file, a password only hashed."""
    machine = authority.machine("mainpc")
    seeds = [machine.nkey(who).seed.decode() for who in ("node", "leaf", "Alpha@mainpc")]
    passwords = [
        machine.password(f"valkey-{purpose}", who)
        for purpose in ("control", "cache")
        for who in ("node", "Alpha@mainpc")
    ]
    for spec in plan(authority, dirs, link=Leaf("hub", "10.0.0.1", 7422)).values():
        visible = " ".join([*spec.argv, *spec.env, *spec.env.values()])
        visible += "".join(file.content for file in spec.files if file.mode & 0o077 or file.mode != 0o400)
        assert not [secret for secret in (*seeds, *passwords) if secret in visible]
        private = "".join(file.content for file in spec.files if file.mode == 0o400)
        assert not [password for password in passwords if password in private]


def test_valkey_users_match_the_access_agents_get(authority: Authority, dirs: MachineDirs) -> None:
    """The hash in the ACL file is that of the password handed to the agent."""
    access = valkey_access(authority.machine("mainpc"), dirs, "cache", "Alpha")
    acl = text(plan(authority, dirs)["valkey-cache"], "users.acl")
    assert f"user Alpha@mainpc on #{hashlib.sha256(access.password.encode()).hexdigest()} " in acl
    assert acl.startswith("user default off\n")


def test_nats_users_match_the_access_agents_get(authority: Authority, dirs: MachineDirs) -> None:
    """The public nkey of the seed handed to the agent is in the configuration, with that agent's inbox."""
    machine = authority.machine("mainpc")
    access = nats_access(machine, PORTS, "Alpha")
    assert access.nkey_seed == machine.nkey("Alpha@mainpc").seed
    line = next(
        line
        for line in text(plan(authority, dirs)["nats"], "nats.conf").splitlines()
        if machine.nkey("Alpha@mainpc").public in line
    )
    assert access.inbox_prefix + ".>" in line
    assert (access.url, access.domain, access.machine) == ("tls://127.0.0.1:4222", "mainpc", "mainpc")


def test_every_listener_is_on_loopback_unless_a_hub_must_be_reached(
    authority: Authority, dirs: MachineDirs
) -> None:
    """Only the leaf port of a hub whose leaves are elsewhere listens beyond 127.0.0.1, and it verifies certificates."""
    alone = text(plan(authority, dirs)["nats"], "nats.conf")
    assert re.findall(r'"([\d.]+):\d+"', alone) == ["127.0.0.1", "127.0.0.1"]
    hub = text(plan(authority, dirs, link=Hub({}, "0.0.0.0"))["nats"], "nats.conf")
    (leafnodes,) = (line for line in hub.splitlines() if line.startswith("leafnodes"))
    assert '"0.0.0.0:7422"' in leafnodes and "verify: true" in leafnodes
    assert hub.count("0.0.0.0") == 1


@pytest.mark.parametrize("name", ["a.b", "a b", "a*", ">", "", "a\nb", '"', "Ä"])
def test_a_name_that_could_widen_rights_is_refused(
    authority: Authority, dirs: MachineDirs, name: str
) -> None:
    """Wildcards, separators and quotes in an agent's name are an error, not a rule."""
    with pytest.raises(ConfigError, match="cannot name"):
        plan(authority, dirs, agents=[name])


def test_a_socket_path_that_is_too_long_is_refused(authority: Authority, tmp_path: Path) -> None:
    """A run directory too deep for unix sockets is reported before anything starts."""
    with pytest.raises(ConfigError, match="107"):
        plan(authority, MachineDirs(tmp_path, tmp_path / ("x" * 100)))


def test_agents_speak_only_for_themselves() -> None:
    """No subject an agent may publish to covers another machine, another agent's errors, or stream management."""
    allowed = agent_subjects("Alpha", "mainpc").publish

    def covers(pattern: str, subject: str) -> bool:
        parts, tokens = pattern.split("."), subject.split(".")
        for part, token in zip(parts, tokens, strict=False):
            if part == ">":
                return True
            if part not in ("*", token):
                return False
        return len(parts) == len(tokens)

    def may(subject: str) -> bool:
        return any(covers(pattern, subject) for pattern in allowed)

    assert may("event.mainpc.fact.learned") and may("errors.mainpc.Alpha.critical")
    assert may("$JS.API.CONSUMER.CREATE.EVENTS_ALL.Alpha-fact_learned.event.*.fact.learned")
    assert may("$JS.ACK.EVENTS_ALL.Alpha-x.1.2.3.4.5") and may(
        "$JS.ACK._.hash.EVENTS_ALL.Alpha-x.1.2.3.4.5.6"
    )
    for subject in (
        "event.pc2.x",
        "errors.mainpc.Beta.critical",
        "epoch.mainpc",
        "renew.mainpc.Beta",
        "$JS.API.STREAM.DELETE.EVENTS_ALL",
        "$JS.API.STREAM.UPDATE.EVENTS_LOCAL",
        "$JS.API.CONSUMER.DELETE.EVENTS_ALL.Alpha-x",
        "$JS.API.CONSUMER.MSG.NEXT.ERRORS_ALL.x",
        "$KV.leases_mainpc.Beta",
        "_INBOX.Beta.x",
    ):
        assert not may(subject), subject


def test_an_observer_may_all_an_agent_may() -> None:
    """The hub's rights contain an ordinary agent's."""
    agent, observer = agent_subjects("Hub", "mainpc"), observer_subjects("Hub", "mainpc")
    assert set(agent.publish) < set(observer.publish)
    assert set(agent.subscribe) < set(observer.subscribe)


def test_a_leaf_is_denied_every_other_machine() -> None:
    """A third machine's subjects are as closed to a leaf as the hub's."""
    assert {"event.mainpc.>", "event.pc3.>", "epoch.mainpc", "epoch.pc3"} <= set(
        leaf_denials(["mainpc", "pc3"])
    )


def fleet(**hosts: str | None) -> Fleet:
    """Machines by name, each with its host (None: here) and its own ports."""
    machines = {
        name: MachineConfig(
            name=name,
            host=host,
            host_key=host or HERE,
            infra=InfraPorts(nats=4222 + i, leaf=7422 + i, monitor=8322 + i, join=7443 + i),
        )
        for i, (name, host) in enumerate(hosts.items())
    }
    return Fleet(name="test", machines=machines)


def test_one_machine_is_not_linked(authority: Authority) -> None:
    """A fleet of one machine has neither hub nor leaf."""
    assert link_of(fleet(mainpc=None), "mainpc", authority) is None


def test_two_machines_on_one_computer_link_over_loopback(authority: Authority) -> None:
    """The first machine is the hub and knows the other's key at once; nothing leaves loopback."""
    both = fleet(mainpc=None, pc2=None)
    assert link_of(both, "mainpc", authority) == Hub({"pc2": [authority.machine("pc2").nkey("leaf").public]})
    assert link_of(both, "pc2", authority) == Leaf("mainpc", "127.0.0.1", 7422)


def test_two_computers_link_over_the_network_once_the_second_has_joined(authority: Authority) -> None:
    """Before it joined, the second computer is not among the leaves; then the hub accepts it from any address."""
    apart = fleet(mainpc="192.168.1.16", pc2="192.168.1.17")
    assert link_of(apart, "mainpc", authority) == Hub({}, "0.0.0.0")
    assert link_of(apart, "pc2", authority) == Leaf("mainpc", "192.168.1.16", 7422)
    joined = authority.machine("pc2")
    assert link_of(apart, "mainpc", authority) == Hub({"pc2": [joined.nkey("leaf").public]}, "0.0.0.0")
    authority.revoke("pc2")
    assert link_of(apart, "mainpc", authority) == Hub({}, "0.0.0.0")
