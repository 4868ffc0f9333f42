#!/usr/bin/env bash
# share.sh - runs beside each other have the base model's weights in memory once: what must be converted (GGUF, bf16) is kept in the cache and mapped by
# all. Numbers are those of a run that converted for itself; a damaged or missing copy is made again.
source "$(dirname "$0")/lib.bash"
if [[ -z ${PEFTMETER_TEST_GGUF:-} || -z ${PEFTMETER_TEST_DATA:-} ]]; then
    printf 'skip shared weights: SmolLM2 or the data is not in the cache\n0 passed, 0 failed, 1 skipped\n'
    exit 0
fi
if ! command -v sqlite3 >/dev/null; then
    printf 'skip shared weights: the sqlite3 shell is not installed (make deps)\n0 passed, 0 failed, 1 skipped\n'
    exit 0
fi
export PEFTMETER_CACHE=$dir/cache
mkdir -p "$PEFTMETER_CACHE"
ln -s "$PEFTMETER_TEST_DATA" "$PEFTMETER_CACHE/data"

losses() { # database: to the bit
    sqlite3 "$1" "SELECT group_concat(printf('%.17g %.17g', loss, grad_norm)) FROM steps; SELECT bytes FROM memory WHERE category = 'weights'"
}
train() { # database
    run run --model "$PEFTMETER_TEST_GGUF" --task arc_easy --method lora --threads 1 --set train.steps=2 --set train.batch=2 --set eval.split=none --db "$1"
    [[ $status -eq 0 ]] && ok || bad "run: $(cat "$dir/err")"
}
kept() { find "$PEFTMETER_CACHE/computed" -name 'weights-*' 2>/dev/null; }
equal() { # what, database
    [[ $(losses "$2") == "$want" ]] && ok || bad "$1: other numbers: $(losses "$2"), want $want"
}

touch "$PEFTMETER_CACHE/computed" # a file: nothing can be kept
train "$dir/alone.db"
want=$(losses "$dir/alone.db")
rm "$PEFTMETER_CACHE/computed"
train "$dir/first.db"
equal 'the run that leaves the weights' "$dir/first.db"
[[ $(kept | wc -l) -eq 1 ]] && ok || bad "kept: $(kept)"
train "$dir/second.db"
equal 'the run that finds them' "$dir/second.db"
printf 'x' | dd of="$(kept)" bs=1 seek=5000000 conv=notrunc status=none
train "$dir/damaged.db"
equal 'the run that finds them damaged' "$dir/damaged.db"

# Full fine-tuning changes its weights, and the file stays as it is.
before=$(cksum <"$(kept)")
run run --model "$PEFTMETER_TEST_GGUF" --task arc_easy --method full --threads 1 --set train.steps=1 --set train.batch=1 --set eval.split=none --db "$dir/full.db"
[[ $status -eq 0 && $(cksum <"$(kept)") == "$before" ]] && ok || bad "full fine-tuning wrote into the kept weights: $(cat "$dir/err")"

# The categories explain what was resident; weights in the file that were converted are not resident a second time.
for db in alone first second full; do
    [[ -z $(unexplained "$dir/$db.db") ]] && ok || bad "memory is not explained: $(unexplained "$dir/$db.db")"
done

# Two workers of a sweep at once: the sum of their proportional shares of the mapping is its size, once.
cat >"$dir/plan.json" <<PLAN
{"name": "share", "models": ["$PEFTMETER_TEST_GGUF"], "tasks": ["arc_easy"], "seeds": [0, 1], "final": "validation",
 "config": {"train.steps": 6, "train.batch": 4, "eval.limit": 8}, "methods": ["lora"]}
PLAN
"$bin" sweep "$dir/plan.json" --db "$dir/share.db" --jobs 2 --quiet >"$dir/out" 2>"$dir/err" &
sweep=$!
share() { # kB of Pss, and of Rss, of the mappings of the kept weights in a process
    awk '/^[0-9a-f]+-/ { ours = /computed\/weights-/ } ours && /^Pss:/ { p += $2 } ours && /^Rss:/ { r += $2 } END { print p + 0, r + 0 }' "/proc/$1/smaps" 2>/dev/null
}
size=$(($(stat -Lc %s "$(kept)") / 1024)) best='' # the moment at which both have touched the most
for _ in $(seq 200); do
    kill -0 "$sweep" 2>/dev/null || break
    mapfile -t workers < <(pgrep -P "$sweep")
    if [[ ${#workers[@]} -eq 2 ]]; then
        a=$(share "${workers[0]}") b=$(share "${workers[1]}")
        if [[ ${a#* } -gt $((size * 9 / 10)) && ${b#* } -gt $((size * 9 / 10)) ]]; then
            best="$((${a% *} + ${b% *})) $((${a#* } + ${b#* }))"
            break
        fi
    fi
    sleep 0.1
done
wait "$sweep"
[[ $? -eq 0 ]] && ok || bad "sweep: $(cat "$dir/err")"
if [[ -z $best ]]; then bad 'two workers with the weights mapped were never seen'
else
    echo "kept weights: $size kB; two workers hold ${best#* } kB of it, ${best% *} kB in proportion"
    [[ ${best% *} -lt $((size * 11 / 10)) ]] && ok || bad "the weights are in memory more than once: ${best% *} kB in proportion, the file has $size"
    [[ ${best#* } -gt $((size * 18 / 10)) ]] && ok || bad "the workers do not both use them"
fi
finish
