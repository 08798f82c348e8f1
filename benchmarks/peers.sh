#!/bin/sh
# Make the peers' environment, with normfield in it as it stands here. Can be repeated at no cost.
set -eu
cd "$(dirname "$0")"
PYTHON="${PYTHON:-python3}"
PIP=".venv-peers/bin/python -m pip --quiet --disable-pip-version-check"

[ -x .venv-peers/bin/python ] || "$PYTHON" -m venv .venv-peers
if ! cat peers.txt ../pyproject.toml | cmp -s - .venv-peers/installed; then
  echo "Setting up benchmarks/.venv-peers (once; torch is the largest part) ..." >&2
  $PIP install -r peers.txt
  # Without its dependencies: it asks for torchvision, which nothing here uses.
  $PIP install --no-deps pyhessian==0.1
  $PIP install -e ..
  cat peers.txt ../pyproject.toml > .venv-peers/installed
fi
