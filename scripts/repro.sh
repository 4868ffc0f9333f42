#!/usr/bin/env bash
# repro.sh - the whole of ARC-Easy on SmolLM2-135M: the untuned model, then one epoch each of `full` and `lora` at the methods' own learning
# rates, tested once on all 2,376 questions and compared with the untuned model by exact McNemar tests. Into results/repro.db.
#
# About 25 minutes on 2 cores. What is already in the database is not run again: delete the file to start over.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=build/release/peftmeter db=results/repro.db
common=(--model smollm2-135m --task arc_easy --db "$db")

"$bin" models fetch smollm2-135m
"$bin" data fetch arc_easy
mkdir -p results
have() { [[ -f $db ]] && [[ $(sqlite3 "$db" "SELECT count(*) FROM runs WHERE method = '$1' AND status = 'ok'") -gt 0 ]]; }

have none || "$bin" eval "${common[@]}" --split test
for method in full lora; do
    have $method || "$bin" run "${common[@]}" --method $method --set train.epochs=1 --set eval.split=test
done
for method in full lora; do
    "$bin" compare none $method --split test --db "$db"
done
