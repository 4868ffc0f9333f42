#!/usr/bin/env bash
# demo.sh - the main job on real input, in a few minutes: SmolLM2-135M is fine-tuned on a slice of ARC-Easy, in full and with LoRA; both and the
# untuned model answer the same questions that neither has seen; the answers are compared item by item. All of it stays in results/demo.db.
#
# DEMO_STEPS, DEMO_ITEMS and DEMO_DB change the size and the place; the estimate follows, from four steps of the real thing on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=build/release/peftmeter
db=${DEMO_DB:-results/demo.db}
steps=${DEMO_STEPS:-40} items=${DEMO_ITEMS:-200} batch=8
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

say() { printf '\n%s\n' "$*"; }
train() { # method, further options
    "$bin" run --model smollm2-135m --task arc_easy --method "$1" --set train.batch=$batch --set train.steps="$steps" \
        --set eval.split=validation --set eval.limit="$items" "${@:2}"
}

"$bin" models fetch smollm2-135m
"$bin" data fetch arc_easy

# A row of ARC-Easy has 31 tokens (question and right answer), an evaluated one 44 (question once, and all options): means of the whole
# file under SmolLM2's tokenizer. A frozen projection costs 4MNK a training step, a trained one 6, scoring 2: so the untuned model,
# full and LoRA take 3 n 44 / 2 + b s 31 (1.5 + 1) tokens' worth of LoRA's time. Loading and packing: 10 s.
probe=$(steps=4 train lora --set eval.split=none --db "$scratch/probe.db" --quiet --json)
rate=$(grep -oE '"tokens_per_s":[[:space:]]*[0-9.]+' <<<"$probe" | grep -oE '[0-9.]+$')
seconds=$(awk -v r="$rate" -v s="$steps" -v b=$batch -v n="$items" 'BEGIN { print int((3 * n * 44 / 2 + b * s * 31 * 2.5) / r + 10) }')
say "This machine trains ${rate%.*} tokens/s with LoRA. Two runs of $steps steps, and $items questions for each model and the untuned one: about $(((seconds + 59) / 60)) min."

say "1/3  untuned"
"$bin" eval --model smollm2-135m --task arc_easy --split validation --limit "$items" --db "$db"
say "2/3  full: every weight is trained"
train full --db "$db"
say "3/3  lora: a low-rank update beside every projection, the weights stay as they are"
train lora --db "$db"

say "Item by item, in $db:"
"$bin" compare none lora --db "$db"
"$bin" compare full lora --db "$db"
