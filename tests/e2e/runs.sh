#!/usr/bin/env bash
# runs.sh - whole runs through the command line on a tiny model: what lands in the database, that bits repeat, that an adapter written
# by one run is read by the next, and that a run that fails, diverges or is interrupted is a row with that status.
source "$(dirname "$0")/lib.bash"
if ! command -v sqlite3 >/dev/null; then
    printf 'skip whole runs: the sqlite3 shell is not installed (make deps)\n0 passed, 0 failed, 1 skipped\n'
    exit 0
fi

model=tests/golden/models/llama_untied rows=tests/golden/train/rows.jsonl db=$dir/r.db
ask() { sqlite3 -cmd '.timeout 10000' "$db" "$1"; }
same() { # what, got, want
    if [[ $2 == "$3" ]]; then ok
    else bad "$1: '$2', want '$3'"
    fi
}
train() { # method, more arguments
    run run --model "$model" --task "$rows" --method "$1" --db "$db" --threads 1 --set train.steps=6 --set train.batch=4 \
        --set eval.split="$rows" --set optim.lr=1e-2 "${@:2}"
}
losses() { ask "SELECT group_concat(printf('%.17g', loss)) FROM (SELECT loss FROM steps WHERE run_id = $1 ORDER BY step)"; }

# One run, whole.
train lora --adapter-out "$dir/adapter" --json
same 'lora run' $status 0
grep -q '"status":.*"ok"' "$dir/out" && ok || bad "no status in --json: $(cat "$dir/out")"
grep -q '"tokens_per_s"' "$dir/out" && grep -q '"peak_rss_bytes"' "$dir/out" && ok || bad 'no speed and memory in --json'
same 'row' "$(ask 'SELECT status, method, seed, trainable_params > 0, length(run_key), length(data_hash), length(model_hash) FROM runs')" \
    'ok|lora|0|1|64|64|64'
same 'steps' "$(ask 'SELECT count(*), min(step), max(step), count(loss), count(grad_norm), sum(label_tokens) < sum(tokens) FROM steps')" '6|0|5|6|6|1'
same 'phases' "$(ask 'SELECT group_concat(phase) FROM phases')" 'certificate,data,load,save,train,validate' # by name
same 'memory' "$(ask 'SELECT group_concat(category), min(bytes) >= 0 FROM memory')" \
    'activations,adapter,data,gradients,heap,optimizer,program,slack,weights,workspace|1' # by name
same 'metrics' "$(ask 'SELECT group_concat(name) FROM (SELECT name FROM metrics ORDER BY name)')" 'nll,ppl'
same 'items' "$(ask 'SELECT count(*) FROM examples')" "$(wc -l <"$rows")"
same 'checks' "$(ask 'SELECT group_concat(name), min(ok), sum(value IS NULL) FROM checks')" 'count,frozen,identity,merged,moves,save_load|1|0' # by name
grep -q '"certificate":.*"6 checks passed"' "$dir/out" && ok || bad 'no certificate in --json'
same 'config is JSON' "$(ask "SELECT json_extract(config, '\$.\"method.rank\"') FROM runs")" 16
same 'forward flops are counted' "$(ask "SELECT value > 0 FROM counters WHERE name = 'flops_forward'")" 1

# The same seed gives the same bits, another one does not; counters are equal, not near.
train lora
train lora --seed 1
same 'same seed, same bits' "$(losses 2)" "$(losses 1)"
[[ $(losses 3) != "$(losses 1)" ]] && ok || bad 'another seed gave the same losses'
same 'same key' "$(ask 'SELECT count(DISTINCT run_key) FROM runs WHERE seed = 0')" 1
same 'same counters' "$(ask 'SELECT group_concat(name || value) FROM counters WHERE run_id = 1')" \
    "$(ask 'SELECT group_concat(name || value) FROM counters WHERE run_id = 2')"

# Rows that are cut are counted and said.
run run --model "$model" --task "$rows" --method lora --db "$dir/cut.db" --set train.steps=1 --set train.max_len=8
same 'cut rows' "$(sqlite3 "$dir/cut.db" "SELECT value > 0 FROM counters WHERE name = 'rows_cut_train'")" 1
grep -q 'training rows cut to train.max_len=8' "$dir/err" && ok || bad 'cut rows are not reported'
same 'none are cut by default' "$(ask "SELECT value FROM counters WHERE run_id = 1 AND name = 'rows_cut_train'")" 0

# Where a run starts is part of what it is.
run run --model "$model" --task "$rows" --method lora --db "$dir/start.db" --set train.steps=1 --adapter-in "$dir/adapter"
run run --model "$model" --task "$rows" --method lora --db "$dir/start.db" --set train.steps=1
same 'another start, another key' \
    "$(sqlite3 "$dir/start.db" 'SELECT count(DISTINCT run_key), count(adapter_hash), min(length(adapter_hash)) FROM runs')" '2|1|64'

