# SPDX-License-Identifier: Apache-2.0
"""Search spaces, and their architectures as blocks and as torch modules."""
