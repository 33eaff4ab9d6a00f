# Read-only folders and full disks: exit code 74 and a message that names the place, nothing half-written, nothing left behind, and
# the same command works once there is room. Small file systems need the right to mount; a limit on file sizes and failing calls do not.
. "$(dirname "$0")/common.sh"
small="--set model.base_width=2 --set umed.gen.base_width=2 --set umed.schedule.cycles=1 --set umed.batch=8
  --set exploiter.epochs=1 --set exploiter.batch=8 --set exploiter.adam_lr=1e-3 --threads 1 -q"

expect 0 "$umed" synth --n 24 --size 32 -q -o data.h5
expect 0 "$umed" export data.h5 -q -o png
tiny_sweep "$work/data.h5" 1 1 >g.cfg
expect 0 "$umed" grid g.cfg -o once -q
expect 0 "$umed" protect --data data.h5 $small --state once.state -o once.h5
expect 0 "$umed" exploit --data once.h5 --test data.h5 $small --save-model once.model -o once.result

# What writes files, each into the folder $1.
commands="synth import export protect exploit predict grid report"
command_synth() { "$umed" synth --n 24 --size 32 -q -o "$1/a.h5"; }
command_import() { "$umed" import png --size 0 --shards 2 -q -o "$1/shards"; }
command_export() { "$umed" export data.h5 -q -o "$1/png"; }
command_protect() { "$umed" protect --data data.h5 $small --state "$1/state.h5" -o "$1/r.h5"; }
command_exploit() { "$umed" exploit --data once.h5 --test data.h5 $small --save-model "$1/model.h5" -o "$1/result.h5"; }
command_predict() { "$umed" predict --model once.model --data data.h5 --threads 1 -q -o "$1/p.h5"; }
command_grid() { "$umed" grid g.cfg -o "$1/sweep" -q; }
command_report() { [ -e "$1/cells" ] || cp -r once/* "$1" 2>/dev/null; "$umed" report "$1" -q; }

# clean DIR WHAT: after a failure. Part files may stay where a claim or a checkpoint of an unfinished sweep may.
nothing_half_written() {
    all_good "$1"
    ! find "$1" -name '*.part' | grep -q . || fail "$2 left a part: $(find "$1" -name '*.part')"
}

# ---- every call (some of them without UMED_LONG=1) that needs space fails once, and then the disk stays full
if [ -n "$fault" ]; then
    for command in $commands; do
        rm -rf count_here && mkdir count_here
        [ $command = report ] && cp -r once/* count_here
        export umed probe small work; export -f command_$command
        faulty count count_here bash -c "command_$command count_here"
        same $rc 0 "$command"
        calls=$(cat count)
        [ "$calls" -ge 10 ] || fail "$command: only $calls calls change files"
        rounds=3 modes=(fail full)
        [ "$long" = 1 ] && rounds=$((calls < 60 ? calls : 60))
        for i in $(seq "$rounds"); do
            for mode in $([ "$long" = 1 ] && echo fail full || echo ${modes[$((i % 2))]}); do
                at=$((i * calls / rounds))
                rm -rf room && mkdir room
                [ $command = report ] && cp -r once/* room
                faulty $mode:$at room bash -c "command_$command room"
                where="$command, $mode at call $at of $calls"
                [ $rc = 74 ] || [ $rc = 0 ] || fail "$where: exit code $rc"
                [ $rc = 0 ] || grep -qE "No space left|errno = 28|cannot|not be written" err || fail "$where: $(cat err)"
                [ $rc = 0 ] || holds err "room"
                [ $mode = fail ] && nothing_half_written room "$where"
                all_good room
                [ $rc = 0 ] && continue
                command_$command room >out 2>err || fail "$where: the same command with room again: $?"
                nothing_half_written room "$where, again"
            done
        done
    done
else
    echo "note: failing calls are not tried, the fault library cannot be loaded into this build"
fi

# ---- a limit on the size of files, which comes as a signal
(ulimit -f 8; command_synth .) >out 2>err
same $? 74 "a file beyond its limit"
[ ! -e a.h5 ] && [ ! -e a.h5.part ] || fail "a.h5 was written"
holds err "a.h5"

# ---- small and read-only file systems
cat >mounted.sh <<'EOF'
mount -t tmpfs -o size=4m tmpfs "$work/disk" || exit 77
sizes="8 60"
[ "$long" = 1 ] && sizes="4 8 12 20 28 36 60 100 140 180"
for command in $commands; do
    [ $command = report ] && continue
    for kib in $sizes; do
        mount -o remount,size=4m "$work/disk" && rm -rf "$work"/disk/* && mkdir "$work/disk/d" && mount -o remount,size=${kib}k "$work/disk"
        command_$command disk/d >out 2>err
        rc=$?
        [ $rc = 74 ] || [ $rc = 0 ] || fail "$command on a disk of $kib KiB: exit code $rc"
        nothing_half_written disk/d "$command on a disk of $kib KiB"
        [ $rc = 0 ] && continue
        holds err disk
        mount -o remount,size=4m "$work/disk"
        command_$command disk/d >out 2>err || fail "$command after a disk of $kib KiB was made larger: exit code $?"
        nothing_half_written disk/d "$command with room"
    done
done
mount -o remount,size=4m "$work/disk" && rm -rf "$work"/disk/* && cp -r once disk/sweep && mkdir disk/d && mount -o remount,ro "$work/disk"
for command in synth import export protect exploit predict grid; do
    command_$command disk/d >out 2>err
    same $? 74 "$command into a read-only folder"
    grep -qiE "read-only|cannot" err || fail "$command: $(cat err)"
    holds err disk/d
done
cd disk || exit 1
"$umed" synth --n 24 --size 32 -q -o a.h5 >"$work/out" 2>"$work/err" && fail "synth into a read-only present folder"
holds err "cannot be written to: Read-only file system"
cd "$work" || exit 1
expect 0 "$umed" grid g.cfg -o disk/sweep -q            # nothing to do
expect 0 "$umed" grid g.cfg -o disk/sweep --status; holds out "done 2"
expect 0 "$umed" check disk/sweep
expect 74 "$umed" report disk/sweep; holds out "clean test scores"; holds err "disk/sweep/results.h5"
EOF
mkdir disk
export umed probe small work commands long
export -f fail expect holds lacks same all_good nothing_half_written
for command in $commands; do export -f command_$command; done
unshare --mount $([ "$(id -u)" = 0 ] || echo --map-root-user) bash -u mounted.sh
case $? in
0) ;;
77) echo "note: small and read-only file systems are not tried, this machine does not let us mount" ;;
*) exit 1 ;;
esac
