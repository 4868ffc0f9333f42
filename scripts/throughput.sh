#!/usr/bin/env bash
# throughput.sh - what running side by side gives: the same two runs one after the other (one thread each), both at once (one thread each), and one after
# the other with two threads each; interleaved, forwards and backwards in turn, so that a drift of the machine falls on all three.
#
#   scripts/throughput.sh [ROUNDS]     default 3; PM_MODEL, PM_TASK, PM_STEPS choose another job (default smollm2-135m, arc_easy, 30)
#
# Prints seconds of each turn and, as medians over rounds with their range: runs per hour of two at once over one at a time (asked: at least 1.9), and over two
# threads (asked: at least 1). Wants a quiet machine of two cores or more.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/build/release/peftmeter
rounds=${1:-3}
model=${PM_MODEL:-smollm2-135m} task=${PM_TASK:-arc_easy} steps=${PM_STEPS:-30}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

train() { # seed, threads
    "$bin" run --model "$model" --task "$task" --method lora --seed "$1" --threads "$2" --set train.steps="$steps" --set eval.limit=40 \
        --db "$dir/$1.db" --quiet >/dev/null
}
# Both runs are the same in every turn.
apart() { train 1 1 && train 2 1; }
beside() {
    train 1 1 &
    train 2 1
    wait $!
}
wide() { train 1 2 && train 2 2; }
turn() { # name
    local start end
    start=$(date +%s.%N)
    "$1"
    end=$(date +%s.%N)
    awk -v n="$1" -v s="$start" -v e="$end" 'BEGIN { printf "%s %.2f\n", n, e - s }' | tee -a "$dir/round"
}
ratios() { # of what, over what: one a round
    awk -v a="$1" -v b="$2" '{ s[$1] = $2 } END { print s[a] / s[b] }' "$dir/round" >>"$dir/$1"
}
summary() { # name, words
    sort -n "$dir/$1" | awk -v w="$2" '{ x[NR] = $1 } END { printf "%s: %.3f (%.3f..%.3f over %d rounds)\n", w, NR % 2 ? x[(NR + 1) / 2] : (x[NR / 2] + x[NR / 2 + 1]) / 2, x[1], x[NR], NR }'
}
train 1 1 # the weights are in the cache from here on
for ((i = 0; i < rounds; i++)); do
    : >"$dir/round"
    order=(apart beside wide)
    ((i % 2)) && order=(wide beside apart)
    for t in "${order[@]}"; do turn "$t"; done
    ratios apart beside
    ratios wide beside
done
summary apart 'runs per hour, two at once over one at a time'
summary wide 'runs per hour, two at once over two threads each'
