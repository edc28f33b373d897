"""The long run: ``python -m tests.outage [--chargers 100 --hours 72 --interval 15]``.

An outage of the full size, with servers of its own; says what it measures and ends with 0 when every
bound has held. At an interval of 15 s it is 1.7 million packets: reckon with half an hour on two cores, and
4 GiB in the folder of the stores.
"""

import argparse
import random
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from embedded.broker import Broker
from embedded.postgres import PostgresServer, create_database
from storage.migrate import migrate
from tests.conftest import CACHE
from tests.outage.plan import Plan
from tests.outage.proof import Proof
from tests.outage.story import outage_and_drain, pay, store_folder


def main() -> None:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.outage", description=__doc__)
    parser.add_argument("--chargers", type=int, default=100)
    parser.add_argument("--hours", type=int, default=72, help="of the outage, simulated")
    parser.add_argument("--interval", type=int, default=15, help="SettlementInterval in seconds")
    parser.add_argument("--kills", type=int, default=10, help="of the agents during the outage")
    parser.add_argument("--seed", type=int, default=random.randrange(10**9), help="repeats a run")
    parser.add_argument("--stores", type=Path, help="where the agents' stores stand [in memory]")
    chosen = parser.parse_args()
    print(" ".join(f"--{name} {value}" for name, value in vars(chosen).items()), flush=True)
    try:
        plan = Plan.recent(
            chargers=chosen.chargers, hours=chosen.hours, interval=chosen.interval, seed=chosen.seed
        )
    except ValueError as error:
        parser.error(str(error))
    stores = store_folder(chosen.stores)
    try:
        with TemporaryDirectory(prefix="v2g-outage-") as name:
            _run(Path(name), plan, stores / "agents", kills=chosen.kills)
    finally:
        shutil.rmtree(stores)


def _run(folder: Path, plan: Plan, stores: Path, *, kills: int) -> None:
    with (
        PostgresServer(folder / "data") as server,
        Broker(folder / "broker", cache=CACHE) as broker,
    ):
        if not broker.keeps_sessions:
            sys.exit(f"{broker.kind} speaks no MQTT 5, which the agent needs: {broker.limitation}")
        database = create_database(server, "v2g")
        migrate(database)
        with Proof(folder, database, broker, plan, stores=stores, say=_say) as proof:
            outage_and_drain(proof, kills=kills)
        pay(proof, gate=True)
    print("every bound has held")


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
