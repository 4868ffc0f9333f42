#!/usr/bin/env bash
# run.sh - runs test programs and scripts one after another and adds them up.
#
#   tests/run.sh build/release/tests/test_arena tests/e2e/readme.sh asan:tests/e2e/cli.sh ...
#
# One line each: ok or FAIL, which build, its counts, its time. A program passes when it exits 0, says `N passed, N failed[, N skipped]`
# on its last line, and N failed is 0; a crash, a timeout, a missing last line or a non-zero exit with no failure counted is one
# failure more. Lines `skip WHAT: WHY` are gathered at the end. The last line is the sum. Exit 1 when anything failed or nothing ran.
#
# `asan:` before a script gives it the program of that build, as PEFTMETER_BIN.
# PM_TEST_TIMEOUT_S (default 900) is the limit of one program; PM_TEST_LOGS keeps whole outputs (default build/test-logs).
# PEFTMETER_TEST_GGUF, PEFTMETER_TEST_DATA: where the real model and the data lie; set here from the cache when they are there.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 3

timeout_s=${PM_TEST_TIMEOUT_S:-900}
logs=${PM_TEST_LOGS:-build/test-logs}
cache=${PEFTMETER_CACHE:-${HOME:-}/.cache/peftmeter}
gguf=$cache/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf
[[ -z ${PEFTMETER_TEST_GGUF:-} && -f $gguf ]] && export PEFTMETER_TEST_GGUF=$gguf
[[ -z ${PEFTMETER_TEST_DATA:-} && -d $cache/data ]] && export PEFTMETER_TEST_DATA=$cache/data
mkdir -p "$logs"

passed=0 failed=0 skipped=0 skips=() broken=()

variant_of() { # build/asan/tests/test_x -> asan
    case $1 in
    */tests/test_*) basename "$(dirname "$(dirname "$1")")" ;;
    *:*) echo "${1%%:*}" ;;
    *) echo e2e ;;
    esac
}
# The counts of the last line, as "P F S"; nothing when there is no such line.
counts() {
    tail -n 1 "$1" | sed -nE 's/^([0-9]+) passed, ([0-9]+) failed(, ([0-9]+) skipped)?$/\1 \2 \4/p'
}
verdict() { # exit status, failed: why it is bad, or nothing
    if [[ $1 -eq 124 || $1 -eq 137 ]]; then echo "no end after $timeout_s s"
    elif [[ $1 -gt 128 ]]; then echo "killed by signal $(($1 - 128))"
    elif [[ -z $2 ]]; then echo "no line 'N passed, N failed' at the end (exit $1)"
    elif [[ $1 -ne 0 && $2 -eq 0 ]]; then echo "exit $1 without a failed check"
    fi
}
run_one() {
    local what=$1 variant name log p f s rc why took start=$EPOCHREALTIME
    variant=$(variant_of "$what") name=$(basename "$what")
    log=$logs/$variant-$name.log
    if [[ $what == *:* ]]; then PEFTMETER_BIN=build/$variant/peftmeter timeout -k 10 "$timeout_s" "${what#*:}"
    else timeout -k 10 "$timeout_s" "$what"; fi </dev/null >"$log" 2>&1
    rc=$?
    took=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    read -r p f s <<<"$(counts "$log")"
    why=$(verdict $rc "${f:-}")
    p=${p:-0} f=${f:-0} s=${s:-0}
    [[ $why ]] && f=$((f + 1))
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    while IFS= read -r line; do skips+=("$name ($variant): ${line#skip }"); done < <(grep '^skip ' "$log")
    printf '%-4s %-28s %-8s %4d passed %3d failed %3d skipped %7s s%s\n' "$([[ $f -eq 0 ]] && echo ok || echo FAIL)" \
        "$name" "$variant" "$p" "$f" "$s" "$took" "${why:+  $why}"
    if [[ $f -ne 0 ]]; then
        broken+=("$what")
        tail -n 40 "$log" | sed 's/^/     | /'
    fi
}

[[ $# -eq 0 ]] && { echo "run.sh: nothing to run" >&2; exit 1; }
for t in "$@"; do run_one "$t"; done
if [[ ${#skips[@]} -gt 0 ]]; then
    echo "skipped:"
    printf '  %s\n' "${skips[@]}"
    [[ ${PEFTMETER_TEST_GGUF:-} && ${PEFTMETER_TEST_DATA:-} ]] || echo "  (\`make fetch-test-data\` gets the model and the data)"
fi
[[ ${#broken[@]} -gt 0 ]] && printf 'failed: %s\n' "${broken[@]}"
echo "$passed passed, $failed failed$([[ $skipped -gt 0 ]] && echo ", $skipped skipped")"
[[ $failed -eq 0 && $passed -gt 0 ]]
