# SPDX-License-Identifier: Apache-2.0
"""Keywords from short recordings: .wav files to log-mel features."""
