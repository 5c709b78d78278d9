# SPDX-License-Identifier: Apache-2.0
"""Every error that edgenas raises on purpose.

    EdgenasError                exit 1  something failed that is not the user's input
    +-- UsageError              exit 2  a value that the user gave cannot be used
    |   +-- DataError           exit 2  the data set cannot be learnt from
    |   +-- BudgetError         exit 2  the budget is not understood
    |   +-- ProfileError        exit 2  a profile, board or inventory file is damaged (names file and key)
    +-- InfeasibleError         exit 3  no architecture fits, says the nearest budget; or a model does not fit a board
    +-- BudgetMissedError       exit 3  the device measured more than the budget; says the best measured latency
    +-- ConversionError         exit 1  a model did not convert, or an artifact did not pass the gate (says which check)
        +-- GuessingError       exit 3  the model is no better than guessing, so it is not installed

Errors of a device are `firmware_tools.errors.DeviceError` and its children, exit 4. A caller's bug stays ValueError or
TypeError. The message is one line: the value, the limit, the next step; the same values are fields of the exception.
"""

from __future__ import annotations


class EdgenasError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line exits with."""

    exit_code = 1

    def __init__(self, message: str, **fields: object) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields


class UsageError(EdgenasError):
    """A value that the user gave cannot be used."""

    exit_code = 2


class DataError(UsageError):
    """The data set cannot be learnt from: missing, empty, one class, too many corrupt files."""


class BudgetError(UsageError):
    """The latency budget is not understood."""


class ProfileError(UsageError):
    """A board, profile or inventory file is damaged; `file` and `key` are fields."""


class InfeasibleError(EdgenasError):
    """No architecture of the space fits the limits, or a model those of a board; the message says what would."""

    exit_code = 3


class BudgetMissedError(EdgenasError):
    """The measured latency stayed over the budget; the device's active model was left alone."""

    exit_code = 3


class ConversionError(EdgenasError):
    """A model did not convert or its artifact did not pass the gate; `check` is a field."""


class GuessingError(ConversionError):
    """A model cannot be told from guessing on images that training did not see; it is installed nowhere."""

    exit_code = 3
