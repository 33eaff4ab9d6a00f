# The HTML report of a sweep, without a warning; and refusals.
. "$(dirname "$0")/common.sh"
python=${PYTHON:-/usr/bin/python3}
analysis=$(cd "$(dirname "$0")/../../analysis" && pwd)
"$python" -c 'import h5py, matplotlib' 2>/dev/null || { echo "skipped: $python has no h5py or matplotlib (bash analysis/deps.sh installs them)"; exit 77; }
export MPLCONFIGDIR=$work/mpl PYTHONDONTWRITEBYTECODE=1

expect 0 "$umed" synth --n 24 --size 32 -q -o data.h5
tiny_sweep data.h5 1 2 | sed 's/name = "tiny"/name = "busi"/; s/"umed"\]/"umed", "lsp"]/; s/defenses = \["none"\]/defenses = ["none", "advtrain"]/
    s/seeds = \[1\]/seeds = [1,2]/' >g.cfg
expect 1 "$python" -W error "$analysis/report.py" sweep; holds err "run \`umed report sweep\` first"
expect 0 "$umed" grid g.cfg -o sweep -q
expect 0 "$umed" report sweep --format markdown
cp out tables.md
expect 0 "$python" -W error "$analysis/report.py" sweep --tables tables.md
same "$(cat err)" "" "warnings"
for figure in curves_busi pareto heat_map defenses_busi_unet leak_utility panel_busi; do
    [ -s sweep/report/$figure.png ] || fail "no $figure.png"
done
same "$(grep -o '<img ' sweep/report/index.html | wc -l)" 6
grep -q 'Table 1' sweep/report/index.html || fail "no tables in the report"

# the clean images elsewhere, and lost
mv data.h5 moved.h5
rm -r sweep/report
expect 0 "$python" -W error "$analysis/report.py" sweep
[ ! -e sweep/report/panel_busi.png ] || fail "a panel without clean images"
expect 0 "$python" -W error "$analysis/report.py" sweep --clean busi=moved.h5
[ -s sweep/report/panel_busi.png ] || fail "no panel of images that moved"
