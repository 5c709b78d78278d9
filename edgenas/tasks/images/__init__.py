# SPDX-License-Identifier: Apache-2.0
"""Image classification: the readers of folders, .npz files and built-in sets."""
