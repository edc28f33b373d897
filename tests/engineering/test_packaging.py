"""The packaging traps that generic package names and a locked environment bring, each held."""

import importlib.metadata
import re
from itertools import pairwise

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.engineering.house import (
    PYPROJECT,
    ROOT,
    files,
    imported,
    locked,
    packages,
    read,
    sources,
)

OURS = {name.partition(".")[0] for name in packages()} | {"tests", "docs", "infra", "programs"}
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
REQUIREMENTS = [
    *PYPROJECT["project"]["dependencies"],
    *(one for extra in EXTRAS.values() for one in extra),
]


def test_no_installed_distribution_owns_one_of_our_top_level_names():
    # given the import names that every installed distribution brings
    owners = importlib.metadata.packages_distributions()

    # when those that are also ours are looked up
    clashes = {name: set(owners.get(name, ())) - {"v2g-settlement"} for name in OURS}

    # then nobody else owns one
    assert {name: other for name, other in clashes.items() if other} == {}


def test_the_packages_that_pyproject_lists_are_those_that_exist():
    assert sorted(PYPROJECT["tool"]["setuptools"]["packages"]) == packages()


def test_every_folder_of_python_is_a_package_so_that_none_can_hide_another():
    # given every folder that holds Python files
    folders = {path.parent for path in files() if path.suffix == ".py"}

    # when those without an __init__.py are looked for
    missing = [f.relative_to(ROOT).as_posix() for f in folders if not (f / "__init__.py").exists()]

    # then only Alembic's versions, which are loaded by path, could be one; and not even they are
    assert sorted(missing) == []


def test_every_level_of_tests_has_an_init():
    # given every folder below tests, empty ones left out
    levels = {
        parent
        for path in files()
        for parent in path.parents
        if ROOT / "tests" in [parent, *parent.parents]
    }

    # then each has one: tests/tasks/__init__.py alone would hide the real package `tasks`
    assert [
        f for f in sorted(levels) if sorted(f.glob("*.py")) and not (f / "__init__.py").exists()
    ] == []
    assert (ROOT / "tests" / "__init__.py").exists()


def test_no_import_gives_the_name_of_one_of_our_packages_to_something_else():
    # given every import of the code base, as (what, under which name)
    imports = [(path, *one) for path in sources(*OURS) for one in imported(path)]

    # when a name is one of our packages
    hiding = [
        f"{path.relative_to(ROOT)}: {what} as {name}"
        for path, what, name in imports
        if name in OURS and what.partition(".")[0] not in OURS
    ]

    # then it is that package, and not, say, prefect.tasks
    assert hiding == []


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda r: Requirement(r).name)
def test_the_locked_version_obeys_the_bounds_of_pyproject(requirement):
    # given one requirement
    wanted = Requirement(requirement)

    # when its locked versions are looked up, one per Python at most
    versions = locked("requirements.lock").get(canonicalize_name(wanted.name))

    # then there is one, within the bounds
    assert versions, "not locked; run `make lock`"
    assert all(map(wanted.specifier.contains, versions)), (
        f"{versions} break {wanted}; run `make lock`"
    )


def test_the_bootstrap_lock_obeys_its_bounds():
    # given the bounds and the lock of what installs the rest
    bootstrap = [Requirement(one) for one in PYPROJECT["dependency-groups"]["bootstrap"]]
    versions = locked("requirements-bootstrap.lock")

    # then the lock holds exactly that, within the bounds
    assert set(versions) == {one.name for one in bootstrap}
    assert all(
        one.specifier.contains(version) for one in bootstrap for version in versions[one.name]
    )


def test_the_environment_that_runs_this_is_the_locked_one():
    # given what is locked, and what is installed
    installed = {
        str(canonicalize_name(d.metadata["Name"])): d.version
        for d in importlib.metadata.distributions()
    }

    # when they are compared where both know a distribution
    differing = {
        name: (versions, installed[name])
        for name, versions in locked("requirements.lock").items()
        if name in installed and installed[name] not in versions
    }

    # then no version differs
    assert differing == {}, "run `make install`"


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-bootstrap.lock"])
def test_every_locked_package_carries_hashes_and_no_address(lock):
    # given the blocks of a lock file, one per package
    text = read(ROOT / lock)
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]

    # then each has hashes, and nothing names a place
    assert len(blocks) >= len(locked(lock)) > 0
    assert [block.partition(" ")[0] for block in blocks if "--hash=sha256:" not in block] == []
    assert "://" not in text
    assert "--index" + "-url" not in text


def test_every_dependency_says_what_it_is_for():
    # given the requirements with the line above each
    lines = read(ROOT / "pyproject.toml").splitlines()
    quoted = {f'"{requirement}"' for requirement in REQUIREMENTS}

    # when a requirement has neither a comment above it nor one beside it
    unexplained = [
        line.strip()
        for above, line in pairwise(lines)
        if line.strip().partition(",")[0] in quoted
        and not above.strip().startswith("#")
        and "#" not in line
    ]

    # then the reader would have to guess
    assert unexplained == []


def test_no_file_names_a_registry_or_a_place_on_one_machine():
    # given the hosts of registries, put together here so that this file does not name them either
    hosts = [
        "pypi" + ".org",
        "pythonhosted" + ".org",
        "debian" + ".org/debian",
        "npmjs" + ".org",
        "ghcr" + ".io",
    ]
    forbidden = re.compile(
        "|".join(map(re.escape, hosts)) + r"|(?<![\w.~$}-])/(?:home|Users|root|work|workspace)/\w"
    )

    # when every file of the repository is searched
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in files()
        for number, line in enumerate(read(path).splitlines(), start=1)
        if (match := forbidden.search(line))
    ]

    # then none does: it would be wrong on every other machine
    assert found == []


def test_the_application_cannot_be_published_by_accident():
    assert "Private :: Do Not Upload" in PYPROJECT["project"]["classifiers"]
