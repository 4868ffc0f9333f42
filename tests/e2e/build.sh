#!/usr/bin/env bash
# build.sh - `regress --build`: what it says of commits that are not there, and of one that does not compile; what it leaves behind. That it finds
# slow kernels is scripts/regress-trials.sh: minutes a try.
source "$(dirname "$0")/lib.bash"
bin=$PWD/$bin
if ! git rev-parse HEAD >/dev/null 2>&1; then
    printf 'skip build: not a git checkout\n0 passed, 0 failed, 1 skipped\n'
    exit 0
fi
export PEFTMETER_CACHE=$dir/cache PEFTMETER_HOME=$PWD
git() { command git -c user.name=test -c user.email=test@localhost "$@"; }

refused() { # exit code, text in the message, arguments
    local code=$1 text=$2
    shift 2
    run regress "$@"
    if [[ $status -ne $code ]]; then bad "regress $*: exit $status, want $code: $(cat "$dir/err")"
    elif ! grep -qF -- "$text" "$dir/err"; then bad "regress $*: does not say '$text': $(cat "$dir/err")"
    else ok
    fi
}
refused 2 'no such commit here' --base no-such-commit --head HEAD --build
refused 2 '--head is missing' --base HEAD --build

# A repository of its own: its only Makefile prints an error of a compiler and fails.
mkdir -p "$dir/repo/harness"
(
    cd "$dir/repo"
    git init -q .
    : >harness/pace.h
    printf 'build/release/peftmeter:\n\t@seq 100; echo "x.c:1: error: planted"; false\n' >Makefile
    git add -A
    git commit -q -m broken
)
cd "$dir/repo"
refused 3 'x.c:1: error: planted' --base HEAD --head HEAD --build
grep -qE '^peftmeter: build [0-9a-f]{12}: make failed' "$dir/err" && ok || bad "the message: $(cat "$dir/err")"
grep -q '^89$' "$dir/err" && bad 'more than the last lines are printed' || ok
log=$(find "$dir/cache/builds" -name '*.log')
[[ -n $log ]] && grep -qx 1 "$log" && grep -qF "$log" "$dir/err" && ok || bad "the whole output is not where the hint says"
[[ $(git worktree list | wc -l) -eq 1 ]] && ok || bad "work trees are left: $(git worktree list)"
[[ -z $(find "$dir/cache/builds" -name '*.new*' -type d) ]] && ok || bad "a broken build is kept: $(ls "$dir/cache/builds")"

# A build that works, but is older than the tier: a program that knows no --pace.
printf 'build/release/peftmeter:\n\t@mkdir -p build/release/core; echo x > build/release/core/x.o; printf "#!/bin/sh\\necho unknown option --pace >&2; exit 2\\n" > $@; chmod +x $@\n' >Makefile
mkdir -p results && cp "$PEFTMETER_HOME/results/suite.json" results/
git add -A && git commit -q -m old
refused 2 'unknown option --pace' --base HEAD --head HEAD --build
tree=$(find "$dir/cache/builds" -mindepth 1 -maxdepth 1 -type d)
[[ -x $tree/build/release/peftmeter && ! -e $tree/build/release/core && ! -e $tree/.git && -f $tree/results/suite.json ]] && ok ||
    bad "what is kept of a build: $(find "$tree" | head -20)"
[[ $(git worktree list | wc -l) -eq 1 ]] && ok || bad "work trees are left: $(git worktree list)"
printf '\nexit 1\n' >>Makefile && git commit -qam 'would fail' && git checkout -q HEAD~1
refused 2 'unknown option --pace' --base HEAD --head HEAD --build # from the cache: built once
cd "$dir"
refused 2 "peftmeter's own repository" --base HEAD --head HEAD --build
finish
