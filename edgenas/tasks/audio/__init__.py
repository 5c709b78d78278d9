"""Keywords from short recordings: .wav files to log-mel features."""
