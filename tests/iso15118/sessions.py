"""Sessions as messages, made for the tests, and the recordings at hand."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

FIELD = Path(__file__).parents[2] / "../shared/data/iso15118/dc_bpt_session.jsonl"
"""A session that others have recorded; absent where the project stands alone."""
OWN = Path(__file__).parent / "ac_bpt_session.jsonl"
"""A session of our own: the package's charger and car, AC_BPT over TLS, four charge loops."""

START = datetime(2026, 7, 1, 17, 0, 0, tzinfo=UTC)
SESSION = "00000000000000A1"
VEHICLE = "WMIV1234567890ABCDEX"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def message(name: str, /, session: str = SESSION, **body: Any) -> dict[str, Any]:
    return {name: {"Header": {"SessionID": session, "TimeStamp": 0}, **body}}


def begun(service: int = 6, *, limit_w: int = 11_000) -> list[dict[str, Any]]:
    """From the first message to the charge loop."""
    limit = {"EVMaximumDischargePower": {"Exponent": 0, "Value": limit_w}}
    allows: dict[str, Any] = {"BPT_DC_CPDReqEnergyTransferMode": limit}
    return [
        {"supportedAppProtocolReq": {"AppProtocol": []}},
        message("SessionSetupReq", "0000000000000000", EVCCID=VEHICLE),
        message("SessionSetupRes", EVSEID="DE*FRM*E00001*1"),
        message("ServiceSelectionReq", SelectedEnergyTransferService={"ServiceID": service}),
        message("DC_ChargeParameterDiscoveryReq", **allows),
        message("PowerDeliveryReq", ChargeProgress="Start", BPT_ChannelSelection="Discharge"),
    ]


def loop(export_wh: int | None, *, soc: int = 80, import_wh: int = 7, **more: Any) -> list[Any]:
    """A charge loop: what is asked, and the answer with the registers."""
    info = {"MeterID": "M1", "ChargedEnergyReadingWh": import_wh, **more}
    if export_wh is not None:
        info["BPT_DischargedEnergyReadingWh"] = export_wh
    return [
        message(
            "DC_ChargeLoopReq",
            DisplayParameters={"PresentSOC": soc, "ChargingComplete": False},
            MeterInfoRequested=True,
        ),
        message(
            "DC_ChargeLoopRes",
            MeterInfo=info,
            EVSEPresentVoltage={"Exponent": 0, "Value": 400},
            EVSEPresentCurrent={"Exponent": -1, "Value": -200},
        ),
    ]
