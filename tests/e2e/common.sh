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
