"""Peers are found by name: nothing here knows an address."""

from __future__ import annotations

from pathlib import Path

import pytest

from tandem.audit.rules.hardcoded_address import addresses

ROOT = Path(__file__).parents[3]
ABOUT_ADDRESSES = {
    "docs/audit.md": "shows what the audit finds",
    "src/tandem/audit/rules/hardcoded_address.py": "knows which networks are nobody's",
}
PARTS = ("src/tandem", "src/tandem_agents", "docs", "fleet.yaml", "README.md", "tests/e2e")
TEXT = (".py", ".md", ".yaml", ".toml")


@pytest.mark.parametrize("part", PARTS)
def test_nothing_contains_an_address(part: str) -> None:
    """No agent, no document and no test of a whole fleet names a computer by number; loopback aside."""
    place = ROOT / part
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.suffix in TEXT]
    assert files
    found = [
        f"{path.relative_to(ROOT)}: {address.text}"
        for path in files
        if str(path.relative_to(ROOT)) not in ABOUT_ADDRESSES
        for address in addresses(path.read_text())
    ]
    assert found == []
