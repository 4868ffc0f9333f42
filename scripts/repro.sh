#!/usr/bin/env bash
# repro.sh - the whole of ARC-Easy on SmolLM2-135M: the untuned model, then one epoch of every method at its own default learning rate, each tested
# once on all 2,376 questions and compared with the untuned model by an exact McNemar test. Into results/repro.db.
#
# One single-threaded run a core: about 12 minutes of a core for each method. What is already in the database is not run again: delete the
# file to start over. METHODS="lora dora" takes some, JOBS=1 one at a time, REPRO_DB another place.
set -euo pipefail
cd "$(dirname "$0")/.."
export bin=build/release/peftmeter db=${REPRO_DB:-results/repro.db}
methods=${METHODS:-$("$bin" methods --json | sed -n 's/.*"name":[[:space:]]*"\([a-z0-9]*\)".*/\1/p')}

"$bin" models fetch smollm2-135m
"$bin" data fetch arc_easy
mkdir -p "$(dirname "$db")"

one() {
    local common=(--model smollm2-135m --task arc_easy --db "$db" --set threads=1)
    [[ -f $db && $(sqlite3 "$db" "SELECT count(*) FROM runs WHERE method = '$1' AND status = 'ok'") -gt 0 ]] && return
    if [[ $1 == none ]]; then "$bin" eval "${common[@]}" --split test
    else "$bin" run "${common[@]}" --method "$1" --set train.epochs=1 --set eval.split=test; fi
}
export -f one
one none # alone, so that the database is there when the others come
xargs -n 1 -P "${JOBS:-$(nproc)}" bash -c "one \"\$1\"" _ <<<"$methods"
for method in $methods; do "$bin" compare none "$method" --split test --db "$db"; done
