#!/bin/sh
# Usage: size.sh ROOT. No file below ROOT/src over 600 lines, no function over 120. Functions are found by their braces in the first
# column.
set -u
cd "$1" || exit 2
find src \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) | sort | while read -r file; do
    awk -v file="$file" '
        /^\{/ { start = FNR; name = before }
        /^\}/ && start {
            if (FNR - start + 1 > 120)
                printf "%s:%d: a function of %d lines, 120 at most: %s\n", file, start, FNR - start + 1, name
            start = 0
        }
        { before = $0 }
        END {
            if (FNR > 600)
                printf "%s: %d lines, 600 at most\n", file, FNR
        }' "$file"
done | awk '{ print } END { exit NR > 0 }'
