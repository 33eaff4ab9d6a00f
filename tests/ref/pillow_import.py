"""Prints pillow_import.txt: raw medical pictures decoded and resized to 224x224 by Pillow, as samples that a test compares.

Line: SET ID CHANNELS MASK_PIXELS MEAN v v v ..., 24 pixels on a 6x4 grid (y = 18 + 37 j, x = 18 + 62 k, channel (j + k) mod CHANNELS), mean over
all samples. Masks: union of grey level > 127.5 at the original size, then nearest.
Run: python3 pillow_import.py SHARED_DATA_DIR > pillow_import.txt (Pillow and numpy; written with Pillow 13.0.0)
"""
import pathlib
import sys

import numpy as np
from PIL import Image

SIZE = 224
root = pathlib.Path(sys.argv[1])


def is_grey(a):
    return a.ndim == 2 or (a[..., :3] == a[..., :1]).all()


def mask_pixels(paths):
    union = None
    for p in paths:
        m = np.asarray(Image.open(p).convert("L")) > 127.5
        union = m if union is None else union | m
    return int((np.asarray(Image.fromarray(union.astype(np.uint8)).resize((SIZE, SIZE), Image.Resampling.NEAREST)) > 0).sum())


def report(name, image, masks):
    a = np.asarray(Image.open(image).convert("RGB"))
    picture = Image.fromarray(np.ascontiguousarray(a[..., 0])) if is_grey(a) else Image.fromarray(a)
    b = np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR)).reshape(SIZE, SIZE, -1)
    c = b.shape[2]
    values = [b[18 + 37 * j, 18 + 62 * k, (j + k) % c] for j in range(6) for k in range(4)]
    print(name, image.stem.replace(" ", "~"), c, mask_pixels(masks), f"{b.mean():.4f}", *values)


for image in sorted((root / "busi/raw_samples").glob("*.png")):
    if "_mask" not in image.stem:
        report("busi", image, sorted(image.parent.glob(image.stem.replace("(", "[(]") + "_mask*.png")))
for name in ("kvasir_seg", "chest_xray"):
    for image in sorted((root / name / "raw_samples/images").iterdir()):
        report(name, image, [image.parent.parent / "masks" / image.name])
