#!/bin/sh
# Usage: selftest.sh. Every lint, shown a small tree with one thing wrong, must say so and fail; the same tree put right must pass.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 2
tree=$(mktemp -d "${TMPDIR:-/tmp}/umed-lint.XXXXXX") || exit 2
trap 'rm -rf "$tree"' EXIT
failures=0

fresh() {
    rm -rf "$tree/src" "$tree/tests" "$tree/README.md"
    mkdir -p "$tree/src/base" "$tree/src/protect" "$tree/src/exploit" "$tree/src/io" "$tree/tests"
    printf '#include <string.h>\n#include "base/mem.h"\n\nint f(void)\n{\n    return 0;\n}\n' >"$tree/src/io/a.c"
    printf 'umed_library(io SOURCES a.c\n  PUBLIC umed_base)\n' >"$tree/src/io/CMakeLists.txt"
    printf 'project(umed LANGUAGES C)\n' >"$tree/CMakeLists.txt"
}

# expect pass|SUBSTRING LINT: runs LINT.sh on the tree.
expect() {
    said=$(sh "$here/$2.sh" "$tree" 2>&1)
    rc=$?
    case $1 in
    pass) [ $rc -eq 0 ] && return ;;
    *) case $said in *"$1"*) [ $rc -ne 0 ] && return ;; esac ;;
    esac
    echo "$2.sh: expected '$1', got exit $rc and: $said"
    failures=$((failures + 1))
}

for lint in includes size text; do fresh; expect pass $lint; done

fresh; echo '#include "protect/protector.h"' >"$tree/src/exploit/a.c"; expect 'exploit must not include protect' includes
fresh; echo '#include "exploit/exploiter.h"' >"$tree/src/protect/a.c"; expect 'protect must not include exploit' includes
fresh; echo '#  include "io/h5.h"' >"$tree/src/base/a.c"; expect 'base must not include io' includes
fresh; echo '#include "mem.h"' >"$tree/src/base/a.c"; expect 'write the path below src/' includes
fresh; echo '#include <hdf5.h>' >"$tree/src/io/dataset.c"; expect '<hdf5.h> belongs to' includes
fresh; echo '#include <hdf5.h>' >"$tree/src/io/h5_attr.c"; expect pass includes
fresh; echo '#include <mpi.h>' >"$tree/src/io/a.c"; expect '<mpi.h> belongs to' includes
fresh; echo '#include <curses.h>' >"$tree/src/io/a.c"; expect '<curses.h> has no home' includes
fresh; mkdir "$tree/src/new"; echo '#include <stdio.h>' >"$tree/src/new/a.c"; expect 'folder new is not in' includes; rm -r "$tree/src/new"
fresh; echo 'target_link_libraries(umed_io PRIVATE umed_train)' >>"$tree/src/io/CMakeLists.txt"; expect 'io must not link train' includes

long=$tree/src/io/long.c
fresh; { printf 'int g(void)\n{\n'; yes '    ;' | head -n 119; printf '}\n'; } >"$long"; expect 'a function of 121 lines' size
fresh; { printf 'int g(void)\n{\n'; yes '    ;' | head -n 118; printf '}\n'; } >"$long"; expect pass size
fresh; yes '/* */' | head -n 601 >"$long"; expect '601 lines' size

fresh; printf '/* %s: later */\n' 'TO''DO' >>"$tree/src/io/a.c"; expect 'left open' text
fresh; printf '/* see /%s/main/x */\n' work >>"$tree/src/io/a.c"; expect 'a path of one machine' text
fresh; printf 'cd /%s/someone\n' home >"$tree/README.md"; expect 'a path of one machine' text
fresh; : >"$tree/src/io/a.cpp"; expect 'C++ source' text
fresh; echo '#ifdef __cplusplus' >>"$tree/src/io/a.c"; expect '<- C++' text

[ $failures -eq 0 ] && echo "every lint passes what is right and refuses what is wrong"
exit $failures
