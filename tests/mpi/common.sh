# For the tests under mpirun: NAME.sh UMED PROBE MPIEXEC. Sweeps of networks of width 2 on 16x16 images.
mpiexec=$3
. "$(dirname "$0")/../e2e/common.sh"

# ranks NP COMMAND...
ranks() {
    n=$1
    shift
    timeout 120 "$mpiexec" --bind-to none -np "$n" "$@"
}

# rank_pid HOST_LOG N: the process id of rank N of the run whose parent is the mpiexec with process id $1.
child() {
    ps -o pid= --ppid "$1" --sort pid | sed -n "$(($2 + 1))p" | tr -d ' '
}

# small_sweep DATA PROTECTORS RANKS_PER_CELL EPOCHS: two seeds.
small_sweep() {
    cat <<EOF
model: { base_width = 2; };
umed: { batch = 6; gen: { base_width = 2; }; schedule: { cycles = 1; }; };
em: { batch = 6; M = 3; T = 2; max_rounds = 2; };
tap: { batch = 6; steps = 2; clean_epochs = 1; };
sep: { batch = 6; n = 2; T = 1; M = 1; clean_epochs = 2; };
exploiter: { epochs = $4; batch = 6; eval_every = 1; adam_lr = 1e-3; };
run: { threads = 1; };
grid: { ranks_per_cell = $3; datasets = ( { name = "tiny"; path = "$1"; } );
  blocks = ( { protectors = [$2]; exploiters = ["unet"]; defenses = ["none"]; } ); seeds = [1]; };
EOF
}

# foreign_claim FILE: as if somebody on another machine were at work.
foreign_claim() { printf '%s\n' host=elsewhere boot=1 space=1 pid=1 start=1 job= cluster= since= end=1 >"$1"; }

# everything DIR: "KEY HASH" of every cell, and of the images of every released dataset.
everything() {
    science "$1"
    for f in "$1"/protected/*.result.h5; do
        echo "$(basename "$f") $(sha256sum <"${f%.result.h5}.h5")"
    done
    for f in "$1"/protected/*.utility.h5; do
        [ ! -e "$f" ] || echo "$(basename "$f") $("$probe" attr "$f" science_sha256)"
    done
}