# An adapter on disk is the adapter that was trained; the untuned model is another.
nll() { ask "SELECT printf('%.10g', value) FROM metrics WHERE run_id = $1 AND name = 'nll'"; }
run eval --model "$model" --task "$rows" --split "$rows" --db "$db" --adapter-in "$dir/adapter" --set threads=1
same 'eval with the adapter' $status 0
same 'adapter read back' "$(nll 4)" "$(nll 1)"
run eval --model "$model" --task "$rows" --split "$rows" --db "$db" --set threads=1
same 'untuned row' "$(ask 'SELECT method, status FROM runs WHERE id = 5')" 'none|ok'
[[ $(nll 5) != "$(nll 1)" ]] && ok || bad 'the adapter changed nothing'

# Full fine-tuning, gradient accumulation, bf16.
train full --set train.grad_accum=2 --adapter-out "$dir/whole"
same 'full run' "$status|$(ask 'SELECT status, trainable_params = total_params FROM runs WHERE id = 6')" '0|ok|1'
same 'its certificate' "$(ask 'SELECT group_concat(name), min(ok) FROM checks WHERE run_id = 6')" 'count,identity,moves,saved|1'
grep -q 'certificate: 4 checks passed' "$dir/out" && ok || bad 'the summary has no certificate'
train lora --set precision=bf16
same 'bf16 is near fp32, and not it' \
    "$(ask 'SELECT max(abs(a.loss - b.loss) / b.loss) BETWEEN 1e-6 AND 2e-2 FROM steps a JOIN steps b USING (step) WHERE a.run_id = 7 AND b.run_id = 1')" 1
train lora --set backend=openblas
same 'backends agree' \
    "$(ask 'SELECT max(abs(a.loss - b.loss) / b.loss) < 1e-5 FROM steps a JOIN steps b USING (step) WHERE a.run_id = 8 AND b.run_id = 1')" 1

# Validation during training: a curve, in the evaluation's phase, that changes no loss; never on test.
train lora --set eval.every=2
same 'curve' "$(ask 'SELECT group_concat(step) FROM (SELECT step FROM curve WHERE run_id = 9 AND name = '"'nll'"' ORDER BY step)')" '2,4,6'
same 'the last point is the final metric' "$(ask "SELECT printf('%.10g', value) FROM curve WHERE run_id = 9 AND step = 6 AND name = 'nll'")" "$(nll 9)"
same 'watching changes nothing' "$(losses 9)" "$(losses 1)"
same 'nor the peaks' "$(ask "SELECT bytes FROM memory WHERE run_id = 9 AND category = 'activations'")" \
    "$(ask "SELECT bytes FROM memory WHERE run_id = 1 AND category = 'activations'")"
refuses 2 'eval.every' run --model "$model" --task "$rows" --method lora --db "$db" --set train.steps=1 --set eval.every=1 --set eval.split=test

# A run goes on from an adapter as it was: with its rank and alpha.
train lora --set method.rank=4 --set method.alpha=64 --adapter-out "$dir/other"
train lora --adapter-in "$dir/other"
other=$(ask 'SELECT max(id) FROM runs')
same 'settings of --adapter-in' "$(ask "SELECT json_extract(config, '\$.\"method.rank\"', '\$.\"method.alpha\"') FROM runs WHERE id = $other")" '[4,64]'

same 'no claim about the start of another' "$(ask "SELECT group_concat(name) FROM checks WHERE run_id = $other")" 'count,frozen,merged,moves,save_load'

# A method that acts on prompts is held to that. Without a place for the certificate's files nothing is trained in vain.
train loreft
same 'prompt positions' "$(ask "SELECT group_concat(name), min(ok) FROM checks WHERE run_id = $other + 1")" \
    'acts,count,frozen,moves,not_identity,prompt_only,save_load|1'
echo '{"input_ids":[1,2,3],"labels":[-100,2,3],"prompt_len":1}' >"$dir/promptless.jsonl"
refuses 2 'no training row has a prompt' run --model "$model" --task "$dir/promptless.jsonl" --method loreft --db "$dir/tmp.db" --set train.steps=1
TMPDIR=$dir/no_folder refuses 3 'TMPDIR' run --model "$model" --task "$rows" --method lora --db "$dir/tmp.db" --set train.steps=1

OMP_THREAD_LIMIT=1 refuses 2 'OMP_THREAD_LIMIT' run --model "$model" --task "$rows" --method lora --db "$dir/limit.db" --set train.steps=1 --threads 2

