#!/bin/sh
# Tests with the lowest versions that src/vinn/setup.cfg allows: a bound is what was tested.
#
# Makes an environment in a temporary folder, installs `vinn` with its extras `ingest` and `report`
# there, every package that setup.cfg names in its lowest allowed version, and runs the suites of
# what they touch. Without ROS, torch and MuJoCo: what needs those is skipped.
#
#   tools/test_lowest.sh                               # or: make test-lowest
#   PYTHON=python3.10 tools/test_lowest.sh             # the robot's Python (default if there is one)
#   LOWEST_WITH='av==15.1.0 numpy<2' tools/test_lowest.sh test/ingest       # others' pins, one suite
set -eu

cd "$(dirname "$0")/.."
python=${PYTHON:-}
for known in python3.10 python3.11; do
    # A version manager has commands that do not run.
    [ -n "$python" ] || ! "$known" -c "" 2>/dev/null || python=$known
done
[ -n "$python" ] || { echo "error: neither python3.10 nor python3.11; set PYTHON" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT INT TERM

"$python" -m venv "$folder/env"
bin=$folder/env/bin
"$bin/python" -m pip install --quiet uv
# Built elsewhere: the checkout stays as it is.
cp -RL src/vinn "$folder/vinn"
# shellcheck disable=SC2086  # LOWEST_WITH is a list
"$bin/uv" pip install --quiet --python "$bin/python" --resolution lowest-direct \
    ${LOWEST_WITH:-} "vinn[ingest,report] @ file://$folder/vinn"
# What the tests need besides may not raise anything of it.
"$bin/uv" pip freeze --python "$bin/python" | grep '==' > "$folder/lowest.txt"
"$bin/uv" pip install --quiet --python "$bin/python" --constraint "$folder/lowest.txt" \
    hypothesis psutil pytest pytest-rerunfailures pytest-timeout scipy
"$bin/uv" pip list --python "$bin/python"

[ $# -gt 0 ] || set -- test/camera test/demos test/encoders test/ingest \
    test/policies test/retrieval test/robot test/rollout test/viz test/web
OMP_NUM_THREADS=1 "$bin/python" -m pytest -p no:cacheprovider -q "$@"
