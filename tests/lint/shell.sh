#!/bin/sh
# Usage: shell.sh ROOT. shellcheck has nothing to say about the job scripts and the scripts that run the tests. Exit code 77 without it.
set -u
cd "$1" || exit 2
command -v shellcheck >/dev/null || { echo "skipped: shellcheck is not installed"; exit 77; }
find jobs tests/slurm .ci tests/run.sh tests/deps.sh -type f \( -name '*.sh' -o -name '*.sbatch' -o -name '*.env' -o -name run \) |
    sort | xargs shellcheck -x
