#!/usr/bin/env bash
# forgetting.sh - eval.probe: what is measured, when it is exactly 0, what it does not depend on, and what of it a sweep does and foresees.
source "$(dirname "$0")/lib.bash"
if ! command -v sqlite3 >/dev/null; then
    printf 'skip forgetting: the sqlite3 shell is not installed (make deps)\n0 passed, 0 failed, 1 skipped\n'
    exit 0
fi
db=$dir/runs.db probe=tests/golden/forgetting/rows.jsonl
ask() { sqlite3 "$db" "$1"; }
same() { # what, got, want
    [[ "$2" == "$3" ]] && ok || bad "$1: '$2', want '$3'"
}
measure() { # method, further settings
    local set=()
    for s in "${@:2}"; do set+=(--set "$s"); done
    run run --method "$1" --threads 1 --set eval.limit=20 --set train.batch=4 "${set[@]}" --db "$db" --json
    [[ $status -eq 0 ]] && ok || bad "run $*: exit $status: $(cat "$dir/err")"
}
value="SELECT printf('%.17g', value) FROM metrics WHERE split = 'probe' AND run_id"

# The base model's number is the base model's, whatever is trained on it and how; three metrics and a phase of their own.
measure lora train.steps=2 eval.probe=$probe
measure full train.steps=3 seed=5 train.batch=16 train.max_len=24 eval.limit=0 optim.lr=1e-3 eval.probe=$probe
measure loreft train.steps=2 eval.probe=$probe eval.split=test
same 'one number before' "$(ask "SELECT count(*) || ' ' || count(DISTINCT value) FROM metrics WHERE name = 'cross_entropy_before'")" '3 1'
same 'after less before' "$(ask "SELECT count(*) FROM metrics f JOIN metrics a USING (run_id, split, version, n) JOIN metrics b USING (run_id, split, version, n)
    WHERE f.name = 'forgetting' AND a.name = 'cross_entropy_after' AND b.name = 'cross_entropy_before' AND f.value = a.value - b.value AND f.value <> 0 AND f.stderr > 0 AND n = 225")" 3
same 'a phase of its own' "$(ask "SELECT count(*) FROM phases WHERE phase = 'forgetting' AND wall_s > 0 AND peak_rss_bytes > 0")" 3
grep -q '"split":.*"probe"' "$dir/out" && ok || bad 'run --json does not have the metrics'
# Methods whose base is read before training and others begin it alike: what came before is in the memory of none.
same 'heaps differ by less than 4 MiB' "$(ask "SELECT max(bytes) - min(bytes) < 4 << 20 FROM memory WHERE category = 'heap'")" 1

# A learning rate of 0 leaves the adapter the identity: it forgets nothing, to the bit. So does the untuned model.
measure lora train.steps=1 optim.warmup_steps=1 eval.probe=$probe
same 'a trained identity forgets nothing' "$(ask "$value = 4 AND name = 'forgetting'")" 0
run eval --set threads=1 --set eval.probe=$probe --limit 20 --db "$db" --json
same 'the untuned model forgets nothing' "$(ask "$value = 5 AND name = 'forgetting'")" 0

# Without a probe nothing is measured, and the run's key is what it would be anyway; with one it is another run.
measure lora train.steps=1 optim.warmup_steps=1
same 'no probe, no metrics' "$(ask "SELECT count(*) FROM metrics WHERE run_id = 6 AND split = 'probe'")$(ask "SELECT count(*) FROM phases WHERE run_id = 6 AND phase = 'forgetting'")" 00
same 'a run of its own' "$(ask 'SELECT count(DISTINCT run_key) FROM runs WHERE id IN (4, 6)')" 2

# What is no probe, and where no base is left to compare with.
tiny=(--model models/tiny --task tiny_facts --set train.steps=1)
refuses 2 'eval.probe: tiny_facts is of kind choice, not a text' run "${tiny[@]}" --method lora --set eval.probe=tiny_facts --db "$db"
refuses 2 'a file may hold test data' run "${tiny[@]}" --method lora --set eval.probe=$probe --lock-test --db "$db"
refuses 3 'is outside the model'"'"'s vocabulary of 97' run --model tests/golden/models/llama_tied --task tests/golden/train/rows.jsonl \
    --method lora --set train.steps=1 --set eval.probe=$probe --db "$db"
run run --method full --threads 1 --set train.steps=1 --set eval.split=none --adapter-out "$dir/full" --db "$dir/full.db" --quiet
refuses 2 'nothing is left to compare with' run "${tiny[@]}" --set eval.probe=$probe --adapter-in "$dir/full" --db "$db"

# A sweep: final runs measure it, trials do not; the forecast of a final run has the probe's time.
cat >"$dir/plan.json" <<PLAN
{"name": "probe", "models": ["models/tiny"], "tasks": ["tiny_facts"], "seeds": [0, 1], "baseline": true,
 "config": {"train.steps": 5, "train.batch": 4, "eval.limit": 20, "eval.probe": "tiny_text"},
 "search": {"optim.lr": {"grid": [1e-3, 1e-2]}}, "tuning": {"trials": 2}, "methods": ["lora"]}
PLAN
db=$dir/sweep.db
run sweep "$dir/plan.json" --db "$db" --dry-run --json
foreseen() { sqlite3 :memory: "SELECT round(avg(json_extract(value, '\$.wall_s')), 3) FROM json_each(readfile('$dir/out'), '\$.runs') WHERE json_extract(value, '\$.label') = 'lora' AND json_extract(value, '\$.stage') = '$1'"; }
final=$(foreseen final) tune=$(foreseen tune)
awk "BEGIN { exit !($final > 1.5 * $tune) }" && ok || bad "foreseen: $final s of a final run, $tune s of a trial"
sed -i "s|tiny_text|$probe|" "$dir/plan.json"
run sweep "$dir/plan.json" --db "$db" --quiet
same 'the sweep' "$status" 0
same 'final runs measure it, trials do not' "$(ask "SELECT group_concat(x, ' ') FROM (SELECT stage || count(DISTINCT r.id) || '/' || count(m.value) AS x
    FROM sweep_runs s JOIN runs r ON r.id = s.run_id LEFT JOIN metrics m ON m.run_id = r.id AND m.name = 'forgetting' GROUP BY stage ORDER BY stage)")" 'final3/3 tune2/0'
run sweep "$dir/plan.json" --db "$db"
grep -q '5 there already' "$dir/out" "$dir/err" && ok || bad "the second time: $(cat "$dir/out" "$dir/err")"
finish
