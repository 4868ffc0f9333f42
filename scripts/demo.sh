#!/usr/bin/env bash
# demo.sh - the main job on real input, in a few minutes: SmolLM2-135M is fine-tuned on a slice of ARC-Easy in full and with LoRA, each is tested on
# questions it has not seen, and the two runs are compared item by item. Everything goes into results/demo.db.
#
# DEMO_STEPS and DEMO_ITEMS change the size; the estimate follows, measured on this machine by two steps of the real thing.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=build/release/peftmeter
db=results/demo.db
steps=${DEMO_STEPS:-40} items=${DEMO_ITEMS:-200} batch=8
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

say() { printf '\n%s\n' "$*"; }
run() { # method, further options
    "$bin" run --model smollm2-135m --task arc_easy --method "$1" --set train.batch=$batch --set train.steps="$steps" \
        --set eval.split=validation --set eval.limit="$items" --db "$db" "${@:2}"
}
number() { # key, JSON on stdin: its first number
    grep -oE "\"$1\": *[0-9.eE+-]+" | head -n 1 | sed 's/.*: *//'
}

"$bin" models fetch smollm2-135m
"$bin" data fetch arc_easy
mkdir -p results

# A row of ARC-Easy has 31 tokens (question and right answer), an evaluated one 44 (question once, and all options): the mean of the
# whole file under SmolLM2's tokenizer. Full fine-tuning multiplies 6MNK a step where LoRA, its base frozen, needs 4; scoring needs 2.
rate=$(run lora --set train.steps=2 --set eval.split=none --db "$scratch/probe.db" --quiet --json | number tokens_per_s)
seconds=$(awk -v r="$rate" -v s="$steps" -v b=$batch -v n="$items" 'BEGIN { printf "%d", (s * b * 31 * (1 + 1.5) + 2 * n * 44 / 2) / r + 10 }')
say "This machine trains $(printf %.0f "$rate") tokens/s with LoRA: two runs of $steps steps, each tested on $items questions, take about $(((seconds + 59) / 60)) min."

say "1/2  full: every weight is trained"
run full --set optim.lr=2e-5
say "2/2  lora: a rank-16 update beside every projection, the weights stay as they are"
run lora --set method.rank=16 --set optim.lr=2e-4
