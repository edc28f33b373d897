"""The charger as the library asks for it: what it is rated, which way energy flows, what it meters.

The library's simulator answers everything that does not matter to settlement.
"""

import asyncio
from decimal import Decimal
from typing import Any, Final

from iso15118.secc.controller.simulator import SimEVSEController
from iso15118.shared.messages.enums import ControlMode, Protocol, ServiceV20
from iso15118.shared.messages.iso15118_20.common_types import MeterInfo, RationalNumber

from iso15118_bridge.bridge import Bridge
from iso15118_bridge.samples import MILLIWH_PER_WH

VOLTS: Final = 400
CHARGE_W: Final = 11_000
AMPERES: Final = 125


class BridgeController(SimEVSEController):
    """A charger whose power, limits and registers come from a bridge.

    Attributes:
        ended: set whenever a session has ended.
    """

    def __init__(self, bridge: Bridge, *, evse_id: str, dynamic: bool) -> None:
        super().__init__()
        self._bridge = bridge
        self._evse_id = evse_id
        self._dynamic = dynamic
        self.ended = asyncio.Event()

    async def get_evse_id(self, _protocol: Protocol) -> str:
        return self._evse_id

    async def get_service_parameter_list(self, service_id: int) -> Any:
        """Both control modes; the package's car takes the first."""
        offered = await super().get_service_parameter_list(service_id)
        if self._dynamic and offered is not None:
            offered.parameter_sets.sort(key=_scheduled)
        return offered

    async def get_meter_info_v20(self) -> MeterInfo:
        """The registers in whole watt-hours, which is all that the message can hold."""
        shown = self._bridge.show()
        return MeterInfo(
            meter_id=self._bridge.meter.serial,
            charged_energy_reading_wh=shown.import_milliwh // MILLIWH_PER_WH,
            bpt_discharged_energy_reading_wh=shown.export_milliwh // MILLIWH_PER_WH,
            meter_timestamp=int(shown.at.timestamp()),
        )

    async def get_dc_charge_params_v20(self, energy_service: ServiceV20) -> Any:
        params = await super().get_dc_charge_params_v20(energy_service)
        params.evse_max_charge_power = _watts(CHARGE_W)
        params.evse_max_charge_current = _watts(AMPERES)
        if energy_service == ServiceV20.DC_BPT:
            params.evse_max_discharge_power = _watts(self._bridge.discharge_limit_w)
            params.evse_min_discharge_power = _watts(0)
            params.evse_max_discharge_current = _watts(AMPERES)
        return params

    async def get_ac_charge_params_v20(self, energy_service: ServiceV20) -> Any:
        params = await super().get_ac_charge_params_v20(energy_service)
        if energy_service == ServiceV20.AC_BPT:
            params.evse_max_discharge_power = _watts(self._bridge.discharge_limit_w)
            params.evse_min_discharge_power = _watts(0)
            # Power is told as a total; the phases stay with the charger.
            for place in ("max", "min"):
                for phase in ("l2", "l3"):
                    setattr(params, f"evse_{place}_discharge_power_{phase}", None)
        return params

    async def send_charging_command(
        self, ev_target_voltage: Any, ev_target_current: Any, *_flags: bool, **_named: bool
    ) -> None:
        """Once per DC loop, and in precharge, when no power flows.

        In the loop the library gives is_session_bpt by position where is_precharge stands: both are
        ignored, for the agreed service says more.
        """
        asked = None
        if ev_target_voltage is not None and ev_target_current is not None:
            asked = abs(Decimal(str(ev_target_voltage)) * Decimal(str(ev_target_current)))
        self._bridge.asked(asked)

    async def get_dc_charge_loop_params_v20(
        self, control_mode: ControlMode, selected_service: ServiceV20
    ) -> Any:
        limits = self.evse_data_context.session_limits.dc_limits
        limits.max_discharge_power = self._bridge.discharge_limit_w
        return await super().get_dc_charge_loop_params_v20(control_mode, selected_service)

    async def get_ac_charge_loop_params_v20(
        self, control_mode: ControlMode, selected_service: ServiceV20
    ) -> Any:
        """Targets as the library derives them: what flows back is negative."""
        self._bridge.asked(None)
        limits = self.evse_data_context.session_limits.ac_limits
        discharging = selected_service == ServiceV20.AC_BPT
        for name in vars(limits):
            setattr(limits, name, 0)
        limits.max_charge_power = 0 if discharging else CHARGE_W
        limits.max_discharge_power = self._bridge.meter.power_w if discharging else 0
        context = self.evse_data_context
        context.present_active_power = -self._bridge.meter.power_w
        context.present_active_power_l2 = context.present_active_power_l3 = 0
        return await super().get_ac_charge_loop_params_v20(control_mode, selected_service)

    async def get_evse_present_voltage(self, _protocol: Protocol) -> Any:
        return _watts(VOLTS)

    async def get_evse_present_current(self, _protocol: Protocol) -> Any:
        """Negative while energy flows back."""
        return RationalNumber.get_rational_repr(-self._bridge.meter.power_w / VOLTS)

    async def set_hlc_charging(self, is_ongoing: bool) -> None:
        self._bridge.energise(on=is_ongoing)

    async def stop_charger(self) -> None:
        self._bridge.energise(on=False)

    async def session_ended(self, current_state: str, reason: str) -> None:
        self._bridge.end(f"{reason} (in {current_state})")
        self.ended.set()


def _watts(value: int) -> RationalNumber:
    return RationalNumber.get_rational_repr(value)


def _scheduled(parameter_set: Any) -> bool:
    return any(
        one.name == "ControlMode" and one.int_value == ControlMode.SCHEDULED
        for one in parameter_set.parameters
    )
