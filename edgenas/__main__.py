# SPDX-License-Identifier: Apache-2.0
"""`python -m edgenas` is the `edgenas` program."""

from edgenas.cli import program

if __name__ == "__main__":
    program()
