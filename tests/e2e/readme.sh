#!/usr/bin/env bash
# readme.sh - what the README says is run and looked up: the exact text of every command in its ```sh blocks, in order; every target it
# names; every file of its tour. `make` runs in this tree, everything else in a scratch folder that sees it and keeps the results.
#
# Commands that need the real model or the data are skipped, with the reason, while those are not in the cache: then `fetch` would
# be a download, which a test does not start.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 3
top=$PWD
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0 skipped=0
unset MAKEFLAGS MAKELEVEL MFLAGS # this test is run by make; the README's commands are not

for f in *; do [[ $f == results ]] || ln -s "$top/$f" "$dir/$f"; done
mkdir "$dir/results" # as in a fresh clone: the reviewed files, and nobody's databases
ln -s "$top"/results/{README.md,suite.json,baseline.json,metadata.json} "$dir/results"

# Commands, each ended by a NUL: a line, or several while a quote is open.
commands() {
    local command='' line
    while IFS= read -r line; do
        command+=${command:+$'\n'}$line
        bash -n <<<"$command" 2>/dev/null || continue
        [[ $command ]] && printf '%s\0' "$command"
        command=''
    done < <(awk '/^```/ { inside = ($0 == "```sh"); next } inside' README.md)
    [[ -z $command ]] || printf '%s\0' "$command"
}
lacks() { # command: what it needs and is not there
    [[ $1 == *smollm2-135m* && -z ${PEFTMETER_TEST_GGUF:-} ]] && echo "SmolLM2 is not in the cache"
    [[ $1 == *arc_easy* && $1 != *tasks* && -z ${PEFTMETER_TEST_DATA:-} ]] && echo "the data is not in the cache"
    [[ $1 == *compare* && (-z ${PEFTMETER_TEST_GGUF:-} || -z ${PEFTMETER_TEST_DATA:-}) ]] && echo "there are no runs to compare"
}
run_command() {
    local out reason status
    reason=$(lacks "$1" | head -n 1)
    if [[ $reason ]]; then
        skipped=$((skipped + 1))
        echo "skip ${1%%$'\n'*}: $reason"
        return
    fi
    out=$(cd "$([[ $1 == make* ]] && echo "$top" || echo "$dir")" && bash -c "$1" </dev/null 2>&1)
    status=$?
    if [[ $status -eq 0 ]]; then
        passed=$((passed + 1))
        printf 'ok %s\n' "$1"
    else
        failed=$((failed + 1))
        printf 'FAIL %s: exit %d\n%s\n' "$1" "$status" "$(tail -n 15 <<<"$out")"
    fi
}
check() { # what, command: the command must succeed
    if "${@:2}" >/dev/null 2>&1; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "FAIL README names $1, which is not there"
    fi
}

n=0
while IFS= read -r -d '' command; do
    n=$((n + 1))
    run_command "$command"
done < <(commands)
[[ $n -ge 10 ]] || { failed=$((failed + 1)); echo "FAIL only $n commands found in README.md"; }

documents=(README.md CHANGELOG.md docs/*.md)
for target in $(grep -ohE '(^ +|`)make [a-z0-9-]+' "${documents[@]}" | awk '{ print $NF }' | sort -u); do
    check "make $target" grep -qE "^$target:" Makefile
done
for path in $(grep -ohE '[(`](core|models|methods|harness|tests|docs|scripts)/[a-z0-9_/-]+[a-z0-9*](\.[a-z]+)?' "${documents[@]}" | tr -d '`(' | sort -u); do
    check "$path" compgen -G "$path"
done
check "the test command of .ci/run" grep -qx 'make test' .ci/run

echo "$passed passed, $failed failed, $skipped skipped"
[[ $failed -eq 0 ]]
