"""Certificates for a test: a charger's, a car's, and their authorities, by the package's own script.

    python -m iso15118_bridge.certificates FOLDER

They are good for 60 days and for nothing but tests: every private key lies beside them, under a
password that the script names. A charger in the field has its own.
"""

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

DEADLINE_S: Final = 120.0


class CertificatesNotMadeError(RuntimeError):
    """What the script said, or what it lacks."""


def make(folder: Path) -> Path:
    """Make the certificates below ``folder``, which only its owner may read; the folder.

    Raises:
        CertificatesNotMadeError: the package or openssl is missing, or the script failed.
    """
    found = importlib.util.find_spec("iso15118")
    if found is None or not found.submodule_search_locations:
        raise CertificatesNotMadeError("iso15118 is not installed; run iso15118_bridge/install.sh")
    if shutil.which("openssl") is None:
        raise CertificatesNotMadeError("openssl is not on the PATH; install it")
    source = Path(found.submodule_search_locations[0]) / "shared" / "pki"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copytree(source, folder, dirs_exist_ok=True)
    folder.chmod(0o700)
    ran = subprocess.run(
        # The folder is ISO 15118-2's: the library looks nowhere else, for ISO 15118-20 too.
        ["bash", "create_certs.sh", "-v", "iso-2"],
        cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    made = folder / "iso15118_2"
    if ran.returncode or not (made / "certs" / "cpoCertChain.pem").stat().st_size:
        raise CertificatesNotMadeError(
            f"create_certs.sh ended with {ran.returncode}:\n{ran.stderr}"
        )
    for key in (made / "private_keys").iterdir():
        key.chmod(0o600)
    return folder


def main() -> int:
    """See above."""
    parser = argparse.ArgumentParser(
        prog="python -m iso15118_bridge.certificates",
        description="Make certificates of a charger and a car, for tests only.",
    )
    parser.add_argument("folder", type=Path, help="where to; made with mode 0700")
    folder = parser.parse_args().folder
    os.umask(0o077)
    try:
        print(make(folder))
    except (CertificatesNotMadeError, OSError, subprocess.TimeoutExpired) as error:
        print(f"{folder}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
