# The whole pipeline at its smallest under valgrind's memcheck: no error, and nothing of ours lost. Takes minutes: UMED_LONG=1 only.
. "$(dirname "$0")/common.sh"
[ "$long" = 1 ] || { echo "skipped: minutes under valgrind; with --long"; exit 77; }
command -v valgrind >/dev/null || { echo "skipped: no valgrind"; exit 77; }
export UMED_ISA=generic OMP_WAIT_POLICY=passive # valgrind knows no AVX-512

# checked COMMAND...: exit code 0, and valgrind found nothing.
checked() {
    expect 0 valgrind -q --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
        --log-file=memory.txt "$umed" "$@"
    [ -s memory.txt ] && { cat memory.txt >err; fail "valgrind on umed $1"; }
    echo "umed $1: clean"
}

checked synth --n 10 --size 16 -q -o data.h5
tiny_sweep data.h5 1 1 >g.cfg
small=(--set model.base_width=2 --set umed.gen.base_width=2 --set umed.schedule.cycles=1 --set exploiter.epochs=1 --threads 1 -q)
checked protect --data data.h5 --state state.h5 -o release.h5 "${small[@]}"
checked export release.h5 -o pictures -q
checked exploit --data release.h5 --test data.h5 --save-model model.h5 -o result.h5 "${small[@]}"
checked predict --model model.h5 --data data.h5 --metrics -o prediction.h5 --threads 1 -q
for file in data.h5 release.h5 model.h5 result.h5; do checked check $file; done
checked grid g.cfg -o sweep -q
checked report sweep
checked archive pack pictures --shards 2 -q -o archive
for how in native resampled; do
    checked archive protect archive "${small[@]}" --state state.h5 --set archive.apply=$how --set archive.size=20 -o "$how"
    checked archive verify "$how"
    checked archive restore "$how" --private "$how.private" -q -o "$how.back"
done
checked synth --scene retina --n 10 --size 32 -q -o retina.h5
marks=(--set model.base_width=2 --set classifier.epochs=1 --set medlocker.bhe.population=4 --set medlocker.budget=12 --threads 1 -q)
checked medlocker train --data retina.h5 --model resnet18 "${marks[@]}" -o graded.h5
checked medlocker key -o key
checked medlocker mark --data retina.h5 --key key "${marks[@]}" -o marked.h5 graded.h5
checked medlocker verify --data marked.h5 --certificate marked.private/certificate.h5 --key key -q
checked medlocker recover --data marked.h5 --certificate marked.private/certificate.h5 --key key -q -o clean.h5
