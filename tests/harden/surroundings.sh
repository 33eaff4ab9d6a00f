# Closed streams, no terminal, signals, time limits, clocks that jump and files that vanish.
. "$(dirname "$0")/common.sh"
small="--set model.base_width=2 --set umed.gen.base_width=2 --set umed.batch=8
  --set exploiter.batch=8 --set exploiter.adam_lr=1e-3 --threads 1"
expect 0 "$umed" synth --n 24 --size 32 -q -o data.h5
tiny_sweep data.h5 1 1 >g.cfg

# ---- streams that are closed from the start: what is opened next must not become stdout or stderr
expect 0 "$umed" synth --n 24 --size 32 -o plain.h5
"$umed" synth --n 24 --size 32 --log-level debug -o no_err.h5 2>&-
same $? 0 "stderr closed"
"$umed" synth --n 24 --size 32 --log-level debug -o none.h5 <&- >&- 2>&-
same $? 0 "all streams closed"
for file in no_err.h5 none.h5; do
    expect 0 "$umed" check $file
    same "$("$probe" diff plain.h5 $file)" "24 0 0" $file
done
"$umed" list >&- 2>err
same $? 74 "stdout closed"
holds err "standard output could not be written"
"$umed" protect --data data.h5 $small --set umed.schedule.cycles=1 -q -o closed.h5 >&- 2>err
same $? 74 "the numbers of a release could not be told"
expect 0 "$umed" check closed.h5
"$umed" grid g.cfg -o piped 2>&1 | true # whoever read us is gone
expect 0 "$umed" grid g.cfg -o piped --status; holds out "done 2"

# ---- no terminal: lines, no bar
expect 0 setsid "$umed" grid g.cfg -o once --set run.progress_s=0.001 </dev/null
! grep -q "$(printf '\r')" err || fail "a progress bar without a terminal"
holds err "1/1"
science once >once.txt

# ---- signals and limits: saved, 75, and the same command ends with the same bits
long_fit="--set umed.schedule.cycles=12 --set exploiter.epochs=60 -q"
launch=
run_protect() { $launch "$umed" protect --data data.h5 $small $long_fit --set run.checkpoint_s="$2" "${@:3}" -o "$1.h5"; }
run_exploit() { $launch "$umed" exploit --data data.h5 --test data.h5 $small $long_fit --set run.checkpoint_s="$2" "${@:3}" -o "$1.h5"; }
bits_protect() { cksum <"$1.h5"; }
bits_exploit() { "$probe" attr "$1.h5" weights_sha256; }
for command in protect exploit; do
    run_$command whole_$command 300 >out 2>err || fail "$command"
    for stop in INT TERM USR1 limit; do
        name=${command}_$stop
        if [ $stop = limit ]; then
            run_$command $name 300 --limit-s 0.2 >out 2>err
            rc=$?
            reason="time limit of 0.2 s"
        else
            (launch=exec; run_$command $name 0) >out 2>err &
            pid=$!
            checkpoint=$name.h5.ckpt.h5
            [ $command = protect ] && checkpoint=$name.private/fit.ckpt.h5
            for _ in $(seq 600); do [ -e $checkpoint ] && break; sleep 0.02; done
            same "$(cat /proc/$pid/comm)" umed "the name of the process"
            kill -$stop $pid
            wait $pid
            rc=$?
            reason="signal SIG$stop"
        fi
        same $rc 75 "$command, $stop"
        holds err "$reason"
        holds err "the same command goes on"
        [ ! -e $name.h5 ] || fail "$command was stopped by $stop and wrote its result"
        run_$command $name 300 >out 2>err || fail "$command after $stop: exit code $?"
        same "$(bits_$command $name)" "$(bits_$command whole_$command)" "$command after $stop"
    done
done
"$umed" synth --n 30000 --size 64 -o much.h5 >out 2>err & # nothing to save, and it stops all the same
pid=$!
sleep 0.5
kill -TERM $pid
wait $pid
same $? 75 "synth"
holds err "nothing was written"
[ ! -e much.h5 ] && [ ! -e much.h5.part ] || fail "a stopped synth left a file"

# ---- clocks: a claim of another host, made before the server's clock was set back, holds nobody up
cell=$(cd once/cells && ls | head -n 1)
mkdir -p back/cells/"$cell"
printf 'host=elsewhere\nboot=1\nspace=1\npid=1\nstart=1\njob=\nend=1\n' >back/cells/"$cell"/lease.3
touch -d '+1 day' back/cells/"$cell"/lease.3
expect 0 timeout 60 "$umed" grid g.cfg -o back
lacks err "waiting for"
same "$(science back)" "$(cat once.txt)" "after the clock was set back"
same "$(names back)" "$(names once)" "files after the clock was set back"

# ---- files that vanish
cp -r once vanished
rm vanished/protected/*[0-9a-f].h5 vanished/cells/"$cell"/result.h5
rm -f vanished/protected/*.result.h5.part
expect 0 "$umed" grid g.cfg -o vanished
same "$(science vanished)" "$(cat once.txt)" "files of a sweep were taken away"
same "$(names vanished)" "$(names once)" "they are back"

sed 's/cycles = 1/cycles = 200/' g.cfg >slow.cfg
"$umed" grid slow.cfg -o gone --set run.checkpoint_s=0 >out 2>err & # the folder goes while it is worked in
pid=$!
for _ in $(seq 600); do ls gone/protected/*.ckpt.h5 >/dev/null 2>&1 && break; sleep 0.02; done
rm -rf gone
wait $pid
same $? 74 "the sweep's folder went away"
holds err "gone/protected"

expect 0 "$umed" export data.h5 -q -o png
ln -s nowhere.png png/images/zz.png
cp png/masks/phantom-00000.png png/masks/zz.png
expect 74 "$umed" import png --size 0 -o lost.h5; holds err "png/images/zz.png"
[ ! -e lost.h5 ] || fail "lost.h5 was written"
mv data.h5 away.h5
expect 74 "$umed" grid g.cfg -o once; holds err "data.h5"
mv away.h5 data.h5
