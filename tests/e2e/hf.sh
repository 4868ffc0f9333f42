#!/usr/bin/env bash
# hf.sh - result files of Hugging Face PEFT's method_comparison on the command line: runs that were really made go out and come back, and a folder with bad
# files gives the good ones. What each field means is tests/test_hf_results.c's.
source "$(dirname "$0")/lib.bash"

own=$dir/own.db theirs=$dir/theirs.db files=$dir/files
for method in lora svf; do
    run run --method $method --threads 1 --set train.steps=4 --set eval.limit=40 --set eval.split=test --db "$own" --quiet
    [[ $status -eq 0 ]] && ok || bad "$method: $(cat "$dir/err")"
done
refuses 3 'No such file' export --hf-results "$files" --db "$dir/none.db"
run eval --set threads=1 --set eval.limit=40 --set eval.split=test --db "$own" --quiet
expect 0 '2 result files; 1 run left out' export --hf-results "$files" --db "$own"
names=$(cd "$files" && printf '%s ' * | sed -E 's/-[0-9a-f]{8}\.json/-KEY.json/g')
[[ $names == 'lora--tiny-tiny_facts-seed0-KEY.json svf--tiny-tiny_facts-seed0-KEY.json ' ]] && ok || bad "files: $names"
refuses 2 'is not empty' export --hf-results "$files" --db "$own"
expect 0 '2 result files' export --hf-results "$files" --db "$own" --force
json export --hf-results "$dir/again" --db "$own" --json

# Into the database they came from: they are there. Into another and out again, merged on the way: the same bytes.
expect 0 '0 runs imported, 2 there already, 0 files not taken' import --hf-results "$files" --db "$own"
expect 0 '2 runs imported, 0 there already, 0 files not taken' import --hf-results "$files" --db "$theirs"
expect 0 '0 runs imported, 2 there already, 0 files not taken' import --hf-results "$files"/*.json --db "$theirs"
run merge "$dir/merged.db" "$theirs" "$theirs"
expect 0 '2 result files, 2 of them as imported' export --hf-results "$dir/back" --db "$dir/merged.db"
diff -r "$files" "$dir/back" >"$dir/diff" && ok || bad "there and back: $(head -n 5 "$dir/diff")"

# Bad files are named, each with a hint; the others are taken.
good=("$files"/*.json) mixed=$dir/mixed
mkdir "$mixed"
sed 's/"test accuracy":.*/"test accuracy":	NaN,/' "${good[0]}" >"$mixed/a-nan.json"
sed 's/"experiment_name":.*/"experiment_name":	"x\/y",/' "${good[1]}" >"$mixed/b-good.json"
echo '{}' >"$mixed/c-empty.json"
echo 'no result' >"$mixed/README.md"
expect 3 '1 run imported, 0 there already, 2 files not taken' import --hf-results "$mixed" --db "$dir/mixed.db"
[[ $(grep -c '^peftmeter: ' "$dir/err") -eq 2 && $(grep -c '^hint: ' "$dir/err") -eq 2 ]] && ok || bad "two bad files: $(cat "$dir/err")"
grep -q 'a-nan.json: not valid JSON at line' "$dir/err" && grep -q 'c-empty.json: run_info is missing' "$dir/err" && ok || bad "bad files: $(cat "$dir/err")"
expect 0 'x/y' report --db "$dir/mixed.db"
grep -q '\[-\]' "$dir/out" && ok || bad 'the missing interval is not marked'
json import --hf-results "$mixed/b-good.json" --db "$dir/mixed.db" --json

refuses 3 'No such file' import --hf-results "$dir/none.json" --db "$dir/mixed.db"
mkdir "$dir/none.db.d"
refuses 3 'has no *.json' import --hf-results "$dir/none.db.d" --db "$dir/mixed.db"
refuses 2 'goes with' import --hf-results "$mixed" --from "$mixed"
refuses 2 'goes with' import --db "$own"
refuses 2 'goes with' export --hf-results "$dir/x" --model tiny
refuses 2 '--db' export --model tiny --out "$dir/x" --db "$own"
run eval --set threads=1 --set eval.limit=10 --db "$dir/untuned.db" --quiet
refuses 2 'nothing measured' export --hf-results "$dir/x" --db "$dir/untuned.db"
[[ ! -e $dir/x ]] && ok || bad 'a refused export left a folder'

finish
