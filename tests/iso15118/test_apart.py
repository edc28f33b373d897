"""The bridge stands apart: nobody imports it, it imports nobody, and its environment is its own."""

import ast
import re
from pathlib import Path

from tests.engineering.house import APART, ROOT, files, read

BRIDGE = ROOT / APART
NAMES = re.compile(r"^[a-z0-9][a-z0-9._-]*==", re.MULTILINE)


def imports(path: Path) -> set[str]:
    """The top-level names that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(read(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_nothing_of_the_project_imports_the_bridge():
    outside = [p for p in files() if p.suffix == ".py" and not p.is_relative_to(BRIDGE)]
    ours = [
        p
        for p in outside
        if not p.is_relative_to(ROOT / "tests" / "iso15118") and BRIDGE.name in read(p)
    ]
    assert [p.name for p in ours if "iso15118_bridge" in imports(p)] == []


def test_the_bridge_imports_nothing_of_the_project():
    # given the project's own top-level names
    house = {p.name for p in ROOT.iterdir() if (p / "__init__.py").exists()} - {BRIDGE.name}
    assert {"settlement", "evse_agent", "storage"} <= house

    # then no file of the bridge imports one
    assert [p.name for p in BRIDGE.glob("*.py") if imports(p) & house] == []


def test_the_parts_that_are_tested_here_need_nothing_but_python():
    plain = (
        "wire",
        "samples",
        "reader",
        "meter",
        "bridge",
        "codec",
        "agent_link",
        "replay",
        "session",
    )
    foreign = {
        name: imports(BRIDGE / f"{name}.py") & {"iso15118", "cryptography", "pydantic", "py4j"}
        for name in plain
    }
    assert {name: found for name, found in foreign.items() if found} == {}


def test_every_package_of_its_environment_is_locked_with_hashes_and_no_address():
    text = read(BRIDGE / "requirements.lock")
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert [block.partition(" ")[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert len(NAMES.findall(text)) == len(blocks) > 10
    assert "iso15118==0.31.2" in text
    assert "://" not in text
