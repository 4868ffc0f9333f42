#!/usr/bin/env bash
# tiny.sh - the embedded default: a run without a model, how models/tiny was made, and what docs/embedded.md claims of its tasks: untuned
# the model is far below, tuned in full it is above 90 %, and methods differ. One thread; half a minute of a core.
source "$(dirname "$0")/lib.bash"
db=$dir/tiny.db

# Without a model or a task: the embedded ones, and that is said.
run run --method lora --threads 1 --set train.steps=2 --set eval.limit=8 --db "$db" --json
if [[ $status -eq 0 ]] && grep -q 'note: model tiny, task tiny_facts' "$dir/err"; then ok; else bad "the default: $(cat "$dir/err")"; fi
run run --task tiny-kind --method lora --threads 1 --set train.steps=2 --set eval.limit=8 --db "$db"
if [[ $status -eq 0 ]] && grep -q 'note: model tiny, task tiny-kind' "$dir/err"; then ok; else bad "the default model: $(cat "$dir/err")"; fi
expect 0 'validation acc' eval --set threads=1 --limit 8 --db "$db"
refuses 2 'model: not given' run --task arc_easy --method lora --db "$db"
expect 0 'comes with the program' models
expect 0 'models/tiny' models fetch tiny
expect 0 'made by rule' tasks tiny_facts

# Training's peak is training's: an evaluation in the middle of it, which needs far more memory, does not raise it, and all of it is explained.
if command -v sqlite3 >/dev/null; then
    for every in 0 2; do
        run run --method lora --threads 1 --set train.steps=4 --set train.batch=4 --set eval.limit=200 --set eval.every=$every --db "$dir/peak.db"
    done
    peaks=$(sqlite3 "$dir/peak.db" "SELECT count(*), max(abs(train / alone - 1)) < 0.03, min(scored / train) > 1.2 FROM
        (SELECT max(peak_rss_bytes) FILTER (WHERE phase = 'train') * 1.0 AS train, max(peak_rss_bytes) FILTER (WHERE phase = 'validate') AS scored FROM phases GROUP BY run_id),
        (SELECT peak_rss_bytes AS alone FROM phases WHERE run_id = 1 AND phase = 'train')")
    all=$(sqlite3 "$dir/peak.db" "SELECT run_id, phase, peak_rss_bytes FROM phases WHERE phase IN ('train', 'validate')")
    if [[ $peaks == '2|1|1' ]]; then ok; else bad "evaluation is in training's peak: $all"; fi
    if [[ -z $(unexplained "$dir/peak.db") ]]; then ok; else bad "memory is not explained: $(unexplained "$dir/peak.db")"; fi
fi

# How it was made.
expect 0 'the start is equal, the text is equal' pretrain --check models/tiny --first 2
refuses 2 'exclude' pretrain --check models/tiny --out "$dir/x"
refuses 2 '--first' pretrain --check models/tiny --first 100000
refuses 2 'not given' pretrain
run pretrain --out "$dir/other" --seed 1 --set train.steps=2
[[ $status -eq 0 && -s $dir/other/model.safetensors && -s $dir/other/pretrain.json ]] && ok || bad "pretrain: $(cat "$dir/err")"
sed 's/"seed":.*/"seed": 2,/' "$dir/other/pretrain.json" >"$dir/p.json" && mv "$dir/p.json" "$dir/other/pretrain.json"
run pretrain --check "$dir/other" --first 2
[[ $status -eq 1 ]] && ok || bad "a start of another seed passes for the recorded one"

# What the tasks can tell apart: the metric's value, in per mille of the first 400 test items.
score() { # eval or run, arguments
    run "$@" --json --db "$db"
    sed -nE '/"name":.*"(acc|exact_match)"/,/"value"/ s/.*"value":[^0-9]*([0-9.]+).*/\1/p' "$dir/out" | head -n 1 | awk '{ printf "%d", $1 * 1000 }'
}
tuned() { # task, method, steps, lr, more
    score run --task "$1" --method "$2" --threads 1 --set eval.split=test --set eval.limit=400 --set train.batch=16 --set train.steps="$3" \
        --set optim.lr="$4" "${@:5}"
}
between() { # what, least, value, most
    if [[ -n $3 && $3 -ge $2 && $3 -le $4 ]]; then ok; else bad "$1: $3 per mille, want $2 to $4"; fi
}
for task in tiny_kind tiny_facts tiny_tell; do
    between "$task untuned" 0 "$(score eval --task $task --split test --limit 400 --set threads=1)" 450
done
between 'tiny_kind, full' 900 "$(tuned tiny_kind full 100 1e-3)" 1000
between 'tiny_facts, full' 900 "$(tuned tiny_facts full 100 1e-3)" 1000
between 'tiny_tell, full' 900 "$(tuned tiny_tell full 100 1e-3)" 1000
between 'tiny_facts, lora' 900 "$(tuned tiny_facts lora 100 3e-3 --set method.rank=4)" 1000
between 'tiny_facts, loreft' 400 "$(tuned tiny_facts loreft 100 5e-3 --set method.rank=4)" 800

# Test items are about 48 creatures, and the stored standard error is the cluster-robust one.
if command -v sqlite3 >/dev/null; then
    robust=$(sqlite3 -readonly "$db" "WITH c AS (SELECT run_id, count(*) AS m, sum(correct) AS r FROM examples WHERE split = 'test' GROUP BY run_id, cluster),
        t AS (SELECT run_id, count(*) AS k, sum(m) AS n, sum(r) * 1.0 / sum(m) AS g FROM c GROUP BY run_id),
        v AS (SELECT run_id, k, k / (k - 1.0) / n / n * sum((r - m * g) * (r - m * g)) AS v FROM c JOIN t USING (run_id) GROUP BY run_id)
        SELECT count(*) > 5, min(k), max(k), max(abs(stderr * stderr - v)) < 1e-15 FROM v JOIN metrics USING (run_id) WHERE split = 'test' AND name IN ('acc', 'exact_match')")
    [[ $robust == '1|48|48|1' ]] && ok || bad "standard errors over clusters: $robust"
else
    echo 'skip the standard errors over clusters: the sqlite3 shell is not installed (make deps)'
fi
finish
