"""A car that gives energy back, where the package's own only takes."""

from typing import Any, Final

from iso15118.evcc import EVCCConfig
from iso15118.evcc.controller.simulator import SimEVController
from iso15118.shared.messages.iso15118_20.common_types import DisplayParameters, RationalNumber

VOLTS: Final = 400
CAPACITY_WH: Final = 40_000


class Giver(SimEVController):
    """Gives energy back, loop by loop, for a number of loops.

    Args:
        config: the car's file, as the package reads it.
        willing_w: the power that it gives.
        soc: its state of charge at the start, percent.
    """

    def __init__(self, config: EVCCConfig, *, willing_w: int, soc: int) -> None:
        super().__init__(config)
        self._willing_w = willing_w
        self._soc_at_start = soc
        self._done = 0

    async def process_scheduled_se_params(self, params: Any, pause: bool) -> Any:
        profile, progress = await super().process_scheduled_se_params(params, pause)
        return _negative(profile), progress

    async def process_dynamic_se_params(self, params: Any, pause: bool) -> Any:
        profile, progress = await super().process_dynamic_se_params(params, pause)
        return _negative(profile), progress

    async def get_charge_params_v20(self, selected_service: Any) -> Any:
        params = await super().get_charge_params_v20(selected_service)
        if hasattr(params, "ev_max_discharge_power"):
            params.ev_max_discharge_power = RationalNumber.get_rational_repr(self._willing_w)
            params.ev_min_discharge_power = RationalNumber.get_rational_repr(0)
        if hasattr(params, "ev_max_discharge_current"):
            params.ev_max_discharge_current = RationalNumber.get_rational_repr(
                -(-self._willing_w // VOLTS)
            )
        return params

    async def get_bpt_scheduled_dc_charge_loop_params(self) -> Any:
        params = await super().get_bpt_scheduled_dc_charge_loop_params()
        params.ev_target_voltage = RationalNumber.get_rational_repr(VOLTS)
        params.ev_target_current = RationalNumber.get_rational_repr(-self._willing_w / VOLTS)
        return params

    async def get_present_voltage(self) -> Any:
        return RationalNumber.get_rational_repr(VOLTS)

    async def continue_charging(self) -> bool:
        self._done += 1
        return self._done <= int(self.config.charge_loop_cycle)

    async def is_charging_complete(self) -> bool:
        return self._done > int(self.config.charge_loop_cycle)

    async def get_display_params(self) -> Any:
        given_wh = self._done * self.config.charge_loop_delay_time * self._willing_w / 3600
        soc = max(0, round(self._soc_at_start - 100 * given_wh / CAPACITY_WH))
        return DisplayParameters(
            present_soc=soc, charging_complete=await self.is_charging_complete()
        )


def _negative(profile: Any) -> Any:
    for entry in profile.entry_list.entries if profile is not None else ():
        entry.power.value = -abs(entry.power.value)
    return profile
