# SPDX-License-Identifier: Apache-2.0
"""Every error that a device can cause.

    DeviceError                  exit 4  the device, or the way to it, refused or failed
    +-- DeviceUrlError           exit 2  the URL names an unknown scheme or option; lists the known and the near ones
    +-- DeviceBusyError          exit 4  another process uses the device; its `pid` is a field
    +-- DeviceLostError          exit 4  the agent ended, or fell silent, in mid-command
    +-- UnreachableError         exit 4  no such host, no answer, or nothing that speaks SSH there
    +-- HostKeyError             exit 4  an SSH host's key is unknown or has changed; its `fingerprint` is a field
    +-- KeyExchangeError         exit 4  an SSH server has only algorithms that are refused; its `offered` is a field
    +-- LoginError               exit 4  the board takes none of the user's keys and passwords
    +-- ProtocolError            exit 4  what answers does not speak the board's wire or version, or says what cannot be
    +-- RuntimeMissingError      exit 4  no usable TFLite runtime in that interpreter; says the pip command
    +-- DeviceFullError          exit 4  no disk space, or a model larger than the slot; the active model is as it was
    +-- HostFolderError          exit 1  the folder of a device on this computer (local:, qemu:) cannot be used
    |   +-- HostFullError        exit 1  and a DeviceFullError: no disk space for that folder
    +-- TransferError            exit 4  bytes read back from the device have another sha256
    +-- InferenceError           exit 4  the runtime refused the model or its inputs, crashed or hung
    +-- OutputMismatchError      exit 4  golden inputs give other outputs on the device than on the host
    +-- NothingStagedError       exit 4  no model is staged on the device
    +-- NothingToRollBackError   exit 4  the device holds no intact previous model
    +-- EmulatorError            exit 4  an emulated board is missing, crashed, hung or reported nonsense
    +-- FlashError               exit 4  a program that flashes firmware is missing or failed, or no drive is mounted
    |   +-- FlashUsageError      exit 2  an image, a port or a drive that cannot be flashed from, through or to
    +-- PlanError                exit 2  a model that the microcontroller engine cannot run, or no plan at all

A caller's bug stays ValueError or TypeError. The message is one line: the value, the limit, the next step; the same
values are in `fields`.
"""

from __future__ import annotations


class DeviceError(Exception):
    """Base of all errors of a device; `exit_code` is what a command line exits with."""

    exit_code = 4

    def __init__(self, message: str, **fields: object) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields


class DeviceUrlError(DeviceError):
    """The URL of a device names an unknown scheme or option."""

    exit_code = 2


class DeviceBusyError(DeviceError):
    """Another process uses the device; `pid` is a field."""


class DeviceLostError(DeviceError):
    """The agent ended, or gave no answer in time, in mid-command."""


class UnreachableError(DeviceError):
    """There is no such host, it does not answer in time, or what answers does not speak SSH."""


class HostKeyError(DeviceError):
    """The key of an SSH host is unknown, revoked or another than the known one; nothing was sent to it."""


class KeyExchangeError(DeviceError):
    """An SSH server, an old one, offers no algorithm that is still taken; those it has are the field `offered`."""


class LoginError(DeviceError):
    """The board takes none of the keys and passwords that it was offered, or there was nobody to ask for one."""


class ProtocolError(DeviceError):
    """What answers does not speak edgenas' wire or agent protocol, or its version, or says what cannot be."""


class RuntimeMissingError(DeviceError):
    """No usable TFLite runtime in the device's interpreter; the message says the pip command."""


class DeviceFullError(DeviceError):
    """No disk space on the device; the partial file was removed."""


class HostFolderError(DeviceError):
    """The folder of a device on this computer, local or emulated, cannot be used: the device has not failed."""

    exit_code = 1


class HostFullError(HostFolderError, DeviceFullError):
    """There is no space for the folder of a device on this computer."""


class TransferError(DeviceError):
    """Bytes on the device have another sha256 than they should."""


class InferenceError(DeviceError):
    """The runtime refused the model or its inputs, or the process that ran it crashed or hung."""


class OutputMismatchError(DeviceError):
    """The model's outputs on the device differ from the host's by more than allowed."""


class NothingStagedError(DeviceError):
    """No model is staged on the device."""


class NothingToRollBackError(DeviceError):
    """The device holds no intact previous model."""


class EmulatorError(DeviceError):
    """A program of an emulated board is missing, or the board crashed, did not end, or gave no whole report."""


class FlashError(DeviceError):
    """Firmware did not get onto a board: the program is missing or failed, or no drive is mounted."""


class FlashUsageError(FlashError):
    """An image, a port or a folder that the user named, or did not name, cannot be used."""

    exit_code = 2


class PlanError(DeviceError):
    """A .tflite file that is malformed or that the engine cannot run, or bytes that are not a plan.

    Where one operator is the cause, its index and schema name are the fields `operator` and `name`.
    """

    exit_code = 2
