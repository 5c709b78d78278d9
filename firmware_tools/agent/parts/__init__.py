# SPDX-License-Identifier: Apache-2.0
"""The agent, which runs on the device; `PROTOCOL.md` in the folder above says what it speaks.

Python 3.7 or newer and the standard library only; numpy and a runtime are imported where models run, in worker
processes. On a device this package is called `parts`, and whatever holds it is no longer on the path once it is
imported: the parts import each other by relative names, and before anything else is done.
"""
