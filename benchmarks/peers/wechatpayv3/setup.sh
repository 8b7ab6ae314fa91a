#!/bin/sh
# Installs the pinned packages into a virtual environment in this folder.
set -eu
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.txt
