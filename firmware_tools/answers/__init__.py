# SPDX-License-Identifier: Apache-2.0
"""What boards say, bounded and checked before anything of it is kept or believed."""
