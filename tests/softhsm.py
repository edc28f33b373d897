"""SoftHSM: installed, or Debian's package unpacked into the cache; and a token in it.

Test files take the fixtures ``module`` and ``softhsm`` by importing them.
"""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from embedded import debian
from embedded.errors import PackageFetchError
from tests.conftest import CACHE

ROOT = Path(__file__).parents[1]
PIN = "1234567890"
TOKEN = "v2g"
INSTALLED = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
)


@pytest.fixture(scope="session")
def module() -> Path:
    for name in INSTALLED:
        if Path(name).exists():
            return Path(name)
    root = CACHE / "softhsm"
    if not root.exists():
        root.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="unfinished-", dir=root.parent) as name:
            try:
                debian.needs()
                apt = debian.Apt(Path(name) / "apt", give_up_at=time.monotonic() + 90)
                apt.update()
                apt.unpack(apt.download_with_missing("softhsm2"), Path(name) / "root")
                (Path(name) / "root").rename(root)
            except PackageFetchError as error:
                pytest.skip(f"SoftHSM is not installed, and {error}")
            except OSError:
                if not root.exists():
                    raise
    return next(root.glob("usr/lib/**/libsofthsm2.so"))


@pytest.fixture
def softhsm(module, tmp_path) -> dict[str, str]:
    """The environment of a process that finds a token ``TOKEN`` with the PIN ``PIN``, and no key in it."""
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(
        f"directories.tokendir = {tmp_path}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    libraries = ":".join(sorted({str(one.parent) for one in (CACHE / "softhsm").rglob("*.so*")}))
    environment = {
        **os.environ,
        "SOFTHSM2_CONF": str(configuration),
        "LD_LIBRARY_PATH": libraries,
        "PYTHONPATH": str(ROOT),
    }
    program = shutil.which("softhsm2-util") or str(CACHE / "softhsm" / "usr/bin/softhsm2-util")
    command = [program, "--module", str(module), "--init-token", "--free", "--label", TOKEN]
    done = subprocess.run(
        [*command, "--so-pin", PIN, "--pin", PIN],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return environment
