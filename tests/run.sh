#!/usr/bin/env bash
# Builds umed and runs every test that this machine can run; names what it skipped and why. The exit code is 0 when all passed.
#
#   bash tests/run.sh          dependencies, Release build, all tests, the job scripts under a Slurm of our own (tests/slurm), then the
#                              quick tests again under ASan, UBSan and LeakSanitizer
#   bash tests/run.sh --long   also: all tests under the sanitizers, the CPU kernels of every instruction set, a build without MPI, libFuzzer
#                              (with clang), and tests/harden, tests/fuzz and tests/mpi with many more rounds
#
# BUILD_DIR   Release build folder (default build-test; the sanitizer build is BUILD_DIR-debug)
# JOBS        compiler processes (default: cores)
# SLURM_AFTER_S  seconds after which the Slurm tests do not start any more (default 900; no limit with --long)
# BUDGET_S    seconds after which no further sanitizer test starts (default 1200; no limit with --long)
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
root=$PWD
long=0
for arg in "$@"; do
    case $arg in
    --long) long=1 ;;
    *) echo "run.sh: unknown argument '$arg'; known: --long" >&2; exit 64 ;;
    esac
done
: "${BUILD_DIR:=build-test}" "${JOBS:=$(nproc)}" "${BUDGET_S:=1200}" "${SLURM_AFTER_S:=900}"

# Open MPI refuses root and more ranks than cores unless told otherwise; results do not depend on either.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe HDF5_USE_FILE_LOCKING=FALSE
# Session folders of killed launchers and the tests' own files go with this run.
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/umed-tests.XXXXXX") || exit 1
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1

export UMED_LONG=$long # more rounds in tests/harden, tests/fuzz and tests/mpi

failed=() skipped=()
say() { printf '\n== %s (%d s)\n' "$*" "$SECONDS"; }

# build FOLDER [CMake settings]
build() {
    local folder=$1
    shift
    if ! cmake -S "$root" -B "$folder" "$@" >"$TMPDIR/build.log" 2>&1 || ! cmake --build "$folder" -j"$JOBS" >>"$TMPDIR/build.log" 2>&1
    then
        grep -nE 'error|Error|warning' "$TMPDIR/build.log" | head -n 20
        tail -n 20 "$TMPDIR/build.log"
        failed+=("build of $folder")
        return 1
    fi
}

