#!/usr/bin/env bash
# Installs what building and testing need (Debian packages, as root); says which command to run otherwise. Quiet when all is there.
set -u
packages=(build-essential cmake pkg-config libopenmpi-dev openmpi-bin libhdf5-dev hdf5-tools libopenblas-serial-dev libconfig-dev
    libpng-dev libjpeg-dev libzip-dev libssl-dev libcmocka-dev libdeflate-dev)

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "deps.sh: no apt-get here; CMake will name what is missing (Debian's names: ${packages[*]})" >&2
    exit 0
fi

missing=()
for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "deps.sh: packages are missing; as root run:  apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
fi
echo "deps.sh: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The package lists of an image are often old or gone: fetch them and try once more.
if ! apt-get install -y -q --no-install-recommends "${missing[@]}" >"$log" 2>&1; then
    if ! { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "deps.sh: apt-get could not install ${missing[*]}" >&2
        exit 1
    fi
fi