# Bad runs are rows.
last() { ask 'SELECT status, error IS NOT NULL FROM runs ORDER BY id DESC LIMIT 1'; }
train full --set optim.lr=1000 --set optim.weight_decay=1 --set optim.clip=0 --set train.steps=60
same 'diverged' "$status|$(last)" '1|diverged|1'
grep -q 'lower optim.lr' "$dir/err" && ok || bad 'divergence without a hint'
echo '{"input_ids":[1,2,999999],"labels":[-100,2,3],"prompt_len":1}' >"$dir/out_of_vocabulary.jsonl"
refuses 3 'outside the model' run --model "$model" --task "$dir/out_of_vocabulary.jsonl" --method lora --db "$db" --set train.steps=1 --set eval.split=none
same 'bad ids' "$(last)" 'failed|1'
echo '{"input_ids":[1,2,3],"labels":[-100,2,9999999],"prompt_len":1}' >"$dir/label.jsonl"
refuses 3 'label 9999999 is outside the model' run --model "$model" --task "$dir/label.jsonl" --method lora --db "$db" --set train.steps=1 --set eval.split=none
refuses 3 'label 9999999 is outside the model' eval --model "$model" --task "$rows" --split "$dir/label.jsonl" --db "$db"
refuses 3 'nowhere' run --model "$dir/nowhere" --task "$rows" --method lora --db "$db" --set train.steps=1
same 'no model' "$(last)" 'failed|1'
refuses 3 'nowhere.jsonl' run --model "$model" --task "$dir/nowhere.jsonl" --method lora --db "$db" --set train.steps=1
same 'no task' "$(last)" 'failed|1'
head -c 5000 "$model/model.safetensors" >"$dir/model.safetensors" && cp "$model/config.json" "$dir"
refuses 3 'model.safetensors' run --model "$dir" --task "$rows" --method lora --db "$db" --set train.steps=1
before=$(ask 'SELECT count(*) FROM runs')
refuses 2 'did you mean' run --model "$model" --task "$rows" --method lora --db "$db" --set trian.steps=1
refuses 2 'method.rank' run --model "$model" --task "$rows" --method lora --db "$db" --set method.rank=0
refuses 2 'more than a plan holds' run --model "$model" --task "$rows" --method lora --db "$db" --set train.steps=1000000000
yes "$(head -n 1 "$rows")" | head -n 3000 >"$dir/many.jsonl" # a million epochs of these overflow an int
refuses 2 'more than a plan holds' run --model "$model" --task "$dir/many.jsonl" --method lora --db "$db" --set train.batch=1 --set train.epochs=1000000
refuses 2 'qq_proj' run --model "$model" --task "$rows" --method lora --db "$db" --set method.targets=qq_proj --set train.steps=1
refuses 2 'did you mean' run --model "$model" --task "$rows" --method lroa --db "$db"
refuses 2 'model: not given' run --task "$rows" --method lora --db "$db"
refuses 3 'adapter' run --model "$model" --task "$rows" --method lora --db "$db" --set train.steps=1 --adapter-in "$dir/no_adapter"
refuses 2 'adapter-out' run --model "$model" --task "$rows" --method lora --db "$db" --set train.steps=1 --adapter-out ''
refuses 3 'rows.jsonl' run --model "$model" --task "$rows" --method lora --db "$db" --set train.steps=1 --adapter-out "$rows"
grep -q 'adapter-out' "$dir/err" && ok || bad "a wrong hint: $(cat "$dir/err")"
same 'a wrong command line leaves no row' "$(($(ask 'SELECT count(*) FROM runs') - before))" 2 # what only the rows could tell
if [[ -w /dev/full ]]; then
    run run --model "$model" --task "$rows" --method lora --db /dev/full --set train.steps=1
    same 'database on a full device' $status 3
fi

# While a run computes, others can write: the lock is held for moments. Ctrl-C or a closed terminal: the step or item ends, what there is
# is stored, the row says cancelled.
others_can_write() { # what
    local got=0
    for _ in {1..20}; do
        sqlite3 -cmd '.timeout 0' "$db" 'BEGIN IMMEDIATE; ROLLBACK' 2>/dev/null && got=$((got + 1))
        sleep 0.02
    done
    ((got > 12)) && ok || bad "$1: others could write $got of 20 times"
}
interrupted() { # signal, table, where work has begun, command
    "$bin" "${@:4}" --quiet 2>"$dir/err" &
    local pid=$!
    for _ in {1..200}; do
        [[ $(ask "SELECT count(*) FROM $3 AND run_id = (SELECT max(id) FROM runs)") -gt 0 ]] && break
        sleep 0.1
    done
    others_can_write "$4"
    kill "-$1" $pid
    wait $pid
    same "$4 interrupted" "$?|$(last)" '1|cancelled|1'
    same "$4: rows until then" "$(ask "SELECT count(*) FROM $2 WHERE run_id = (SELECT max(id) FROM runs)")" \
        "$(sed -nE 's/.*interrupted after [a-z]+ ([0-9]+) of.*/\1/p' "$dir/err")"
    same "$4: a hint" "$(grep -c '^hint: ' "$dir/err")" 1
}
for _ in {1..400}; do cat "$rows"; done >"$dir/many.jsonl"
interrupted INT steps 'steps WHERE true' run --model "$model" --task "$rows" --method full --db "$db" --threads 1 --set train.steps=100000 --set eval.split=none
interrupted HUP examples "phases WHERE phase = 'data'" eval --model "$model" --task "$rows" --split "$dir/many.jsonl" --db "$db" --set threads=1
same 'database' "$(ask 'PRAGMA integrity_check')" ok

finish
