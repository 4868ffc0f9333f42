#!/usr/bin/env bash
# demo.sh - `make demo` end to end, smaller: says how long it takes, trains, and leaves three finished runs that compare.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 3
if [[ -z ${PEFTMETER_TEST_GGUF:-} || -z ${PEFTMETER_TEST_DATA:-} ]]; then
    printf 'skip the demo: SmolLM2 or the data is not in the cache\n0 passed, 0 failed, 1 skipped\n'
    exit 0
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
check() { # what, command
    if "${@:2}" >/dev/null 2>&1; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAIL $1"
    fi
}
says() { grep -qE -- "$1" <<<"$out"; }

out=$(DEMO_STEPS=2 DEMO_ITEMS=6 DEMO_DB=$dir/new/demo.db scripts/demo.sh 2>"$dir/err")
status=$?
check "the demo ends well: $(tail -n 3 "$dir/err")" test $status -eq 0
check 'it says how long it takes' says 'about [0-9]+ min'
check 'full trains every weight' says '134515008 trainable parameters'
check 'lora trains rank 16 on all projections' says '4884480 trainable parameters'
check 'the untuned model is compared with lora' says 'A .*none'
check 'full is compared with lora' says 'A .*full'
check 'the same six items were answered by all' test "$(grep -c '6 items answered by both' <<<"$out")" -eq 2
echo "$passed passed, $failed failed"
[[ $failed -eq 0 ]]
