#!/bin/bash
# One data set as an array of independent Slurm jobs, with what comes before and after. On the
# login node, from the checkout:
#
#   examples/batch/submit.sh PARTS SPEC [--root DIR] [--set KEY=VALUE ...]
#
# The last job solves what a part may have left over, and finalises. It is the same command again
# that goes on with what is missing.
set -euo pipefail
here=$(dirname "$0")
if (($# < 2)); then
    echo "submit.sh: got '$*'; type: $0 PARTS SPEC [OPTIONS]" >&2
    exit 2
fi
parts=$1
shift

# Submit a job that waits for others, and print its number.
submit() {
    local id
    id=$(sbatch --parsable --kill-on-invalid-dep=yes "$@") || exit
    echo "${id%%;*}" # "number;cluster" where there are several clusters
}

prepare=$(submit "$here/prepare.sbatch" "$@")
array=$(submit --array="1-$parts" --dependency="afterok:$prepare" "$here/array.sbatch" "$parts" "$@")
last=$(submit --dependency="afterok:$prepare,afterany:$array" "$here/generate.sbatch" "$@")
echo "prepare $prepare, $parts parts $array, last $last; to watch: squeue --me"
