#!/bin/bash
# One data set on a list of hosts, without a scheduler. From the checkout:
#
#   examples/batch/mpirun.sh HOSTS SPEC [--root DIR] [--set KEY=VALUE ...]
#
# HOSTS is a file with a line a host, "name:ranks". The checkout and the data are under the same
# path on all of them, and ssh reaches them without a password. SIGTERM and Ctrl-C end the ranks
# after their current sample; the same command goes on from there.
set -u
if (($# < 2)); then
    echo "mpirun.sh: got '$*'; type: $0 HOSTS SPEC [OPTIONS]" >&2
    exit 2
fi
hosts=$1
shift

bin=${VIRTUAL_ENV:-$PWD/.venv}/bin
export OMP_NUM_THREADS=1
export HDF5_USE_FILE_LOCKING=FALSE # not needed here, and broken on some file systems

stopped=0
trap 'stopped=1; kill -TERM $(jobs -p) 2>/dev/null' TERM INT

# Run a command so that the trap can work, and return its exit code.
step() {
    ((stopped)) && return 4
    "$@" &
    wait $!
    local code=$?
    ((stopped)) || return "$code"
    wait $! # the signal ended the first wait
}

step "$bin/mpiexec" -f "$hosts" "$bin/rekrylov" solve "$@"
code=$?
((code == 0 || code == 3)) || exit "$code" # 3: some samples failed
step "$bin/rekrylov" finalise "$@"
