# SPDX-License-Identifier: Apache-2.0
"""Everything that speaks to a device; knows nothing of edgenas, torch or the converter."""
