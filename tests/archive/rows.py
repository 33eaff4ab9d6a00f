#!/usr/bin/env python3
"""For busi.sh.
rows.py OUT.h5 DATA.h5 fifth|rest   a fifth of the training rows, or all others with the test rows; which is a function of the ids
rows.py OUT SHARD.h5 each           every image of an archive's shard as a dataset OUT/ID.h5 of its own
rows.py table                       the results in this folder"""
import glob
import hashlib
import os
import sys

import h5py
import numpy as np


def write(path, source, images, masks, split, ids):
    with h5py.File(path + ".part", "w", libver=("v110", "v110")) as out:
        for key, data in ("images", images), ("masks", masks), ("split", split), ("ids", ids):
            out.create_dataset(key, data=data, chunks=data.shape, fletcher32=True)
        for key in ("software", "version", "created"):
            out.attrs[key] = source.attrs.get(key, np.bytes_("-"))
        out.attrs["format"], out.attrs["format_version"], out.attrs["complete"] = np.bytes_("umed-dataset"), np.bytes_("1.0"), np.int64(1)
    os.rename(path + ".part", path)


def part(out, path, which):
    with h5py.File(path) as f:
        images, masks, split, ids = (f[k][:] for k in ("images", "masks", "split", "ids"))
        train = np.flatnonzero(split == 0)
        order = sorted(train, key=lambda i: hashlib.sha256(ids[i]).digest())
        fifth = np.sort(order[: len(train) // 5])
        rows = fifth if which == "fifth" else np.setdiff1d(np.arange(len(split)), fifth)
        write(out, f, images[rows], masks[rows], split[rows], ids[rows])


def each(out, path):
    os.makedirs(out + ".part", exist_ok=True)
    with h5py.File(path) as f:
        at = mask_at = 0
        for (h, w, c), name in zip(f["shape"][:], f["ids"][:]):
            image, mask = f["pixels"][at:at + h * w * c], f["mask_pixels"][mask_at:mask_at + h * w]
            at, mask_at = at + h * w * c, mask_at + h * w
            write(f"{out}.part/{name.decode()}.h5", f, image.reshape(1, h, w, c), mask.reshape(1, h, w), np.zeros(1, np.uint8),
                  np.array([name]))
    os.rename(out + ".part", out)


def table():
    for name in "clean", "all", "fifth", "fifth_long", "native", "resampled", "syn_clean", "syn_native", "syn_resampled":
        with h5py.File(f"{name}.result.h5") as f:
            print(f"{name:14} DSC {100 * f['metrics/test_dsc_batch'][()]:.2f}")
    for path in sorted(glob.glob("raw.*.dsc")):
        values = next(line.split() for line in open(path) if line.startswith("all "))
        print(f"{path[:-4]:14} DSC {values[6]} (mean over {values[1]} images)")


if sys.argv[1] == "table":
    table()
elif sys.argv[3] == "each":
    each(sys.argv[1], sys.argv[2])
else:
    part(*sys.argv[1:])