# What the last ctest in FOLDER skipped, each with the line in which the test said why (or its last one).
note_skips() {
    local name reason
    while read -r name; do
        reason=$(awk -v head="Testing: $name" '
            /^[0-9]+\/[0-9]+ Testing: / { mine = substr($0, length($0) - length(head) + 1) == head }
            mine && $0 == "<end of output>" { exit }
            mine && NF { last = $0 }
            mine && tolower($0) ~ /skip/ { why = $0 }
            END { print why != "" ? why : last }' "$1/Testing/Temporary/LastTest.log")
        skipped+=("$name: ${reason:-no reason given}")
    done < <(sed -nE 's/.*Test +#[0-9]+: ([^ ]+) \.+\**(Skipped|Not Run).*/\1/p' "$TMPDIR/ctest.log")
}

# tests NAME FOLDER [ctest arguments]
tests() {
    local name=$1 folder=$2
    shift 2
    ctest --test-dir "$folder" --output-on-failure --no-tests=error -j1 "$@" 2>&1 | tee "$TMPDIR/ctest.log"
    [ "${PIPESTATUS[0]}" -eq 0 ] || failed+=("$name")
    note_skips "$folder"
}

# The same one by one while there is time: tests_in_time NAME FOLDER [ctest arguments]. A test once started is not cut short.
tests_in_time() {
    local name=$1 folder=$2 test ran=0 late=0 broken=0
    shift 2
    while read -r test; do
        if [ "$SECONDS" -ge "$BUDGET_S" ]; then
            late=$((late + 1))
            continue
        fi
        ran=$((ran + 1))
        if ctest --test-dir "$folder" --output-on-failure -R "^$test\$" >"$TMPDIR/ctest.log" 2>&1; then
            grep -E '^ *1/1 Test' "$TMPDIR/ctest.log"
        else
            cat "$TMPDIR/ctest.log"
            broken=$((broken + 1))
        fi
        note_skips "$folder"
    done < <(ctest --test-dir "$folder" -N "$@" | sed -nE 's/^ *Test +#[0-9]+: //p')
    echo "$name: $ran run, $broken failed"
    [ $((ran + late)) -gt 0 ] || failed+=("$name: no tests found")
    [ $broken -eq 0 ] || failed+=("$name: $broken of $ran tests")
    [ $late -eq 0 ] || skipped+=("$late tests under the sanitizers: the $BUDGET_S s of BUDGET_S were used up; they run with --long")
}

# The job scripts, when there is time: some minutes, most of them spent waiting for Slurm.
slurm_tests() {
    local rc=0 begun=$SECONDS
    if [ $long = 0 ] && [ "$SECONDS" -ge "$SLURM_AFTER_S" ]; then
        skipped+=("job scripts under Slurm: the $SLURM_AFTER_S s of SLURM_AFTER_S were used up; they run with --long")
        return
    fi
    say "job scripts under Slurm"
    bash tests/slurm/run.sh "$BUILD_DIR/bin/umed" "$BUILD_DIR/tests/e2e/e2e_probe" 2>&1 | tee "$TMPDIR/slurm.log"
    rc=${PIPESTATUS[0]}
    sed -n 's/^ *[0-9]* s  skipped /job scripts under Slurm: /p' "$TMPDIR/slurm.log" >"$TMPDIR/slurm.skipped"
    [ "$rc" != 77 ] || tail -n 1 "$TMPDIR/slurm.log" | sed 's/^skipped: /job scripts under Slurm: /' >>"$TMPDIR/slurm.skipped"
    mapfile -t -O "${#skipped[@]}" skipped <"$TMPDIR/slurm.skipped"
    [ "$rc" = 0 ] || [ "$rc" = 77 ] || failed+=("job scripts under Slurm")
    # Waiting is not work: the sanitizers keep their time.
    [ $long = 1 ] || BUDGET_S=$((BUDGET_S + SECONDS - begun))
}

say "dependencies"
bash tests/deps.sh || exit 1

say "Release build in $BUILD_DIR"
if build "$BUILD_DIR" -DCMAKE_BUILD_TYPE=Release -DUMED_WERROR=ON; then
    say "tests"
    tests "tests" "$BUILD_DIR"
    slurm_tests
fi

say "sanitizer build in $BUILD_DIR-debug"
if build "$BUILD_DIR-debug" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG="-O1 -g1" -DUMED_SANITIZE=address,undefined -DUMED_X86_ISAS=avx2; then
    if [ $long = 1 ]; then
        say "all tests under the sanitizers"
        tests "sanitizers" "$BUILD_DIR-debug" -LE 'lint|mpi' --timeout 1800
    else
        say "quick tests under the sanitizers"
        tests_in_time "sanitizers" "$BUILD_DIR-debug" -LE 'lint|e2e|slow|mpi'
        skipped+=("tests with the labels e2e and slow under the sanitizers: they run with --long")
    fi
    # Without leaks: Open MPI unloads its plugins before they are looked for, so what they keep has no name to be excused by.
    say "communicators under the sanitizers"
    ASAN_OPTIONS=detect_leaks=0 tests "communicators under the sanitizers" "$BUILD_DIR-debug" -R '^mpi_comm_np[23]$'
fi

skipped+=("tests with the label mpi under the sanitizers but mpi_comm: Open MPI keeps memory that LeakSanitizer cannot tell from ours")
if [ $long = 1 ]; then
    for isa in generic avx2 avx512; do
        if [ $isa != generic ] && ! grep -qm1 -w "${isa/avx512/avx512vl}" /proc/cpuinfo; then
            skipped+=("kernels for $isa: this CPU does not have it")
            continue
        fi
        say "CPU kernels for $isa"
        UMED_ISA=$isa tests "kernels for $isa" "$BUILD_DIR" -R '^(kernels|nn|models)_'
    done
    say "libFuzzer in $BUILD_DIR-fuzz"
    bash tests/fuzz/fuzz.sh "$BUILD_DIR-fuzz" | tee "$TMPDIR/fuzz.log"
    case ${PIPESTATUS[0]} in
    0) ;;
    77) skipped+=("libFuzzer: $(tail -n 1 "$TMPDIR/fuzz.log")") ;;
    *) failed+=("libFuzzer") ;;
    esac
    say "build without MPI in $BUILD_DIR-nompi"
    build "$BUILD_DIR-nompi" -DCMAKE_BUILD_TYPE=Release -DUMED_MPI=OFF && tests "without MPI" "$BUILD_DIR-nompi" -LE lint
else
    skipped+=("kernels of other instruction sets, libFuzzer, more rounds of kills and damaged files, the build without MPI: they run with --long")
fi

say "summary"
[ ${#skipped[@]} -eq 0 ] || printf 'skipped  %s\n' "${skipped[@]}" | sort -u
if [ ${#failed[@]} -gt 0 ]; then
    printf 'FAILED   %s\n' "${failed[@]}"
    exit 1
fi
echo "all passed in $SECONDS s"
