#!/usr/bin/env bash
# regress.sh - `regress` on runs that were really recorded, and on real faults: a copy of the sources is changed in one place, built (one object
# and the link) and run, and what changed must be named. PM_REGRESS_PLANTS=all plants the slower ones too.
source "$(dirname "$0")/lib.bash"
if ! command -v sqlite3 >/dev/null; then
    printf 'skip regress: the sqlite3 shell is not installed (make deps)\n0 passed, 0 failed, 1 skipped\n'
    exit 0
fi
bin=$PWD/$bin
plan() { # file, name, methods
    cat >"$1" <<PLAN
{"name": "$2", "models": ["models/tiny"], "tasks": ["tiny_facts"], "seeds": [0], "final": "validation",
 "config": {"train.steps": 30, "train.batch": 8, "eval.limit": 200},
 "methods": [$3]}
PLAN
}
lora='{"method": "lora", "config": {"method.rank": 4, "optim.lr": 3e-3}}' svf='{"method": "svf", "config": {"optim.lr": 1e-1}}'
loreft='{"method": "loreft", "config": {"method.rank": 8, "optim.lr": 1e-2}}'
plan "$dir/plan.json" small "$lora, $svf, $loreft"
swept() { # program, database
    "$1" sweep "$dir/plan.json" --db "$2" --quiet 2>"$dir/err" && ok || bad "sweep into $2: $(cat "$dir/err")"
}
base=$dir/base.db head=$dir/head.db
swept "$bin" "$base"
cp "$base" "$head"
exact() { run regress --base "$base" --head "$1" --suite "$dir/plan.json" --junit "$dir/junit.xml"; }
# what, text: the last command found a regression that says so
found() {
    if [[ $status -ne 1 ]]; then bad "$1: exit $status: $(cat "$dir/err")"
    elif ! grep -qE -- "$2" "$dir/out"; then bad "$1: does not say '$2': $(cat "$dir/out")"
    else ok
    fi
}
junit() { # failures wanted, or +: any
    if ! command -v python3 >/dev/null; then return; fi
    python3 tests/junit_check.py "$dir/junit.xml" "$1" >"$dir/said" 2>&1 && ok || bad "JUnit: $(cat "$dir/said")"
}

# Nothing changed.
exact "$head"
[[ $status -eq 0 ]] && ok || bad "no change: exit $status: $(cat "$dir/err")"
junit 0
expect 0 'equal' regress --base "$base" --head "$base" --db "$base"
expect 0 'equal' regress --base 1,2-3 --head 1-3 --db "$base"
json regress --base "$base" --head "$head" --json

# Commits: of the database, by a prefix or a name of git's.
sqlite3 "$head" "UPDATE runs SET commit_id = 'feedfacefeedfacefeedfacefeedfacefeedface', dirty = 1"
expect 0 'of head are of a program with local changes' regress --base "$base" --head "$head@feedface"
if [[ $(sqlite3 "$base" 'SELECT max(commit_id) FROM runs') == $(git rev-parse HEAD 2>/dev/null) ]]; then
    expect 0 'equal' regress --base HEAD --head HEAD --db "$base"
fi
refuses 2 'has no run of commit deadbeef' regress --base "$base" --head deadbeef --db "$head"
grep -q 'recorded commits: feedfacefe' "$dir/err" && ok || bad "an unknown commit: $(cat "$dir/err")"
sqlite3 "$head" "UPDATE runs SET commit_id = (SELECT max(commit_id) FROM runs), dirty = 0"

# Nothing measured is 2, never 0 or 1; what cannot be read is 3.
plan "$dir/none.json" other "$lora"
refuses 2 'nothing measured' regress --base "$base" --head "$head" --suite "$dir/none.json"
plan "$dir/none.json" none ''
refuses 2 'methods' regress --base "$base" --head "$head" --suite "$dir/none.json"
plan "$dir/none.json" small "$lora, $svf, $loreft, \"ia3\""
refuses 2 "3 of the suite's 4 runs" regress --base "$base" --head "$head" --suite "$dir/none.json"
refuses 2 'nothing measured' regress --base "$base" --head 77 --db "$base"
refuses 2 '--head is missing' regress --base "$base"
# Nor is what belongs to another form passed over.
refuses 2 '--scale does nothing without --csv' regress --base "$base" --head "$head" --scale points
refuses 2 '--baseline does nothing with --csv' regress --csv x.csv --row a --value b --when c --base 1 --head 2 --baseline "$dir/plan.json"
refuses 2 '--db does nothing with --build' regress --base HEAD --head HEAD --build --db "$base"
refuses 2 '--csv does nothing with --build' regress --base HEAD --head HEAD --build --csv x.csv
head -c 5000 "$base" >"$dir/cut.db"
refuses 3 'cut.db' regress --base "$base" --head "$dir/cut.db"
refuses 3 'gone.db' regress --base "$dir/gone.db" --head "$head"
sqlite3 "$dir/other.db" ".restore $base" "UPDATE runs SET data_hash = 'x'"
refuses 2 'data_hash' regress --base "$base" --head "$dir/other.db"

