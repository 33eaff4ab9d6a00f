#!/usr/bin/env bash
# Installs what analysis/ needs: on Debian as root the packages of the system, else `pip install -r requirements.txt` for this Python.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-/usr/bin/python3}
"$python" -c 'import h5py, matplotlib, numpy' 2>/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ "$python" = /usr/bin/python3 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q --no-install-recommends python3-h5py python3-matplotlib python3-numpy >&2 ||
        { apt-get update -q >&2 && apt-get install -y -q --no-install-recommends python3-h5py python3-matplotlib python3-numpy >&2; }
else
    "$python" -m pip install -q -r requirements.txt
fi
