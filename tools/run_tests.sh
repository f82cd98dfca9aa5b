#!/usr/bin/env bash
# Run every test: what starts no nodes in two processes side by side, then the tests marked `alone`.
#
#   tools/run_tests.sh PYTHON
#
# The second process's output follows the first one's. Everything runs, whatever fails.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="$1"
# About half of the time is theirs.
beside=(test/evaluation test/workspace)

log="$(mktemp)"
other=
trap '[ -z "$other" ] || kill "$other" 2>/dev/null; rm -f "$log"' EXIT
failed=0
"$python" -m pytest -m 'not alone' "${beside[@]}" >"$log" 2>&1 </dev/null &
other=$!
"$python" -m pytest -m 'not alone' "${beside[@]/#/--ignore=}" || failed=1
wait "$other" || failed=1
other=
cat "$log"
"$python" -m pytest -m alone || failed=1
exit "$failed"
