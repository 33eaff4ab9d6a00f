# A sweep: once, again, stopped, killed, shared, in shards, with a failing cell.
. "$(dirname "$0")/common.sh"

expect 0 "$umed" synth --n 24 --size 32 -q -o data.h5
expect 0 "$umed" synth --n 24 --size 32 --shards 8 -q -o shards
tiny_sweep data.h5 2 4 >g.cfg
tiny_sweep shards 2 4 >s.cfg

expect 0 "$umed" grid g.cfg -o once;  holds err "done   exploit tiny/umed/unet seed 1"
science once >once.txt
same "$(wc -l <once.txt)" 2
find once -name '*ckpt*' -o -name '*lease*' -o -name '*.part' | grep -q . && fail "something was left behind"
expect 0 "$umed" check once

# again: nothing to do, nothing touched
before=$(find once -type f -printf '%p %T@\n' | sort)
expect 0 "$umed" grid g.cfg -o once;  lacks err "start"
same "$(find once -type f -printf '%p %T@\n' | sort)" "$before" "a second run changed files"
expect 0 "$umed" grid g.cfg -o once --status; holds out "done 2"; holds out "protected 1 of 1"

# eight shards: the same keys and the same numbers
expect 0 "$umed" grid s.cfg -o sharded
same "$(science sharded)" "$(cat once.txt)" "shards"

# stopped by a time limit
limited limited g.cfg
same "$(science limited)" "$(cat once.txt)" "$runs limited runs"

# killed in the middle of both kinds of work; the next run goes on at once, although nobody removed the claims
for moment in "start  protect" "start  exploit tiny/umed"; do
    killed_at "$moment" killed "$umed" grid g.cfg -o killed --set run.checkpoint_s=0
    expect 0 "$umed" grid g.cfg -o killed --status
    grep -Eq "^stale +[0-9a-f]+  .*tiny/umed.* seed 1: .* pid $pid, since 20.*" out || fail "the status does not say who left what behind"
    expect 0 timeout 60 "$umed" grid g.cfg -o killed
    same "$(science killed)" "$(cat once.txt)" "killed after $moment"
    find killed -name '*ckpt*' -o -name '*lease*' | grep -q . && fail "something was left behind"
done

# two runs on one folder share the work
shared shared g.cfg
same "$(cat err1 err2 | grep -c 'start ')" 3 "tasks done twice"
same "$(science shared)" "$(cat once.txt)" "shared"

# cells that cannot work (8x8 pixels are too few for a U-Net) are recorded, the rest goes on, and the next run tries them again
expect 0 "$umed" export data.h5 -q -o png
expect 0 "$umed" import png --size 8 -q -o small.h5
sed 's/datasets = (/datasets = ( { name = "small"; path = "small.h5"; },/' g.cfg >mixed.cfg
for _ in first second; do
    expect 3 "$umed" grid mixed.cfg -o mixed
    holds err "FAILED exploit small/none/unet seed 1"
    holds err "2 of 4 cells failed"
done
expect 0 "$umed" grid mixed.cfg -o mixed --status; holds out "failed 2"; holds out "done 2"
same "$(science mixed)" "$(cat once.txt)" "the cells that work"
expect 0 "$umed" report mixed; holds out "tiny"
expect 0 "$umed" grid mixed.cfg -o mixed --only dataset=tiny
