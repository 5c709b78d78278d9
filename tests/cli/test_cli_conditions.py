# SPDX-License-Identifier: Apache-2.0
"""What is shown of a measurement's conditions, and a governor that the device does not offer."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from edgenas.cli import output
from edgenas.errors import UsageError
from edgenas.measuring.resolve import governor_of, setting_of
from firmware_tools.device import Conditions, DeviceInfo

INFO = DeviceInfo(
    "local:", "pi", "aarch64", "Pi", 4, "Linux", "3.9", (), None, 0, "2", governors=("ondemand", "performance")
)
# As a release stored them that knew no affinity, no tools and no marks.
STORED = {
    **{"runtime": "litert", "runtime_version": "2.3.0", "threads": 1, "governor": "ondemand", "temperature_c": 51.9},
    **{"clock_mhz_before": 600.0, "clock_mhz_after": 1500.4, "load_before": 0.25, "load_after": 0.5},
    **{"python_version": "3.9.2", "started_utc": "2026-01-01T00:00:00Z", "emulator": None},
}


def test_conditions_say_the_cores_the_settings_and_what_disturbed() -> None:
    met = Conditions(**STORED, affinity=(0, 1, 2, 5, 7, 8), marked=("under-voltage (1 of 5 processes)", "hot"))
    assert output.conditions(met) == [
        ("conditions", "cores 0-2, 5, 7-8, governor ondemand, 1500 MHz, 52 C, load 0.2"),
        ("marked", "under-voltage (1 of 5 processes); hot"),
    ]


def test_conditions_of_before_and_of_a_board_that_says_nothing() -> None:
    assert output.conditions(Conditions(**STORED))[1] == ("marked", None)
    silent = {name: None if name.startswith(("gov", "temp", "clock", "load")) else v for name, v in STORED.items()}
    assert output.conditions(Conditions(**silent)) == [("conditions", None), ("marked", None)]
    assert Conditions(**{**asdict(Conditions(**STORED))}) == Conditions(**STORED)


def test_a_governor_that_the_device_does_not_offer() -> None:
    assert governor_of(None, INFO) is None
    assert governor_of("performance", INFO) == "performance"
    with pytest.raises(UsageError, match="'turbo' cannot be set on local: choose one of ondemand, performance"):
        governor_of("turbo", INFO)
    with pytest.raises(UsageError, match="connect as root, or leave --set-governor out"):
        governor_of("performance", DeviceInfo(**{**asdict(INFO), "governors": ()}))


def test_a_board_that_is_set_otherwise_has_another_profile() -> None:
    pi = DeviceInfo(**{**asdict(INFO), "governor": "ondemand", "max_clock_mhz": 1500.0})
    assert setting_of(pi) == "ondemand-1500MHz"
    assert setting_of(pi, "performance") == "performance-1500MHz"
    jetson = DeviceInfo(**{**asdict(pi), "governor": "schedutil", "max_clock_mhz": 1510.4, "power_mode": "MAXN"})
    assert setting_of(jetson) == "schedutil-1510MHz-MAXN"
    assert setting_of(INFO) == ""
