#!/bin/sh
# Pretrained weights against NumPy: npz_check.sh LOAD_NPZ. Exit 77 (skipped) where /usr/bin/python3 has no numpy, scipy or h5py.
set -eu
if ! /usr/bin/python3 -c 'import h5py, numpy, scipy' 2>/dev/null; then
    echo "skipped: /usr/bin/python3 cannot import numpy, scipy and h5py (apt-get install python3-scipy python3-h5py)"
    exit 77
fi
/usr/bin/python3 "$(dirname "$0")/npz_check.py" "$1"
