#!/bin/sh
# Make the environment of neural-tangents, with normfield in it as it stands here. Can be repeated at no cost.
set -eu
cd "$(dirname "$0")"
PYTHON="${PYTHON:-python3}"
PIP=".venv-jax/bin/python -m pip --quiet --disable-pip-version-check"

[ -x .venv-jax/bin/python ] || "$PYTHON" -m venv .venv-jax
if ! cmp -s jax.txt .venv-jax/installed; then
  echo "Setting up benchmarks/.venv-jax (once; tensorflow, which neural-tangents imports, is the largest part) ..." >&2
  $PIP install -r jax.txt
  # Without its dependencies: the kernels need no torch.
  $PIP install --no-deps -e ..
  cp jax.txt .venv-jax/installed
fi
