#!/usr/bin/env bash
# runner.sh - the test runner must not be able to pass what failed: each way to fail is run once and has to turn it red.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 3
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export PM_TEST_LOGS=$dir/logs PM_TEST_TIMEOUT_S=1
passed=0 failed=0

program() { # name, body: a stand-in for a test binary of the release build
    mkdir -p "$dir/release/tests"
    printf '#!/bin/bash\n%s\n' "$2" >"$dir/release/tests/test_$1"
    chmod +x "$dir/release/tests/test_$1"
}
expect() { # what, exit status, text in the output, programs
    local what=$1 status=$2 text=$3 got out
    shift 3
    out=$(tests/run.sh "${@/#/$dir/release/tests/test_}" 2>/dev/null)
    got=$?
    if [[ $got -eq $status && $out == *"$text"* ]]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAIL %s: exit %d, want %d with "%s"; it said:\n%s\n' "$what" "$got" "$status" "$text" "$out"
    fi
}

program good 'echo "3 passed, 0 failed"'
program skips 'echo "skip greedy: no model"; echo "2 passed, 0 failed, 1 skipped"'
program counts_failure 'echo "3 passed, 1 failed"; exit 0'
program exits_1 'echo "3 passed, 0 failed"; exit 1'
program crashes 'echo "3 passed, 0 failed"; kill -SEGV $$'
program hangs 'echo "3 passed, 0 failed"; sleep 30'
program is_mute 'exit 0'
program runs_nothing 'echo "0 passed, 0 failed"'
program reads_stdin 'read -r line; echo "$((1 - $?)) passed, 0 failed"'

expect 'all good' 0 $'\n6 passed, 0 failed' good good
expect 'a skip is told with its reason' 0 'test_skips (release): greedy: no model' good skips
expect 'a skip is counted' 0 '5 passed, 0 failed, 1 skipped' good skips
expect 'a failure counted with exit 0' 1 '6 passed, 1 failed' counts_failure good
expect 'exit 1 with no failure counted' 1 'exit 1 without a failed check' exits_1 good
expect 'a crash after the last line' 1 'killed by signal 11' crashes good
expect 'no end' 1 'no end after 1 s' hangs good
expect 'no last line' 1 "no line 'N passed, N failed'" is_mute good
expect 'nothing passed' 1 '0 passed, 0 failed' runs_nothing
expect 'a program that is not there' 1 '3 passed, 1 failed' good nonesuch
expect 'no programs at all' 1 ''
expect 'stdin is closed to tests' 1 '0 passed' reads_stdin

echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
