#!/usr/bin/env bash
# demo.sh - `make demo` end to end: the sweep, the table (its structure is golden, its numbers repeat to the bit), the page; and the demo on
# SmolLM2, smaller, when the model and the data are there.
source "$(dirname "$0")/lib.bash"
if ! command -v sqlite3 >/dev/null; then
    printf 'skip the demo: the sqlite3 shell is not installed (make deps)\n0 passed, 0 failed, 1 skipped\n'
    exit 0
fi
skipped=0
check() { # what, command
    if "${@:2}"; then ok; else bad "$1"; fi
}
says() { grep -qE -- "$1" "$dir/out"; }
ask() { sqlite3 -readonly "$1" "$2"; }
# A table without its numbers, a word a line: what stays is its structure.
structure() { sed -nE '/^Methods by tasks$/,/^ *learning rate:/ p' "$1" | sed -E 's/-?[0-9][0-9,.]*/N/g; s/\] [a-h]{1,8}( |$)/] LETTERS\1/; s/-{4,}/----/; s/ - / N /g' | tr -s ' \n' '\n'; }

scripts_demo() { # out, further environment and arguments
    local out=$1
    shift
    env DEMO_OUT="$out" "$@" >"$dir/out" 2>"$dir/err"
}
start=$SECONDS
scripts_demo "$dir/new/demo" scripts/demo.sh
check "the demo ends well: $(tail -n 3 "$dir/err")" test $? -eq 0
echo "the demo took $((SECONDS - start)) s"
db=$dir/new/demo.db
structure "$dir/out" >"$dir/structure"
[[ -z ${PM_DEMO_GOLDEN:-} ]] || cp "$dir/structure" tests/golden/demo.txt # PM_DEMO_GOLDEN=1 after a change that was meant
check "the table's structure: $(diff "$dir/structure" tests/golden/demo.txt | head -n 20)" cmp -s "$dir/structure" tests/golden/demo.txt
cp "$dir/out" "$dir/first"

# What the issue asks of it: seven methods, each with the same budget and three seeds, all ok; full above 90 %, the untuned model far below.
check 'seven methods, four trials and three seeds each, and the untuned model' \
    test "$(ask "$db" "SELECT count(DISTINCT label) || ' ' || sum(stage = 'tune') || ' ' || sum(stage = 'final') || ' ' || sum(status = 'ok') FROM sweep_runs JOIN runs ON id = run_id")" = '8 28 22 50'
check 'the budget is the same for all' test "$(ask "$db" "SELECT count(DISTINCT n) FROM (SELECT count(*) AS n FROM sweep_runs WHERE stage = 'tune' GROUP BY label)")" = 1
check 'full learns the task, the untuned model does not know it' \
    test "$(ask "$db" "SELECT min(value) > 0.9 FROM metrics JOIN runs ON id = run_id WHERE method = 'full' AND split = 'test' AND name = 'acc'")$(ask "$db" "SELECT max(value) < 0.5 FROM metrics JOIN runs ON id = run_id WHERE method = 'none' AND name = 'acc'")" = 11
over=$(scripts/overhead.sh "$db" | awk '$1 == "all" { print $7 }')
check "of a run all but training steps and evaluation takes $over %, at most 5" test "$(awk -v x="$over" 'BEGIN { print (x > 0 && x <= 5) }')" = 1
check 'test data was read once by each final run' test "$(ask "$db" 'SELECT sum(count) FROM test_reads')" = 22

check "memory is explained: $(unexplained "$db")" test -z "$(unexplained "$db")"

check 'every run has its share of the roofline' test "$(ask "$db" "SELECT count(*) || ' ' || sum(share BETWEEN 0.001 AND 1) FROM
    (SELECT sum(c.value) * 1e-9 / (SELECT sum(wall_s) FROM steps s WHERE s.run_id = r.run_id) / gflops AS share
     FROM roofline r JOIN counters c ON c.run_id = r.run_id AND c.name GLOB 'flops_*' GROUP BY r.run_id)")" = '49 49'

