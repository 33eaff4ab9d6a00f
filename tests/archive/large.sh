#!/usr/bin/env bash
# Two large archives of phantoms, protected by two ranks: does it finish within the memory that it printed, at the speed of what bounds it?
#
#   bash tests/archive/large.sh UMED FOLDER [IMAGES-OF-64 [IMAGES-OF-224]]     default 100000 and 5000; about 2 GB, and hours on two cores
#
# Started again after whatever happened, it goes on. Per archive: what the protector (UMed at width 8 and 16) and compressing and writing do
# alone on both ranks, before and after, and the whole beside that; then LSP, which disk and compression should bound; then a shard of
# each comes back and is compared pixel by pixel. Exit code 1: a number below its aim (0.90 of the protector's rate; 0.70 of the
# writing rate for LSP; memory within its bound).
set -u
umed=$(realpath "$1") || exit 64
here=$(realpath "$(dirname "$0")")
mkdir -p "$2" && cd "$2" || exit 64
n64=${3:-100000}
n224=${4:-5000}
export OMP_NUM_THREADS=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
two() { mpirun --bind-to none -np 2 "$umed" "$@"; }
bad=0

# made NAME COMMAND...: runs it unless NAME is there.
made() {
    [ -e "$1" ] || "${@:2}" >"$1.log" 2>&1 || { tail -n 5 "$1.log"; echo "failed: $*"; exit 1; }
}
value() { awk -v key="$2" '$1 == key { print $2 }' "$1"; }
# The rates of both ranks, before and after: their mean counts.
rates() { two archive rates "$1" -o . "${@:3}" -q >"$2" || exit 1; }
at_least() {
    awk -v is="$2" -v want="$3" 'BEGIN { exit !(is >= want) }' && return
    echo "BELOW ITS AIM: $1 is $2, wanted at least $3"
    bad=1
}

# one NAME SOURCE SETTINGS...: protects SOURCE into NAME and prints the comparison. aim: share; against: key of the rates
one() {
    local name=$1 source=$2 log=$1.protect.log
    shift 2
    rates "$source" "$name.before" "$@"
    two archive protect "$source" -o "$name" --set run.progress_s=60 "$@" >"$name.tally" 2>"$log"
    local rc=$?
    [ $rc = 0 ] || { tail -n 3 "$log"; echo "$name: exit code $rc"; exit 1; }
    rates "$source" "$name.after" "$@"
    local whole alone peak bound ratio
    whole=$(sed -nE 's,.* ([0-9.]+) images/s; memory.*,\1,p' "$log" | tail -n 1)
    peak=$(sed -nE 's,.*memory peak of rank 0: ([0-9]+) MB of .*,\1,p' "$log" | tail -n 1)
    bound=$(sed -nE 's,.*memory: at most ([0-9]+) MB.*,\1,p' "$log" | tail -n 1)
    for key in protector_images_per_s compress_and_write_images_per_s; do
        echo "$name: $key before $(value "$name.before" $key), after $(value "$name.after" $key)"
    done
    alone=$(awk -v a="$(value "$name.before" $against)" -v b="$(value "$name.after" $against)" 'BEGIN { print (a + b) / 2 }')
    ratio=$(awk -v a="$whole" -v b="$alone" 'BEGIN { printf "%.3f", a / b }')
    grep -oE 'stages, busy.*' "$log" | tail -n 1
    echo "$name: $whole images/s end to end, $ratio of $against; memory peak $peak MB of $bound MB"
    at_least "$name: share of $against" "$ratio" "$aim"
    at_least "$name: memory bound over peak" "$(awk -v a="$bound" -v b="$peak" 'BEGIN { print a / b }')" 1
}

w8="--set umed.gen.base_width=8 --set model.base_width=8 --set umed.schedule.cycles=1"
w16="--set umed.gen.base_width=16 --set model.base_width=16 --set umed.schedule.cycles=1"
made fit64.h5 "$umed" synth --n 32 --size 64 --seed 7 -o fit64.h5
made fit224.h5 "$umed" synth --n 16 --size 224 --seed 7 -o fit224.h5
# shellcheck disable=SC2086
{
    made umed64.h5 "$umed" protect --data fit64.h5 $w8 --state umed64.h5 -o umed64.released.h5
    made umed224.h5 "$umed" protect --data fit224.h5 $w16 --state umed224.h5 -o umed224.released.h5
    made lsp64.h5 "$umed" protect --data fit64.h5 --protector lsp --state lsp64.h5 -o lsp64.released.h5
}
# Drawing that many phantoms would take longer than protecting them: some are drawn, the others are these, shifted and flipped and with
# noise of their own.
made few64.h5 "$umed" synth --n 60 --size 64 --seed 11 -o few64.h5
made few224.h5 "$umed" synth --n 10 --size 224 --seed 12 -o few224.h5
many() {
    [ -e "$4" ] || python3 "$here/many.py" "$@" || exit 1
}
many few64.h5 "$n64" $((n64 / 2000 + 2)) src64
many few224.h5 "$n224" $((n224 / 100 + 2)) src224

# shellcheck disable=SC2086
{
    aim=0.90 against=protector_images_per_s
    one dst64 src64 --state umed64.h5 $w8
    one dst224 src224 --state umed224.h5 $w16
    aim=0.70 against=compress_and_write_images_per_s
    one lsp src64 --protector lsp --state lsp64.h5
}
for name in dst64 dst224 lsp; do
    "$umed" archive verify $name >$name.verify 2>&1 || { tail -n 3 $name.verify; exit 1; }
    echo "$name: $(grep -c ^good $name.verify) files verified"
    [ -e $name.back ] || "$umed" archive restore $name --private $name.private -o $name.back -q || exit 1
done
python3 - dst64:src64 dst224:src224 lsp:src64 <<'PY' || bad=1
import glob, sys
import h5py
for pair in sys.argv[1:]:
    name, source = pair.split(":")
    path = sorted(glob.glob(source + "/*.h5"))[0]
    with h5py.File(path) as a, h5py.File(path.replace(source, name + ".back")) as b, h5py.File(path.replace(source, name)) as c:
        assert all((a[k][:] == b[k][:]).all() for k in ("images", "masks", "ids", "split")), name
        assert (a["images"][:] != c["images"][:]).any(), name
        print(f"{name}: {len(a['ids'])} images of one shard are back, bit by bit")
PY
exit $bad
