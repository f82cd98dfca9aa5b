#!/usr/bin/env bash
# Run every test: what holds no clock to account side by side, then the tests marked `alone`.
#
#   tools/run_tests.sh PYTHON [COMMAND...]
#
# Side by side run two processes that share the tests without nodes (test/lanes.py) and one with the
# nodes, whose watchdogs do not wait: the two yield to it. COMMAND, such as the linters, takes the
# first of the two's turn; if it fails, nothing else is awaited. Else everything runs, whatever fails.
# What one process says follows the other's.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="$1"
shift
# Where tests start nodes: quicker than looking at all.
nodes=(test/camera test/demo test/faults test/preflight test/ros)

taken="$(mktemp -d)"
logs="$(mktemp -d)"
running=()
finish() {
    for group in "${running[@]}"; do kill -- "-$group" 2>/dev/null; done
    wait
    rm -rf "$taken" "$logs"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Each in a session of its own, which is what the kernel shares the processors among where it groups
# processes by session; in one session it looks at their nice values.
yielding() {
    exec setsid bash -c 'echo 15 2>/dev/null >/proc/self/autogroup; exec nice -n 19 "$@"' - "$@"
}
lane=(-m pytest -m 'not ros and not alone' "--lane=$taken")
(yielding "$python" "${lane[@]}") >"$logs/lane" 2>&1 </dev/null &
running+=($!)
(exec setsid "$python" -m pytest -m 'ros and not alone' "${nodes[@]}") >"$logs/nodes" 2>&1 </dev/null &
running+=($!)
if (($#)); then
    "$@" </dev/null || exit 1
fi
failed=0
(yielding "$python" "${lane[@]}") </dev/null &
running+=($!)
wait "${running[2]}" || failed=1
wait "${running[0]}" || failed=1
cat "$logs/lane"
wait "${running[1]}" || failed=1
cat "$logs/nodes"
running=()
"$python" -m pytest -m alone "${nodes[@]}" </dev/null || failed=1
exit "$failed"
