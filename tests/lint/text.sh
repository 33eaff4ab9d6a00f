#!/bin/sh
# Usage: text.sh ROOT. No path of somebody's machine, nothing marked as left open, no C++ (the project is C11).
set -u
cd "$1" || exit 2
files() {
    find src tests cmake configs jobs docs analysis .ci CMakeLists.txt README.md -type f \
        \( -name '*.[ch]' -o -name '*.cu' -o -name '*.def' -o -name '*.sh' -o -name '*.py' -o -name '*.md' -o -name '*.txt' \
        -o -name '*.cmake' -o -name '*.cfg' -o -name run \) 2>/dev/null | sort
}
{
    files | xargs grep -nE '(^|[^A-Za-z0-9_.])/(work|farm|home|root|Users)/' | sed 's/$/    <- a path of one machine/'
    files | xargs grep -nE '(^|[^A-Za-z_])([T]ODO|[F]IXME|[X]XX)([^A-Za-z_]|$)' | sed 's/$/    <- left open/'
    find src tests \( -name '*.cpp' -o -name '*.cc' -o -name '*.cxx' -o -name '*.hpp' \) | sed 's/$/: C++ source/'
    grep -rnE '__cplusplus|extern "C"' src --include='*.[ch]' --exclude-dir=cuda | sed 's/$/    <- C++/'
    grep -nE 'LANGUAGES.*CXX|enable_language\(CXX' CMakeLists.txt | sed 's/^/CMakeLists.txt:/; s/$/    <- C++/'
} | awk '{ print } END { exit NR > 0 }'
