# For the end-to-end tests: NAME.sh UMED PROBE. A folder of its own, removed at the end; helpers that say what was expected.
set -u
umed=$1
probe=$2
work=$(mktemp -d "${TMPDIR:-/tmp}/umed-e2e-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export OMP_NUM_THREADS=1

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    sed 's/^/    /' "$work/out" "$work/err" 2>/dev/null | tail -n 20 >&2
    exit 1
}

# expect CODE COMMAND...: runs it, keeps stdout in `out` and stderr in `err`, and checks the exit code.
expect() {
    want=$1
    shift
    "$@" >"$work/out" 2>"$work/err"
    rc=$?
    [ "$rc" = "$want" ] || fail "exit code $rc, expected $want: $*"
}

holds() { grep -qF -- "$2" "$work/$1" || fail "no \"$2\" in $1"; }
lacks() { ! grep -qF -- "$2" "$work/$1" || fail "\"$2\" in $1"; }
same() { [ "$1" = "$2" ] || fail "\"$1\" is not \"$2\"${3:+: $3}"; }

# A sweep of a few seconds: networks of width 2 on 32x32 images. Arguments: path of the dataset, cycles, epochs.
tiny_sweep() {
    cat <<EOF
model: { base_width = 2; };
umed: { batch = 8; gen: { base_width = 2; }; schedule: { cycles = $2; }; };
exploiter: { epochs = $3; batch = 8; eval_every = 1; adam_lr = 1e-3; };
run: { threads = 1; };
grid: { datasets = ( { name = "tiny"; path = "$1"; } );
  blocks = ( { protectors = ["none", "umed"]; exploiters = ["unet"]; defenses = ["none"]; } ); seeds = [1]; };
EOF
}

# science DIR: "KEY HASH" of every cell.
science() {
    for f in "$1"/cells/*/result.h5; do
        echo "$(basename "$(dirname "$f")") $("$probe" attr "$f" science_sha256)"
    done
}

# killed_at MOMENT DIR COMMAND...: runs it anew in DIR, which it makes, until it was alive when it was killed at the first line of its
# log with MOMENT; sets pid.
killed_at() {
    moment=$1 dir=$2
    shift 2
    rc=0
    for _ in $(seq 20); do
        rm -rf "$dir"
        "$@" >out 2>err &
        pid=$!
        for _ in $(seq 4000); do grep -q "$moment" err && break; sleep 0.002; done
        kill -KILL $pid 2>/dev/null
        wait $pid 2>/dev/null
        rc=$?
        [ $rc = 137 ] && break
    done
    same $rc 137 "killed in the middle"
}

# limited DIR CONFIG: a sweep stopped by a time limit, as often as it takes; the limit grows, so that a busy machine gets there too.
limited() {
    rc=75 runs=0
    while [ $rc = 75 ] && [ $runs -lt 20 ]; do
        "$umed" grid "$2" -o "$1" --limit-s "$(awk "BEGIN { print 0.25 * 1.4 ^ $runs }")" >out 2>err
        rc=$?
        runs=$((runs + 1))
    done
    same $rc 0 "limited runs"
    [ $runs -gt 1 ] || fail "the limit never stopped it"
}

# shared DIR CONFIG: two runs on one folder at once; their logs are err1 and err2.
shared() {
    "$umed" grid "$2" -o "$1" >out1 2>err1 &
    pid=$!
    "$umed" grid "$2" -o "$1" >out2 2>err2
    rc=$?
    wait $pid || fail "the first of two runs failed"
    same $rc 0 "the second of two runs"
}
