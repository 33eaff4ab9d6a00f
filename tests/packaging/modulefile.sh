# The module file, installed, under plain Tcl with stand-ins for the commands of Environment Modules: modulefile.sh SOURCE UMED.
set -u
command -v tclsh >/dev/null || { echo "skipped: no tclsh"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/umed-module-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
place=$work/prefix/share/umed/modulefiles/umed
mkdir -p "$place"
cp "$1/packaging/modulefiles/umed" "$place/1.2.3"
cat >"$work/run.tcl" <<TCL
proc module-whatis {text} { puts "whatis \$text" }
proc conflict {name} { puts "conflict \$name" }
proc prepend-path {name value} { puts "prepend \$name \$value" }
proc setenv {name value} { puts "set \$name \$value" }
set ModulesCurrentModulefile $place/1.2.3
source \$ModulesCurrentModulefile
TCL
tclsh "$work/run.tcl" >"$work/said" || { echo "FAILED: the module file does not run" >&2; exit 1; }
grep -qx "prepend PATH $work/prefix/bin" "$work/said" && grep -qx "set UMED_JOBS $work/prefix/share/umed/jobs/slurm" "$work/said" &&
    grep -qx "conflict umed" "$work/said" || { cat "$work/said"; echo "FAILED: the module file says something else" >&2; exit 1; }
