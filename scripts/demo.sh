#!/usr/bin/env bash
# demo.sh - the main job: a sweep from a plan, each method tuned on validation data within the same budget and tested once a seed, then
# the table in the terminal and the whole as one page.
#
#   scripts/demo.sh            the embedded model: no download, little more than a minute of two cores; results/demo.{db,html}
#   scripts/demo.sh smollm2    SmolLM2-135M on ARC-Easy, hours: says first how many; results/demo-smollm2.{db,html}
#
# The same command goes on where it was stopped. DEMO_PLAN and DEMO_OUT (a path without .db) take another plan and place.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=build/release/peftmeter
name=demo${1:+-$1}
plan=${DEMO_PLAN:-datasets/plans/${name//-/_}.json}
out=${DEMO_OUT:-results/$name}

if [[ ${1:-} == smollm2 ]]; then
    "$bin" models fetch smollm2-135m
    "$bin" data fetch arc_easy
    "$bin" sweep "$plan" --db "$out.db" --dry-run
fi
"$bin" sweep "$plan" --db "$out.db"
echo
"$bin" report --db "$out.db" --kind paper
"$bin" report --db "$out.db" --format html --out "$out.html"
printf '\nEvery run, step and answer: %s (SQLite)\nThe page with all tables and figures: %s\n' "$out.db" "$out.html"