# The page: whole, by itself, with every method and the figures.
page=$dir/new/demo.html
check 'a page' grep -q '</html>' "$page"
check 'the page asks for nothing from elsewhere' test "$(grep -cE '(src|href)="?(https?:|//)|@import|url\([^#]' "$page")" -eq 0
for method in untuned full lora dora svf wegeft loreft direft; do check "the page has $method" grep -q "scope=\"row\">$method<" "$page"; done

if command -v gnuplot >/dev/null; then check 'the page has five figures' test "$(grep -c '<svg' "$page")" -eq 5; fi

# Again: everything is there, and the table has the same bytes.
scripts_demo "$dir/new/demo" scripts/demo.sh
check 'the second time nothing is run' says '0 runs done, 50 there already'
check 'the table is the same' cmp -s <(sed -n '/^Methods by tasks$/,$ p' "$dir/first") <(sed -n '/^Methods by tasks$/,$ p' "$dir/out")

# The tables that results/ keeps are those of this demo: to the byte on a machine that computes alike (the second line says which), elsewhere all but the
# numbers and the letters that hang on them.
scripts/results.sh "$db" "$dir/tables"
outline() { sed -E '2d; s/-?[0-9][0-9,.]*/N/g; s/<sup>[^<]*<\/sup>/<sup>LETTERS<\/sup>/g' "$1"; }
for table in "$dir"/tables/*.md; do
    kept=results/${table##*/}
    if [[ $(sed -n 2p "$table") == "$(sed -n 2p "$kept")" ]]; then
        check "$kept is of other numbers (make results, and read what changed): $(diff "$kept" "$table" | head -n 10)" cmp -s "$kept" "$table"
    else
        echo "$kept was made on another kind of machine: only its outline is compared"
        check "$kept has another outline (make results): $(diff <(outline "$kept") <(outline "$table") | head -n 10)" cmp -s <(outline "$kept") <(outline "$table")
    fi
done

# Another database: the same runs have the same numbers, to the bit.
sed 's/"seeds": .*/"seeds": [1],/; s/"tuning": .*/"tuning": {"trials": 1, "seeds": [0]},/; s/\[1e-3, 3e-3, 1e-2, 3e-2\]/[1e-2]/; s/\[3e-4, 1e-3, 3e-3, 1e-2\]/[3e-3]/; s/\[1e-4, 3e-4, 1e-3, 3e-3\]/[1e-3]/; s/\[1e-2, 3e-2, 1e-1, 3e-1\]/[3e-2]/' \
    datasets/plans/demo.json >"$dir/again.json"
run sweep "$dir/again.json" --db "$dir/again.db" --quiet
numbers="SELECT run_key, printf('%.17g %.17g', sum(loss), sum(grad_norm)), (SELECT group_concat(printf('%s %s %.17g', split, name, value)) FROM metrics m WHERE m.run_id = runs.id),
    (SELECT printf('%.17g', sum(score)) FROM examples x WHERE x.run_id = runs.id) FROM runs JOIN steps ON id = run_id GROUP BY id ORDER BY run_key"
ask "$dir/again.db" "$numbers" >"$dir/again"
ask "$db" "$numbers" >"$dir/before"
join -t'|' -j 1 "$dir/before" "$dir/again" >"$dir/both" # key, three texts of the one, three of the other
check 'at least four runs are in both' test "$(wc -l <"$dir/both")" -ge 4
check 'their numbers are equal to the bit' test -z "$(awk -F'|' '{ for (i = 2; i <= 4; i++) if ($i != $(i + 3)) print }' "$dir/both")"

# SmolLM2: the plan with two methods and a few steps.
if [[ -z ${PEFTMETER_TEST_GGUF:-} || -z ${PEFTMETER_TEST_DATA:-} ]]; then
    echo 'skip the demo on SmolLM2: the model or the data is not in the cache'
    skipped=1
else
    cat >"$dir/small.json" <<'PLAN'
{"name": "demo-smollm2", "models": ["smollm2-135m"], "tasks": ["arc_easy"], "seeds": [0], "baseline": true,
 "config": {"train.steps": 2, "train.batch": 4, "eval.limit": 6}, "methods": ["lora", "svf"]}
PLAN
    scripts_demo "$dir/smollm2" DEMO_PLAN="$dir/small.json" scripts/demo.sh smollm2
    check "the demo on SmolLM2 ends well: $(tail -n 3 "$dir/err")" test $? -eq 0
    check 'it says first how long it takes' test "$(grep -nE 'in all|predicted' "$dir/out" | head -n 1 | cut -d: -f1)" -lt "$(grep -n 'Methods by tasks' "$dir/out" | cut -d: -f1)"
    check 'its page is there' grep -q '</html>' "$dir/smollm2.html"
fi
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
