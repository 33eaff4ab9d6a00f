#!/usr/bin/env bash
# What does a generator that saw a fifth of the images do for the others, and which way of protecting large images outlives resizing?
#
#   bash tests/archive/busi.sh UMED BUSI-FOLDER WORK-FOLDER        hours on two cores; started again, it goes on
#
# BUSI-FOLDER: what `umed import` takes (images/ and masks/, or the publisher's folders). Settings are those of configs/busi_small.cfg (64
# pixels, width 8). Prints the clean test DSC (batch 32, in percent) of an exploiter trained on
#     clean        the clean images of the four fifths
#     fifth        the same, protected by generators fitted on the other fifth
#     all          the same, protected by generators fitted on all training images
#     native       256-pixel images protected at their own size by the generators of `all`, then resized to 64 by the exploiter
#     resampled    the same with archive.apply = resampled
set -u
umed=$(realpath "$1") || exit 64
busi=$(realpath "$2") || exit 64
mkdir -p "$3" && cd "$3" || exit 64
cfg="--set model.base_width=8 --set umed.gen.base_width=8 --set umed.schedule.cycles=${UMED_CYCLES:-20} --set umed.adam.lr=4e-3
  --set exploiter.epochs=${UMED_EPOCHS:-30} --set exploiter.batch=16 --set exploiter.adam_lr=1e-3 --set run.checkpoint_s=60"

made() {
    [ -e "$1" ] || "${@:2}" >>log 2>&1 || { tail -n 5 log; echo "failed: $*"; exit 1; }
}
made all64.h5 "$umed" import "$busi" --size 64 --channels 1 -o all64.h5
made all256.h5 "$umed" import "$busi" --size 256 --channels 1 -o all256.h5

# The rows of two files: a fifth of the training rows; the other training rows and the test rows.
[ -e rest.h5 ] || python3 - <<'PY' || exit 1
import h5py
import numpy as np

with h5py.File("all64.h5") as f:
    split = f["split"][:]
    train = np.flatnonzero(split == 0)
    fifth = np.sort(np.random.default_rng(1).permutation(train)[: len(train) // 5])
    for name, rows in ("fifth.h5", fifth), ("train.h5", train), ("rest.h5", np.setdiff1d(np.arange(len(split)), fifth)):
        with h5py.File(name, "w", libver=("v110", "v110")) as out:
            for key in ("images", "masks", "split", "ids"):
                data = f[key][:][rows]
                out.create_dataset(key, data=data, chunks=data.shape, fletcher32=True)
            for key in ("software", "version", "created", "format", "format_version"):
                out.attrs[key] = f.attrs[key]
            out.attrs["complete"] = np.int64(1)
PY
# shellcheck disable=SC2086
{
    for part in fifth all; do
        data=$part.h5
        [ $part = all ] && data=train.h5
        made $part.state.h5 "$umed" protect --data $data $cfg --state $part.state.h5 -o $part.fitted.h5
        [ -e $part/manifest.jsonl ] || "$umed" archive protect rest.h5 $cfg --state $part.state.h5 -o $part >>log 2>&1 || exit 1
        made $part.result.h5 "$umed" exploit --data $part --test rest.h5 --model unet $cfg -o $part.result.h5
    done
    made clean.result.h5 "$umed" exploit --data rest.h5 --test rest.h5 --model unet $cfg -o clean.result.h5
    for how in native resampled; do
        [ -e $how/manifest.jsonl ] || "$umed" archive protect all256.h5 $cfg --state all.state.h5 --set archive.apply=$how \
            --set archive.size=64 -o $how >>log 2>&1 || exit 1
        made $how.png "$umed" export $how -o $how.png
        made $how.64.h5 "$umed" import $how.png --size 64 --channels 1 -o $how.64.h5
        made $how.result.h5 "$umed" exploit --data $how.64.h5 --test all64.h5 --model unet $cfg -o $how.result.h5
    done
}
python3 - <<'PY'
import h5py

for name in "clean", "fifth", "all", "native", "resampled":
    with h5py.File(f"{name}.result.h5") as f:
        print(f"{name:10} DSC {100 * f['metrics/test_dsc_batch'][()]:.2f}")
PY
