#!/usr/bin/env python3
"""many.py FEW.h5 N SHARDS FOLDER [BITS]: a folder of shards with N images made of the few of a dataset, each shifted around the edges,
flipped, and with noise of two grey levels of its own; as 16-bit images when BITS is 16. Whole or not at all."""
import os
import sys

import h5py
import numpy as np

few, n, shards, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
bits = int(sys.argv[5]) if len(sys.argv) > 5 else 8
with h5py.File(few) as f:
    images, masks, marks = f["images"][:], f["masks"][:], {k: f.attrs[k] for k in ("software", "version", "created")}

os.makedirs(folder + ".part", exist_ok=True)
for k in range(shards):
    first, end = n * k // shards, n * (k + 1) // shards
    draw = np.random.default_rng(first)
    x = np.empty((end - first, *images.shape[1:]), np.uint8 if bits == 8 else np.uint16)
    y = np.empty((end - first, *masks.shape[1:]), np.uint8)
    for i in range(end - first):
        source = int(draw.integers(len(images)))
        shift = tuple(int(v) for v in draw.integers(images.shape[1], size=2))
        step = int(draw.choice((1, -1)))
        image, mask = (np.roll(a[source], shift, (0, 1))[::step] for a in (images, masks))
        noise = draw.integers(-2, 3, image.shape)
        x[i] = np.clip(image.astype(int) + noise, 0, 255) * (1 if bits == 8 else 257)
        y[i] = mask
    with h5py.File(f"{folder}.part/shard-{k:05d}-of-{shards:05d}.h5", "w", libver=("v110", "v110")) as f:
        f.create_dataset("images", data=x, chunks=(max(1, min(end - first, (2 << 20) // x[0].nbytes)), *x.shape[1:]), fletcher32=True)
        f.create_dataset("masks", data=y, chunks=(min(end - first, 256), *y.shape[1:]), compression=1, fletcher32=True)
        f.create_dataset("split", data=np.zeros(end - first, np.uint8), chunks=(end - first,), fletcher32=True)
        names = np.array([b"many-%07d" % i for i in range(first, end)])
        f.create_dataset("ids", data=names, chunks=(end - first,), compression=1, fletcher32=True)
        for key, value in marks.items():
            f.attrs[key] = value
        f.attrs["format"] = np.bytes_("umed-dataset")
        f.attrs["format_version"] = np.bytes_("1.0")
        f.attrs["complete"] = np.int64(1)
os.rename(folder + ".part", folder)
