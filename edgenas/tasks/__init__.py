"""What is learnt: image classification data, ready for training, calibration and golden inputs.

`load("mnist")`, `load("./my_photos")` or `load("set.npz")` gives an `ImageData`; `edgenas.tasks.batches` turns it into
model inputs. Pillow and the packages that ship the built-in sets are imported only when they are needed.
"""

from edgenas.tasks.images.load import BUILT_IN, ImageData, Split, load

__all__ = ["BUILT_IN", "ImageData", "Split", "load"]
