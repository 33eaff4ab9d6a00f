#!/usr/bin/env bash
# libFuzzer on every reader for FUZZ_S seconds each (default 60), starting from good files: fuzz.sh BUILD_DIR. READERS names some. Needs clang with its
# sanitizer libraries (Debian: clang libclang-rt-14-dev libomp-dev); exit code 77 without. What it finds lies in BUILD_DIR/found.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
: "${FUZZ_S:=60}" "${JOBS:=$(nproc)}"
build=$1
command -v clang >/dev/null || { echo "skipped: no clang here"; exit 77; }
: "${READERS:=png jpeg dataset checkpoint result private config shard delta job item manifest public certificate sealed record key}"
readers=$READERS
{
    cmake -S "$root" -B "$build" -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug -DUMED_MPI=OFF -DUMED_CUDA=OFF -DUMED_WERROR=OFF -DUMED_X86_ISAS= \
        -DCMAKE_C_FLAGS_DEBUG="-O1 -g1 -fsanitize=fuzzer-no-link" -DUMED_SANITIZE=address,undefined -DUMED_FUZZERS=ON &&
        cmake --build "$build" -j"$JOBS" --target $(printf 'fuzz_%s ' $readers)
} >"${TMPDIR:-/tmp}/fuzz-build.log" 2>&1 || { tail -n 20 "${TMPDIR:-/tmp}/fuzz-build.log"; exit 1; }

mkdir -p "$build/found"
export ASAN_OPTIONS=max_allocation_size_mb=512:allocator_may_return_null=1:quarantine_size_mb=32 OMP_NUM_THREADS=1 UMED_SOURCE_DIR=$root
export LSAN_OPTIONS=suppressions=$build/leaks.txt:print_suppressions=0
printf 'leak:libhdf5\nleak:libconfig\n' >"$build/leaks.txt" # what these libraries forget when they meet a broken file
failed=0
for reader in $readers; do
    target=$build/tests/fuzz/fuzz_$reader
    "$target" --seeds "$build/corpus/$reader" || exit 1
    if "$target" -max_total_time="$FUZZ_S" -timeout=20 -rss_limit_mb=2048 -max_len=300000 -print_final_stats=1 \
        -artifact_prefix="$build/found/$reader-" "$build/corpus/$reader" >"$build/$reader.log" 2>&1; then
        echo "$reader: $(sed -n 's/stat::number_of_executed_units: *//p' "$build/$reader.log") files in $FUZZ_S s, nothing found"
    else
        echo "$reader: FAILED, see $build/$reader.log"
        tail -n 25 "$build/$reader.log"
        failed=1
    fi
done
exit $failed