# Reviewed numbers: written with a reason, held to, and what explains a difference.
reviewed=$dir/baseline.json
refuses 2 'needs a reason' regress --baseline "$reviewed" --head "$base" --accept ''
expect 0 '0 numbers changed' regress --baseline "$reviewed" --head "$base" --accept 'the first ones'
expect 0 'the first ones' regress --baseline "$reviewed" --head "$head" --suite "$dir/plan.json"
sqlite3 "$head" "UPDATE counters SET value = value + 1 WHERE name = 'gemm_calls' AND run_id = (SELECT id FROM runs WHERE method = 'svf')"
run regress --baseline "$reviewed" --head "$head" --junit "$dir/junit.xml"
found 'against the baseline' '^svf +gemm_calls '
junit 1
expect 0 '1 number changed' regress --baseline "$reviewed" --head "$head" --accept 'one product more'
grep -q '"run":"svf","counter":"gemm_calls"' "$reviewed" && ok || bad "what changed is not in the file: $(head -20 "$reviewed")"
expect 0 'one product more' regress --baseline "$reviewed" --head "$head"
run regress --base "$base" --head "$head"
found 'unexplained' '^svf +gemm_calls '
expect 0 'one product more' regress --base "$base" --head "$head" --baseline "$reviewed"
sqlite3 "$head" "DELETE FROM counters WHERE name = 'allocations' AND run_id = 1"
run regress --base "$base" --head "$head" --baseline "$reviewed"
found 'a counter that is gone' ' allocations +[0-9]+ +none'
sqlite3 "$head" "DELETE FROM runs WHERE method = 'svf'"
run regress --baseline "$reviewed" --head "$head"
found 'a run that is gone' 'Only in base: svf: not there'
cp "$base" "$head"
sqlite3 "$head" "UPDATE runs SET status = 'failed', error = 'it broke' WHERE method = 'lora'"
run regress --base "$base" --head "$head"
found 'a run that failed' 'failed, was ok'
refuses 2 'lora is failed' regress --baseline "$reviewed" --head "$head" --accept 'no'
echo '{"runs": 1}' >"$dir/bad.json"
refuses 3 'bad.json' regress --baseline "$dir/bad.json" --head "$head"

# Another machine: counters and answers are compared, bits are not.
cp "$base" "$head"
sqlite3 "$head" "UPDATE hosts SET fingerprint = 'elsewhere'; UPDATE steps SET loss = loss * 1.0000001; UPDATE memory SET bytes = bytes + 64 WHERE category = 'weights'"
expect 0 'ran on different machines' regress --base "$base" --head "$head"
sqlite3 "$head" "UPDATE memory SET bytes = bytes + 64 WHERE category = 'adapter' AND run_id = 1"
run regress --base "$base" --head "$head"
found 'a byte of an adapter' ' memory_adapter '

# The job to copy: without a baseline nothing was measured, which is no success; then held to it, and to the runs of another commit.
job() { # exit code wanted, what
    (cd "$dir/project" && PEFTMETER=$bin PLAN=$dir/job.json BASELINE=reviewed.json bash "$OLDPWD/docs/ci/regress.sh") >"$dir/out" 2>"$dir/err"
    status=$?
    [[ $status -eq $1 ]] && ok || bad "regress.sh, $2: exit $status, want $1: $(cat "$dir/err")"
}
mkdir "$dir/project"
cat >"$dir/job.json" <<PLAN
{"name": "job", "models": ["$PWD/models/tiny"], "tasks": ["tiny_facts"], "seeds": [0], "final": "validation",
 "config": {"train.steps": 2, "eval.limit": 20}, "methods": [$lora]}
PLAN
job 2 'no baseline'
cmp -s "$dir/project/reviewed.json" "$dir/project/regress/baseline.json" && ok || bad 'regress.sh: the first baseline is not left behind'
job 0 'nothing changed'
cp "$dir/project/regress/head.db" "$dir/project/regress/base.db"
sqlite3 "$dir/project/regress/base.db" "UPDATE counters SET value = value + 1 WHERE name = 'gemm_calls'"
job 0 'a difference that the baseline explains'
sed -i 's/"gemm_calls": /&1/' "$dir/project/reviewed.json"
job 1 'not the reviewed number'

