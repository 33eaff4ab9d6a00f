# Exit codes and texts of the command line.
. "$(dirname "$0")/common.sh"

expect 0 "$umed" --version;         holds out "umed 0."
expect 0 "$umed" --help;            holds out "protect"
expect 64 "$umed";                  holds err "a command is missing"
expect 64 "$umed" protct;           holds err "did you mean 'protect'?"
expect 64 "$umed" zzzzzzzz;         holds err "unknown command 'zzzzzzzz'"
expect 0 "$umed" list;              holds out "umed"; holds out "resnet18"
expect 0 "$umed" info;              holds out "libraries"
for command in synth import protect exploit predict grid report export check calibrate info list archive bench medlocker; do
    expect 0 "$umed" $command --help; holds out "umed $command"
done
expect 0 "$umed" protect --help;    holds out "umed.contour.radius"

expect 64 "$umed" synth --sice 3;   holds err "did you mean --size?"
expect 64 "$umed" synth -x;         holds err "no option -x"
expect 64 "$umed" synth --n;        holds err "needs a value"
expect 64 "$umed" synth --n zero -o a.h5; holds err "--n zero"
expect 64 "$umed" synth extra -o a.h5;    holds err "unexpected argument 'extra'"
expect 64 "$umed" synth;            holds err "-o DATA.h5 is needed"
expect 64 "$umed" import;           holds err "an argument is missing"
expect 64 "$umed" synth -o none/a.h5;     holds err "does not exist"
expect 64 "$umed" synth --log-level loud -o a.h5; holds err "expected error, warn, info or debug"
expect 64 "$umed" synth --channels 2 -o a.h5

expect 0 "$umed" synth --n 12 --size 32 -q -o a.h5
same "$(cat err)" "" "quiet"
expect 64 "$umed" synth --n 12 --size 32 -o a.h5; holds err "a.h5 exists"
expect 0 "$umed" check a.h5;        holds out "12 images 32x32x1 u8"
head -c 3000 a.h5 >cut.h5
expect 65 "$umed" check cut.h5;     holds out "BAD"
expect 65 "$umed" protect --data cut.h5 -o b.h5
[ ! -e b.h5 ] || fail "b.h5 was written"
expect 74 "$umed" protect --data missing.h5 -o b.h5; holds err "missing.h5"

expect 64 "$umed" protect --data a.h5 --protector umd -o b.h5; holds err "did you mean 'umed'?"
expect 64 "$umed" exploit --data a.h5 --test a.h5 --model transunett -o r.h5; holds err "did you mean 'transunet'?"
expect 64 "$umed" exploit --data a.h5 --test a.h5 --defense blurr -o r.h5;   holds err "did you mean 'blur'?"
expect 64 "$umed" protect --data a.h5 --rows some -o b.h5;      holds err "one of: all train"
expect 64 "$umed" protect --data a.h5 --set umed.epps=1 -o b.h5; holds err "umed.eps"
expect 64 "$umed" protect --data a.h5 --precision bf16 --backend cpu -o b.h5; holds err "precision bf16 needs backend cuda"
if "$umed" info | grep -q '^cuda  *backend cuda'; then # no device here, or none of it in this build
    expect 64 "$umed" protect --data a.h5 --backend cuda -o b.h5;   holds err "backend cuda"
    same "$(wc -l <err)" 1 "lines of the refusal"
fi
expect 64 "$umed" protect --data a.h5 --precision bf16 -o b.h5; holds err "bf16"

echo 'umed: { eps = "8/255"; };' >c.cfg
expect 0 "$umed" protect -c c.cfg --set exploiter.epochs=3 --print-config
holds out 'eps = "8/255"';          holds out "epochs = 3"
cp out printed.cfg
expect 0 "$umed" protect -c printed.cfg --print-config
same "$(cat out)" "$(cat printed.cfg)" "the printed settings read back"
printf 'umed: {\n  epps = 1; };\n' >bad.cfg
expect 64 "$umed" protect -c bad.cfg --print-config; holds err "bad.cfg:2"

tiny_sweep a.h5 1 1 >g.cfg
expect 0 "$umed" grid g.cfg --dry-run --format csv
same "$(wc -l <out)" 3 "a head and two cells"
holds out "key,dataset,protector,bound,exploiter,defense,seed,tables,protect_key,flops,protect_flops,bytes,state"
expect 0 "$umed" grid g.cfg --dry-run; holds out "2 cells"; holds out "H100, bf16"; holds out " GB "
expect 64 "$umed" grid g.cfg;       holds err "-o DIR is needed"
expect 64 "$umed" grid g.cfg -o o --only protector=umd; holds err "did you mean 'umed'?"
expect 0 "$umed" grid g.cfg -o o --status; holds out "open 2"
[ ! -e o ] || fail "--status made the folder"
expect 65 "$umed" report o;         holds err "no sweep folder"
expect 0 "$umed" calibrate --data a.h5; holds out "<- settings"
same "$(grep -c popcount out)" 12 "contour modes and radii"
"$umed" list >/dev/full 2>err
same $? 74 "a full disk"

# commands that work on one rank refuse several in one line, and the commands that need no MPI do not start it
if command -v mpirun >/dev/null && ! "$umed" info | grep -q '^mpi *none'; then
    export ASAN_OPTIONS=detect_leaks=0 # Open MPI keeps some blocks
    launch="mpirun --oversubscribe -np 2"
    [ "$(id -u)" = 0 ] && launch="$launch --allow-run-as-root"
    expect 64 $launch "$umed" predict --model m.h5 --data a.h5 -o b.h5
    same "$(grep -c 'umed: umed predict works on one rank' err)" 1
    expect 0 $launch "$umed" --version
fi
