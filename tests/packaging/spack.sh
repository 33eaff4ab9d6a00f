# Spack's recipe without Spack: spack.sh SOURCE UMED. Its directives run against stand-ins that write down what they say.
set -u
command -v python3 >/dev/null || { echo "skipped: no python3"; exit 77; }
work=$(mktemp -d "${TMPDIR:-/tmp}/umed-spack-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
mkdir "$work/spack"
: >"$work/spack/__init__.py"
cat >"$work/spack/package.py" <<'PY'
import os
said = {"depends_on": [], "version": [], "variant": []}
def keeps(name):
    return lambda *args, **kw: said.setdefault(name, []).append((args, kw))
depends_on, version, variant, conflicts, license, maintainers = map(keeps, "depends_on version variant conflicts license maintainers".split())
def run_after(phase):
    return lambda f: f
def on_package_attributes(**kw):
    return lambda f: f
join_path = os.path.join
class Executable:
    def __init__(self, path): self.path = path
    def __call__(self, *args): said.setdefault("ran", []).append((self.path, args))
class Prefix(str):
    def __getattr__(self, name): return Prefix(os.path.join(self, name))
class CMakePackage:
    prefix, run_tests = Prefix("/prefix"), False
    def define(self, name, value): return f"-D{name}={'ON' if value else 'OFF'}"
    def define_from_variant(self, name, v):
        assert any(a[0] == v for a, _ in said["variant"]), v
        return f"-D{name}=ON"
PY
cat >"$work/check.py" <<'PY'
import os, re, sys
source = sys.argv[1]
sys.dont_write_bytecode = True
import spack.package as spack
code = open(os.path.join(source, "packaging/spack/packages/umed/package.py")).read()
space = {}
exec(compile(code, "package.py", "exec"), space)
umed = space["Umed"]()
top = open(os.path.join(source, "CMakeLists.txt")).read()
found = open(os.path.join(source, "cmake/UmedDependencies.cmake")).read()
for arg in umed.cmake_args():
    name = re.match(r"-D(\w+)=", arg).group(1)
    assert re.search(r"option\(" + name + r"\b", top), f"{name} is no option of CMakeLists.txt"
deps = {re.split(r"[@ +~:]", a[0])[0]: kw for a, kw in spack.said["depends_on"]}
names = {"libjpeg": "libjpeg-turbo", "hdf5-serial": "hdf5", "libcrypto": "openssl"}
for module in re.findall(r"pkg_check_modules\(\w+ REQUIRED IMPORTED_TARGET ([\w-]+)", found):
    assert names.get(module, module) in deps, f"CMake needs {module}, the recipe does not"
assert "mpi" in deps and "hdf5" in deps, deps
cmake = re.search(r"cmake_minimum_required\(VERSION ([\d.]+)", top).group(1)
assert any(a[0] == f"cmake@{cmake}:" for a, _ in spack.said["depends_on"]), f"CMakeLists.txt asks for CMake {cmake}"
project = re.search(r"project\(umed[^)]*VERSION ([\d.]+)", top, re.S).group(1)
assert (project,) in [a for a, _ in spack.said["version"]], f"the project is version {project}"
class Env:
    def set(self, name, value): spack.said[name] = value
umed.setup_run_environment(Env())
assert spack.said["UMED_JOBS"] == "/prefix/share/umed/jobs/slurm", spack.said["UMED_JOBS"]
umed.check_install()
assert spack.said["ran"] == [("/prefix/bin/umed", ("info",))], spack.said["ran"]
PY
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$work python3 "$work/check.py" "$1" || { echo "FAILED: packaging/spack" >&2; exit 1; }
grep -q 'namespace: umed' "$1/packaging/spack/repo.yaml" || { echo "FAILED: repo.yaml" >&2; exit 1; }
