#!/bin/sh
# Usage: includes.sh ROOT. Checks every #include below ROOT/src, and the link lines of its folders, against layers.txt and
# homes.txt beside this script.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 2
cd "$1/src" || exit 2

includes() {
    find . \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' \) | sort | while read -r file; do
        awk -v file="${file#./}" '
            /^[ \t]*#[ \t]*include[ \t]*["<]/ {
                match($0, /["<][^">]*/)
                print file, FNR, substr($0, RSTART, 1), substr($0, RSTART + 1, RLENGTH - 1)
            }' "$file"
    done
}

# A folder's CMakeLists.txt names libraries umed_FOLDER; other targets with that prefix are not libraries of a folder.
links() {
    for file in */CMakeLists.txt; do
        awk -v file="$file" '
            { sub(/#.*/, "") }
            /PUBLIC|PRIVATE|INTERFACE|target_link_libraries/ { linking = 1 }
            linking {
                n = split($0, word, /[^a-z0-9_]+/)
                for (i = 1; i <= n; i++)
                    if (word[i] ~ /^umed_/)
                        print file, FNR, "=", substr(word[i], 6)
            }
            /\)/ { linking = 0 }' "$file"
    done
}

{ includes; links; } | awk -v layers="$here/layers.txt" -v homes="$here/homes.txt" '
    function complain(text) { printf "src/%s:%s: %s\n", $1, $2, text; bad = 1 }
    BEGIN {
        while ((getline line < layers) > 0) {
            if (line ~ /^#/ || line !~ /:/)
                continue
            split(line, half, ":")
            known[half[1]] = 1
            allowed[half[1]] = " " half[1] " " half[2] " "
            gsub(/ +/, " ", allowed[half[1]])
        }
        while ((getline line < homes) > 0) {
            if (line ~ /^#/ || line == "")
                continue
            n = split(line, word, / +/)
            for (i = 1; i < n; i++)
                home[word[i]] = "^(" word[n] ")$"
        }
    }
    { folder = $1; sub(/\/.*/, "", folder) }
    !(folder in known) { complain("folder " folder " is not in tests/lint/layers.txt"); next }
    $3 == "<" && !($4 in home) { complain("<" $4 "> has no home in tests/lint/homes.txt"); next }
    $3 == "<" && $1 !~ home[$4] { complain("<" $4 "> belongs to " home[$4] " only"); next }
    $3 == "\"" {
        target = $4
        if (!sub(/\/.*/, "", target)) { complain("\"" $4 "\": write the path below src/"); next }
        if (index(allowed[folder], " " target " ") == 0)
            complain(folder " must not include " target " (" $4 ")")
    }
    $3 == "=" && ($4 in known) && index(allowed[folder], " " $4 " ") == 0 { complain(folder " must not link " $4) }
    END { if (NR == 0) { print "nothing found to check"; bad = 1 } exit bad }'