# A history: another commit's runs do not count as done, and keep their place.
history=$dir/history.db
cp "$base" "$history"
sqlite3 "$history" "UPDATE runs SET commit_id = 'feedfacefeedfacefeedfacefeedfacefeedface', dirty = 0, started_at = '2026-01-01T00:00:00.000Z'"
refuses 2 'two commits' report --kind history --db "$history"
run sweep "$dir/plan.json" --db "$history" --quiet --this-commit
[[ "$(sqlite3 "$history" 'SELECT count(*), (SELECT count(*) FROM sweep_runs) FROM runs')" == '6|6' ]] && ok || bad "--this-commit: $(cat "$dir/err")"
sqlite3 "$history" "UPDATE runs SET dirty = 0; UPDATE metrics SET value = value - 0.2 WHERE name = 'acc' AND run_id IN (SELECT id FROM runs WHERE id > 3 AND method = 'svf')"
run sweep "$dir/plan.json" --db "$history" --quiet
[[ "$(sqlite3 "$history" 'SELECT count(*) FROM runs')" == 6 ]] && ok || bad 'without --this-commit a run of another commit is done again'
expect 0 '2 commits' report --kind history --db "$history"
grep -qE '^svf +acc +2 +2 +[0-9.]+ +[0-9.]+ worse ' "$dir/out" && grep -qE '^lora +acc +2 +1 +- ' "$dir/out" && ok || bad "history: $(cat "$dir/out")"
expect 1 'bits' regress --base feedface --head "$(sqlite3 "$history" 'SELECT commit_id FROM runs WHERE id = 6')" --db "$history" --suite small
if command -v gnuplot >/dev/null; then
    run plot --kind history --db "$history" --out "$dir/figures"
    grep -q 'feedfac' "$dir/figures/history.svg" && ok || bad "plot: $(cat "$dir/err")"
fi
refuses 2 '--this-commit' sweep "$dir/plan.json" --db "$history" --this-commit --gather

# Faults in the program. A copy of the tree, its objects included; what is changed is compiled anew.
[[ -e build/release/flags && ${bin%/*} == "$PWD/build/release" ]] || { finish; exit; }
tree=$dir/tree
mkdir -p "$tree/build"
cp -al core models methods harness plots datasets Makefile VERSION scripts "$tree"
cp -al build/release "$tree/build"
planted() { # what, file, sed script: builds the tree with that one change and runs the plan
    cp --remove-destination "$2" "$tree/$2.was"
    sed -i "$3" "$tree/$2" # makes a file of its own
    cmp -s "$2" "$tree/$2" && bad "$1: the fault is not planted"
    make -C "$tree" V=release CC="$(sed -n 's/ -D_POSIX.*//p' build/release/flags)" ${WERROR:+WERROR=1} build/release/peftmeter >"$dir/log" 2>&1 ||
        bad "$1: $(tail -5 "$dir/log")"
    rm -f "$head"
    swept "$tree/build/release/peftmeter" "$head"
    mv -f "$tree/$2.was" "$tree/$2" && touch "$tree/$2"
    exact "$head"
}
planted 'one operation more' core/optim.c 's/    pm_flops_phase(PM_FLOPS_FORWARD);/    pm_flops_add(1);\n&/'
found 'one operation more' '^lora +flops_optimizer +[0-9]+ +[0-9]+ +30'
junit 3
planted '64 KiB more' methods/lora.c 's/    pm_tensor \*y = pm_site_linear(t, s, x);/    pm_arena_recycle(t->arena, pm_arena_alloc(t->arena, 65536, PM_MEM_WORKSPACE), 65536, PM_MEM_WORKSPACE);\n&/'
found '64 KiB more' '^lora +allocated_bytes '
grep -qE '^(svf|loreft) +allocated' "$dir/out" && bad '64 KiB more: another method is named' || ok
planted '64 KiB kept' methods/svf.c 's/^static pm_status attach(.*/&\n    pm_arena_alloc(r->arena, 65536, PM_MEM_ADAPTER);/'
found '64 KiB kept' '^svf +memory_adapter +[0-9]+ +[0-9]+ +65,536'
lost() { grep -A1 "name=\"$1: acc\" classname=\"peftmeter.quality\"" "$dir/junit.xml" | grep -q '<failure'; }
planted 'a wrong sign in the rotation' core/op_orthogonal.c 's/^    negate_and_sign(r, d, b->sign, g);/    for (int64_t i = 0; i < r * d; i++) g[i] = -g[i];\n&/'
found 'a wrong sign in the rotation' '^loreft +bits '
lost loreft && ! lost lora && ! lost svf && ok || bad "a wrong sign in the rotation: $(grep -A8 'Answers' "$dir/out")"
if [[ ${PM_REGRESS_PLANTS:-} == all ]]; then
    planted 'a wrong sign in a factor' core/op_elem.c 's/^            pm_k_colsum(y->rows, y->cols, y->grad, pm_data(t, x), ds);/&\n        if (is_row(n)) for (int64_t i = 0; i < s->cols; i++) ds[i] = -ds[i];/'
    found 'a wrong sign in a factor' '^svf +bits '
    lost svf && ! lost lora && ! lost loreft && ok || bad "a wrong sign in a factor: $(grep -A8 'Answers' "$dir/out")"
fi
finish
