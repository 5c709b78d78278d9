"""Image classification: the readers of folders, .npz files and built-in sets."""
