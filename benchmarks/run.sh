#!/bin/sh
# Every benchmark, one after another; ends with an error where a limit was missed.
set -u
cd "$(dirname "$0")"
./peers.sh || exit 1
./jax.sh || echo "No neural-tangents beside the kernels: benchmarks/.venv-jax could not be set up." >&2
status=0
for benchmark in start_up largest_eigenvalue peak_memory training_mode spectra kernels linear_models ensemble suggestion monitor; do
  .venv-peers/bin/python "$benchmark.py" || status=1
  echo
done
exit $status
