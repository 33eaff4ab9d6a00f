# For the hardening tests: NAME.sh UMED PROBE FAULT_LIBRARY ("" where it cannot be preloaded). Builds on e2e/common.sh.
fault=${3:-}
. "$(dirname "$0")/../e2e/common.sh"
long=${UMED_LONG:-0}

# faulty FAULT DIR COMMAND...: runs it with one call on files below DIR going wrong (fault.c). Leaves its exit code in rc.
faulty() {
    (LD_PRELOAD=$fault FAULT=$1 FAULT_DIR=$work/$2 FAULT_COUNT=$work/count "${@:3}" >"$work/out" 2>"$work/err"; exit $?) 2>/dev/null
    rc=$?
}

# draw SEED TRIAL MAX: an integer in [1, MAX], always the same for the same arguments.
draw() { awk -v s="$1" -v t="$2" -v m="$3" 'BEGIN { srand(s * 1000 + t); for (i = 0; i < 5; i++) rand(); print int(rand() * m) + 1 }'; }

# names DIR: every file below it, sorted.
names() { (cd "$1" && find . -type f | sort); }

# Every finished file below DIR is good. A folder without one is fine.
all_good() {
    find "$1" -name '*.h5' | grep -q . || return 0
    expect 0 "$umed" check "$1"
}
