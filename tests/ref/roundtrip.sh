#!/bin/sh
# Models that we write load strictly into PyTorch and give the same logits: roundtrip.sh WRITE_MODEL
# Exit 77 (skipped) where /usr/bin/python3 has no torch or h5py.
set -eu
writer=$1
here=$(dirname "$0")
if ! /usr/bin/python3 -c 'import h5py, torch' 2>/dev/null; then
    echo "skipped: /usr/bin/python3 cannot import torch and h5py (apt-get install python3-torch python3-h5py)"
    exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
/usr/bin/python3 "$here/torch_roundtrip.py" data "$folder/data.h5" --n 4 --side 32 --seed 5
for arch in unet cdc_unet unetpp attention_unet transunet; do
    "$writer" "$arch" "$folder/data.h5" "$folder/$arch.h5" "$folder/$arch.logits.h5"
    /usr/bin/python3 "$here/torch_roundtrip.py" load "$folder/$arch.h5" "$folder/$arch.logits.h5" "$folder/data.h5"
done
