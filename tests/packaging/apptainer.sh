# The image's recipe without apptainer: apptainer.sh SOURCE UMED. What it copies is enough to configure, and the packages of the final
# stage bring every library that the program names.
set -u
source=$1 umed=$2
def=$source/packaging/apptainer/umed.def
work=$(mktemp -d "${TMPDIR:-/tmp}/umed-apptainer-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

# "FROM /src/TO" lines of the first %files
awk '/^%files$/ { on = 1; next } /^%/ { on = 0 } on && NF == 2 { print $1, $2 }' "$def" >"$work/files"
[ -s "$work/files" ] || fail "no %files in $def"
while read -r from to; do
    [ -e "$source/$from" ] || fail "$def copies $from, which does not exist"
    mkdir -p "$work$(dirname "$to")"
    ln -s "$source/$from" "$work$to"
done <"$work/files"
options=$(sed -nE 's/.*cmake -S \/src -B \/build (.*)/\1/p' "$def")
# shellcheck disable=SC2086 # a list of words
cmake -S "$work/src" -B "$work/build" $options >"$work/log" 2>&1 || { tail -n 20 "$work/log"; fail "the copied files do not configure"; }
grep -q tests/deps.sh "$work/files" || fail "the build stage has no tests/deps.sh"

command -v dpkg >/dev/null && command -v readelf >/dev/null || { echo "skipped the libraries: no dpkg or readelf"; exit 77; }
packages=$(awk '/^Stage: final/ { on = 1 } on' "$def" | sed -nE '/apt-get install/,/[^\\]$/p' | tr -s ' \\\n' ' ')
for library in $(readelf -d "$umed" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p'); do
    case $library in
    libc.so.* | libm.so.* | libcuda* | libcublas* | libcudnn* | libnccl* | libasan* | libubsan* | libtsan*) continue ;;
    esac
    file=$(ldd "$umed" | awk -v l="$library" '$1 == l { print $3 }')
    package=$(dpkg -S "$(realpath "$file")" "$file" 2>/dev/null | head -n 1 | cut -d: -f1)
    [ -n "$package" ] || { echo "skipped $library: of no package"; continue; }
    case " $packages " in
    *" $package "*) ;;
    *) fail "the final stage of $def lacks $package, which has $library" ;;
    esac
done
