# A sweep of protectors, exploiters and a defense that acts while training: the same released bytes and the same numbers on 1, 2 and
# 4 ranks per cell, from one file and from eight shards; with ranks left over; with more groups than cells.
. "$(dirname "$0")/common.sh"
all='"none", "umed", "em", "tap", "sep"'

expect 0 "$umed" synth --n 12 --size 16 -q -o data.h5
expect 0 "$umed" synth --n 12 --size 16 --shards 8 -q -o shards
for each in 1 2 4; do small_sweep data.h5 "$all" $each 2 >g$each.cfg; done
small_sweep shards "$all" 4 2 >s4.cfg

expect 0 "$umed" grid g1.cfg -o alone
everything alone >alone.txt
same "$(grep -vc utility alone.txt)" 9 "results"
same "$(grep -c utility alone.txt)" 4 "utilities"

expect 0 ranks 2 "$umed" grid g2.cfg -o two;   holds err "1 group of 2 ranks"
holds err "2 ranks on 1 host"; holds err "sums over ranks: ordered"; holds err "in host memory over"; holds err "ranks 0 to 1: $(hostname), cores "
same "$(everything two)" "$(cat alone.txt)" "two ranks on a cell"
expect 0 ranks 4 "$umed" grid s4.cfg -o four;  holds err "1 group of 4 ranks"
same "$(everything four)" "$(cat alone.txt)" "four ranks on a cell, eight shards"
expect 0 ranks 3 "$umed" grid g2.cfg -o left;  holds err "1 of 3 ranks stay idle"
same "$(everything left)" "$(cat alone.txt)" "a rank left over"
expect 0 ranks 4 "$umed" grid g1.cfg -o many --only protector=umed;  holds err "4 groups of 1 rank"
same "$(science many)" "$(grep "$(basename many/cells/*) " alone.txt)" "more groups than cells"
same "$(cat err | grep -c 'start ')" 2 "tasks done twice"

expect 0 ranks 4 "$umed" grid g1.cfg -o groups
same "$(everything groups)" "$(cat alone.txt)" "four groups share cells and utilities"

# ranks that do not read the same settings
expect 64 timeout 120 "$mpiexec" --bind-to none -np 1 "$umed" grid g2.cfg -o apart : -np 1 "$umed" grid g2.cfg -o apart --set em.T=3
holds err "settings and datasets of the sweep are not the same on rank 1"

# statistics per lane: other numbers under other keys, which do not depend on the ranks either
for n in 1 2 4; do
    expect 0 ranks $n "$umed" grid g$n.cfg -o lane$n --only protector=umed --set run.bn=lane
    same "$(everything lane$n)" "$(everything lane1)" "statistics per lane on $n ranks"
done
same "$(science lane1 | grep -cFf <(cut -d' ' -f1 alone.txt))" 0 "keys of cells with statistics per lane"
same "$(everything lane1 | cut -d' ' -f2 | grep -cFf <(cut -d' ' -f2 alone.txt))" 0 "results with statistics per lane"

# commands that train one network use all ranks; the rest refuses to run several times
expect 0 "$umed" exploit --data data.h5 --test data.h5 --set model.base_width=2 --set exploiter.epochs=2 -o one.h5
expect 0 ranks 4 "$umed" exploit --data data.h5 --test data.h5 --set model.base_width=2 --set exploiter.epochs=2 -o four.h5
same "$("$probe" attr four.h5 science_sha256)" "$("$probe" attr one.h5 science_sha256)" "umed exploit"
# dropout, standardised kernels, and images that are attacked on their way into the network
expect 0 "$umed" synth --n 12 --size 32 -q -o data32.h5
many="--data data32.h5 --test data32.h5 --model transunet --defense advtrain --set model.base_width=4 --set exploiter.epochs=2
  --set exploiter.batch=6"
expect 0 "$umed" exploit $many -o many1.h5
for n in 2 4; do
    expect 0 ranks $n "$umed" exploit $many -o many$n.h5
    same "$("$probe" attr many$n.h5 weights_sha256)" "$("$probe" attr many1.h5 weights_sha256)" "TransUNet under attack on $n ranks"
done
expect 0 ranks 2 "$umed" protect --data data.h5 --protector none -q -o none.h5
expect 64 ranks 2 "$umed" predict --model one.h5 --data data.h5 -o pred.h5; holds err "works on one rank"
expect 64 ranks 5 "$umed" exploit --data data.h5 --test data.h5 -o five.h5; holds err "5 ranks cannot share 4 lanes"
expect 64 env SLURM_STEP_NUM_TASKS=3 "$umed" protect --data data.h5 -o x.h5; holds err "started 3 tasks"
expect 64 ranks 2 "$umed" bench step; holds err "works on one rank"
expect 0 ranks 2 "$umed" bench comm --size 16 --batch 2 --channels 1 --n 3 --set model.base_width=2
holds out "exposed communication"
tail -n 1 out | grep -Eq 'weak-scaling efficiency of 2 ranks, median of 3 rounds .*: [0-9.]+x$' || fail "last line"
