#!/usr/bin/env bash
# common.sh - the frozen weights of a sweep are in memory once, however many workers compute with them; they compute the same as one run by
# itself; and nothing of them is left when the sweep is killed. Here in bf16, in which every machine prepares a second copy of each weight.
# PM_COMMON_MODEL, PM_COMMON_TASK, PM_COMMON_STEPS: of another model than the embedded one.
source "$(dirname "$0")/lib.bash"
if [[ ! -r /proc/self/smaps || ! -r /proc/$$/task/$$/children ]] || ! command -v sqlite3 >/dev/null; then
    printf 'skip memory in common: no smaps or children in /proc, or no sqlite3 shell (make deps)\n0 passed, 0 failed, 1 skipped\n'
    exit 0
fi
model=${PM_COMMON_MODEL:-models/tiny} task=${PM_COMMON_TASK:-tiny_kind} steps=${PM_COMMON_STEPS:-250}
same() { # what, got, want
    if [[ $2 == "$3" ]]; then ok
    else bad "$1: '$2', want '$3'"
    fi
}
cat >"$dir/plan.json" <<EOF
{"name": "common", "models": ["$model"], "tasks": ["$task"], "seeds": [0, 1], "final": "validation",
 "config": {"precision": "bf16", "train.steps": $steps, "eval.limit": 20}, "methods": ["lora"]}
EOF
# Size, Rss and Pss in kB of what a process has mapped of it for reading.
mapped() {
    awk '/^[0-9a-f]+-[0-9a-f]+ / { ours = /memfd:peftmeter-common|deleted/ && $2 ~ /^r--s/ }
         ours && $1 ~ /^(Size|Rss|Pss):$/ { kb[$1] += $2 } END { print kb["Size:"] + 0, kb["Rss:"] + 0, kb["Pss:"] + 0 }' "/proc/$1/smaps" 2>/dev/null
}
# The sweep's children that do a run.
workers() {
    local all p
    read -r -d '' -a all 2>/dev/null <"/proc/$1/task/$1/children"
    for p in "${all[@]}"; do grep -qz '^--run-id$' "/proc/$p/cmdline" 2>/dev/null && echo "$p"; done
}
# Waits until two of them have mapped as much as each other, and as much as a while before: then leaves $pids, $size, $rss and $pss.
wait_for_two() { # the sweep's process
    local before=none i a b
    for ((i = 0; i < 1200; i++)); do
        read -r -d '' -a pids < <(workers "$1")
        if [[ ${#pids[@]} -eq 2 ]]; then
            read -ra a < <(mapped "${pids[0]}") && read -ra b < <(mapped "${pids[1]}")
            if [[ ${a[0]:-0} -gt 0 && ${a[0]} == "${b[0]:-}" && ${a[0]} == "$before" ]]; then
                size=${a[0]} rss=$((a[1] + b[1])) pss=$((a[2] + b[2]))
                return 0
            fi
            before=${a[0]:-none}
        fi
        kill -0 "$1" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

"$bin" sweep "$dir/plan.json" --db "$dir/s.db" --jobs 2 >"$dir/out" 2>"$dir/err" &
sweep=$!
if wait_for_two $sweep; then ok
else bad 'two workers with the same memory in common were never seen'
fi
echo "in common: $size kB, resident in two workers $rss kB, in memory $pss kB"
((size >= 400)) && ok || bad "only $size kB are in common" # models/tiny has 3,300 kB of projections
((rss >= 2 * size * 95 / 100)) && ok || bad "two workers use $rss kB of twice $size"
((pss <= size * 105 / 100 && pss >= size * 90 / 100)) && ok || bad "$size kB take $pss kB of memory"
wait $sweep
same 'the sweep' $? 0
grep -q 'were in memory once for all workers' "$dir/out" && ok || bad "not said: $(cat "$dir/out")"

# What one run by itself computes and counts.
run run --model "$model" --task "$task" --method lora --seed 1 --threads 1 --set precision=bf16 --set "train.steps=$steps" --set eval.limit=20 --db "$dir/r.db"
same 'a run' "$status" 0
numbers() { # database: of the run with seed 1
    sqlite3 "$1" "SELECT run_key, model_hash FROM runs WHERE seed = 1;
        SELECT step, loss, grad_norm FROM steps JOIN runs ON id = run_id WHERE seed = 1;
        SELECT name, value FROM metrics JOIN runs ON id = run_id WHERE seed = 1 ORDER BY name;
        SELECT category, bytes FROM memory JOIN runs ON id = run_id WHERE seed = 1 AND category NOT IN ('slack', 'data', 'heap', 'program') ORDER BY category;
        SELECT phase, peak_live_bytes FROM phases JOIN runs ON id = run_id WHERE seed = 1 AND phase IN ('load', 'train') ORDER BY phase;
        SELECT name, value FROM counters JOIN runs ON id = run_id WHERE seed = 1 ORDER BY name"
}
same 'steps are there' "$(numbers "$dir/s.db" | wc -l | awk -v n="$steps" '{ print ($1 > n) }')" 1
same 'the same numbers, keys and counts as alone' "$(numbers "$dir/s.db" | cksum)" "$(numbers "$dir/r.db" | cksum)"
for db in s r; do
    same 'memory is explained, in common or not' "$(unexplained "$dir/$db.db")" ''
done

# Killed: the workers end with it, and the memory with them.
TMPDIR=$dir/tmp && mkdir "$TMPDIR" && export TMPDIR
"$bin" sweep "$dir/plan.json" --db "$dir/k.db" --jobs 2 >"$dir/out" 2>"$dir/err" &
sweep=$!
wait_for_two $sweep && ok || bad 'nobody to kill'
{ kill -9 $sweep && wait $sweep; } 2>/dev/null # bash says "Killed"
for ((i = 0; i < 100; i++)); do
    kill -0 "${pids[@]}" 2>/dev/null || break
    sleep 0.1
done
same 'workers that outlive the sweep' "$(for p in "${pids[@]}"; do [[ -e /proc/$p ]] && echo "$p"; done)" ''
same 'files that are left' "$(find "$TMPDIR" -type f)" ''
finish
