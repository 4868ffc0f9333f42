#!/usr/bin/env bash
# sweep.sh - sweeps through the command line on a tiny model: what a plan adds to the database and what it finds there, test data that
# tuning cannot reach, and processes that are killed, stopped or interrupted: after the same command again the database is that of a
# sweep nobody disturbed. PM_SWEEP_KILLS=30 tests/e2e/sweep.sh kills at 30 moments; PM_SWEEP_SEED draws other ones.
source "$(dirname "$0")/lib.bash"
if ! command -v sqlite3 >/dev/null; then
    printf 'skip sweeps: the sqlite3 shell is not installed (make deps)\n0 passed, 0 failed, 1 skipped\n'
    exit 0
fi

model=$PWD/tests/golden/models/llama_untied rows=tests/golden/train/rows.jsonl db=$dir/s.db
kills=${PM_SWEEP_KILLS:-8} # moments at which something is killed
RANDOM=${PM_SWEEP_SEED:-1}
ask() { sqlite3 -cmd '.timeout 10000' "$db" "$1"; }
same() { # what, got, want
    if [[ $2 == "$3" ]]; then ok
    else bad "$1: '$2', want '$3'"
    fi
}
sed -n '1,56p' "$rows" >"$dir/train.jsonl"
sed -n '57,76p' "$rows" >"$dir/validation.jsonl"
sed -n '77,96p' "$rows" >"$dir/test.jsonl"
cat >"$dir/rows.json" <<EOF
{"name": "tiny-rows", "version": 1, "cite": "-", "licence": "-", "kind": "tokens",
 "data": {"train": {"file": "train.jsonl"}, "validation": {"file": "validation.jsonl"}, "test": {"file": "test.jsonl"}}}
EOF
# A plan with these seeds, steps and further keys.
plan() { # file, seeds, steps, more
    cat >"$1" <<EOF
{"name": "tiny", "models": ["$model"], "tasks": ["$dir/rows.json"], "seeds": [$2],
 "config": {"train": {"steps": $3, "batch": 4}},
 "search": {"optim.lr": {"log_uniform": [1e-4, 1e-2]}},
 "methods": ["full", {"method": "lora", "config": {"method.targets": ["q_proj", "v_proj"]}, "search": {"method.rank": {"grid": [2, 4]}}}]$4}
EOF
}
trials=', "tuning": {"trials": 2}'
# One sweep, whole; then again; then with more in the plan.
plan "$dir/plan.json" '0, 1' 3 "$trials"
run sweep "$dir/plan.json" --db "$db" --jobs 2
same 'sweep' $status 0
same 'rows' "$(ask "SELECT count(*), sum(status = 'ok'), sum(json_extract(config, '\$.threads') = 1) FROM runs")" '8|8|8'
same 'stages' "$(ask 'SELECT group_concat(stage || n) FROM (SELECT stage, count(*) AS n FROM sweep_runs GROUP BY stage)')" 'final4,tune4'
same 'only the chosen read test data, once a seed' \
    "$(ask "SELECT group_concat(method || count) FROM test_reads")|$(ask "SELECT group_concat(DISTINCT stage) FROM metrics JOIN sweep_runs USING (run_id) WHERE split = 'test'")" 'full2,lora2|final'
same 'trials see validation data' "$(ask "SELECT count(*) FROM metrics JOIN sweep_runs USING (run_id) WHERE stage = 'tune' AND split <> 'validation'")" 0
same 'the best trial is the chosen one' "$(ask "
    SELECT count(*) FROM sweep_runs f WHERE stage = 'final' AND trial <> (SELECT trial FROM sweep_runs t JOIN metrics m USING (run_id)
    WHERE t.stage = 'tune' AND t.label = f.label AND m.name = 'nll' ORDER BY value, trial LIMIT 1)")" 0
story "$db" >"$dir/whole"
json sweep "$dir/plan.json" --db "$db" --json
grep -q '"runs_done":	0' "$dir/out" && grep -q '"runs_found":	8' "$dir/out" && ok || bad "again: $(cat "$dir/out")"
same 'again changes nothing' "$(story "$db" | cksum)" "$(cksum <"$dir/whole")"
plan "$dir/plan.json" '0, 1, 2' 3 "$trials"
json sweep "$dir/plan.json" --db "$db" --json
grep -q '"runs_done":	2' "$dir/out" && grep -q '"runs_found":	8' "$dir/out" && ok || bad "one more seed: $(cat "$dir/out")"
plan "$dir/plan.json" '0' 3 "$trials"
run sweep "$dir/plan.json" --db "$db"
same 'fewer seeds: the runs stay, their place goes' "$status|$(ask 'SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM sweep_runs)')" '0|10|6'
run run --model "$model" --task "$dir/rows.json" --method lora --set method.rank=3 --set train.steps=3 --set train.batch=4 --threads 1 --db "$db"
sed 's/"search": {"method.rank".*}}}\]/"search": {"method.rank": {"grid": [3]}, "optim.lr": {"grid": [3e-4]}}}]/; s/"name": "tiny"/"name": "other"/' "$dir/plan.json" |
    sed 's/"full", //; s/, "config": {"method.targets": \["q_proj", "v_proj"\]}//; s/"seeds"/"final": "validation", "seeds"/' >"$dir/other.json"
json sweep "$dir/other.json" --db "$db" --json
grep -q '"runs_found":	1' "$dir/out" && ok || bad "a run made by hand is not found: $(cat "$dir/out" "$dir/err")"

# Plans that are wrong say where.
broken() { # what it must say, sed script
    plan "$dir/broken.json" '0' 3 "$trials"
    sed -i "$2" "$dir/broken.json"
    expect 2 "$1" sweep "$dir/broken.json" --db "$dir/none.db"
}
refuses 3 'nowhere.json' sweep "$dir/nowhere.json"
echo '{"name": "x",' >"$dir/broken.json"
refuses 3 'not valid JSON at line' sweep "$dir/broken.json" --db "$dir/none.db"
broken 'did you mean lora' 's/"lora"/"lroa"/'
broken 'did you mean "seeds"' 's/"seeds"/"seedz"/'
broken 'did you mean optim.lr' 's/optim.lr/optim.lrr/'
broken 'trials see validation data only' 's/"steps"/"steps": 3}, "eval": {"split": "test"}, "train": {"epochs"/'
broken 'out of range' 's/\[2, 4\]/[2, -4]/'
broken 'neither "test" nor' 's/"tuning"/"final": "tset", "tuning"/'
broken 'no budget' 's/, "tuning".*/}/'
broken '"trials" or "flops", not both' 's/"trials": 2/"trials": 2, "flops": 1e9/'
broken 'did you mean exact_match' 's/"trials": 2/"trials": 2, "metric": "exakt_match"/'
refuses 2 'jobs' sweep "$dir/plan.json" --jobs none
[[ ! -e $dir/none.db ]] && ok || bad 'a wrong plan made a database'

# Test data during tuning: a named error, in the process that would read it.
expect 2 'test data is locked' run --model "$model" --task "$dir/rows.json" --method lora --set train.steps=1 --set eval.split=test --lock-test --db "$dir/lock.db"
expect 2 'may hold test data' run --model "$model" --task "$dir/rows.json" --method lora --set train.steps=1 --set eval.split="$dir/test.jsonl" --lock-test --db "$dir/lock.db"
expect 0 'nll' run --model "$model" --task "$dir/rows.json" --method lora --set train.steps=1 --lock-test --db "$dir/lock.db"
same 'no test read' "$(sqlite3 "$dir/lock.db" 'SELECT count(*) FROM test_reads')" 0

# Bad runs are rows; nothing is chosen where a trial is missing, and the same command mends it.
plan "$dir/slow.json" '0' 100000 "$trials"
db=$dir/late.db
run sweep "$dir/slow.json" --db "$db" --timeout 1
same 'timeout' "$status|$(ask 'SELECT count(*), group_concat(DISTINCT status), max(error) FROM runs')" '1|4|timeout|took longer than 1 s'
grep -q 'nothing is chosen' "$dir/err" && ok || bad "timeouts: $(cat "$dir/err")"
plan "$dir/hot.json" '0' 60 ', "tuning": {"trials": 2}'
sed -i 's/\[1e-4, 1e-2\]/[900, 1000]/; s/"batch": 4/"batch": 4}, "optim": {"clip": 0, "weight_decay": 1/' "$dir/hot.json"
db=$dir/hot.db
run sweep "$dir/hot.json" --db "$db"
same 'diverged trials' "$status|$(ask "SELECT sum(status = 'diverged') > 0 FROM runs WHERE method = 'full'")" '1|1'

# Killed at some moment, and done again: the database is that of a sweep which nobody disturbed. All start from the same probes, so that the
# forecasts are the same too.
plan "$dir/plan.json" '0, 1' 3 "$trials"
# The processes of workers that are at work.
workers() { pgrep -f -- "worker --db $db --run-id"; }
pause() { sleep "$(awk -v r=$RANDOM -v most="$1" 'BEGIN { printf "%.3f", most * r / 32768 }')"; }
# From here on a transaction that does this stays open for a second or so.
slow() { # what
    ask "CREATE VIEW slowly AS WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 4000000) SELECT max(i) FROM c;
         CREATE TRIGGER slow AFTER $1 BEGIN SELECT * FROM slowly; END"
}
# Waits until somebody has been writing for longer than any other transaction takes.
until_writing() {
    local held=0
    for ((k = 0; k < 400 && held < 4; k++)); do
        if sqlite3 "$db" 'BEGIN IMMEDIATE; ROLLBACK' 2>/dev/null; then held=0; else held=$((held + 1)); fi
        sleep 0.03
    done
}
until_asked() { # query that is to give 1
    for ((k = 0; k < 400; k++)); do
        [[ $(ask "$1" 2>/dev/null) == 1 ]] && return
        sleep 0.01
    done
}
kill_sweep() { kill -KILL $pid 2>/dev/null; } # it may be done already
kill_worker() {
    local w
    w=$(workers | shuf -n 1 --random-source=<(yes)) && [[ $w ]] && kill -KILL "$w" 2>/dev/null
}
kill_all() { kill -KILL $pid $(workers) 2>/dev/null; }
phase() {
    ask "SELECT CASE WHEN finals > 0 AND ok = 8 THEN 'all-done' WHEN finals > 0 THEN 'final' WHEN ok = 4 THEN 'choosing' ELSE 'tuning' END FROM
        (SELECT sum(stage = 'final') AS finals, sum(status = 'ok') AS ok FROM sweep_runs JOIN runs ON id = run_id)" 2>/dev/null || echo 'start'
}
if ((kills)); then
    db=$dir/undisturbed.db
    run sweep "$dir/plan.json" --db "$dir/probed.db" --dry-run --jobs 2
    cp "$dir/probed.db" "$db"
    begun=$EPOCHREALTIME
    run sweep "$dir/plan.json" --db "$db" --jobs 2 --quiet
    took=$(awk -v a="$begun" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')
    story "$db" >"$dir/undisturbed"
fi
for ((i = 0; i < kills; i++)); do
    db=$dir/kill$i.db
    cp "$dir/probed.db" "$db"
    case $((i % 8)) in
    2) slow 'INSERT ON test_read_log' ;;
    5) slow "UPDATE OF status ON runs WHEN NEW.status = 'ok' AND EXISTS (SELECT 1 FROM test_read_log)" ;; # the end of the same transaction
    3) slow 'INSERT ON steps WHEN NEW.step = 1' ;;
    6) slow 'INSERT ON sweep_runs' ;;
    esac
    "$bin" sweep "$dir/plan.json" --db "$db" --jobs 2 --quiet 2>/dev/null &
    pid=$!
    case $((i % 8)) in # when: at any time, while something is being written, when the last trial is done
    2 | 3 | 5 | 6) until_writing ;;
    7)
        until_asked "SELECT sum(status = 'ok') >= 4 FROM runs"
        pause 0.1
        ;;
    *) pause "$took" ;;
    esac
    at=$(phase)
    case $((i % 8)) in
    1) kill_worker ;;
    4 | 5) kill_all ;;
    *) kill_sweep ;;
    esac
    wait $pid 2>/dev/null
    ask 'DROP TRIGGER IF EXISTS slow; DROP VIEW IF EXISTS slowly'
    run sweep "$dir/plan.json" --db "$db" --jobs 2 --quiet
    same "killed and resumed ($i, $at)" "$status|$(story "$db" | cksum)" "0|$(cksum <"$dir/undisturbed")"
    echo "$at" >>"$dir/moments"
done
((kills)) && echo "killed while: $(sort "$dir/moments" | uniq -c | tr -s ' \n' ' ')"

# A worker that dies is a failed row, with the reason; Ctrl-C ends cleanly.
signalled() { # name of signal, who: sweep or worker
    plan "$dir/slow.json" '0' 100000 ''
    sed -i 's/"search": {"optim.lr".*$//; s/, "search": {"method.rank".*}}}\]/}]/' "$dir/slow.json"
    db=$dir/signal-$1-$2.db
    "$bin" sweep "$dir/slow.json" --db "$db" --jobs 2 --quiet 2>"$dir/err" &
    pid=$!
    for _ in {1..300}; do
        [[ $(ask 'SELECT count(DISTINCT run_id) FROM steps' 2>/dev/null) == 2 ]] && break
        sleep 0.1
    done
    if [[ $2 == worker ]]; then
        kill "-$1" "$(workers | head -n 1)"
        for _ in {1..100}; do
            [[ $(ask "SELECT count(*) FROM runs WHERE status = 'failed'") == 1 ]] && break
            sleep 0.1
        done
        kill -INT $pid
    else kill "-$1" $pid
    fi
    wait $pid
    status=$?
}
signalled SEGV worker
same 'a crashed worker' "$status|$(ask 'SELECT group_concat(status) FROM (SELECT status FROM runs ORDER BY status)')" '1|cancelled,failed'
ask "SELECT error FROM runs WHERE status = 'failed'" | grep -q 'crashed: signal 11' && ok || bad "crash: $(ask 'SELECT error FROM runs')"
signalled KILL worker
ask "SELECT error FROM runs WHERE status = 'failed'" | grep -q 'killed by signal 9\|out of memory' && ok || bad "kill: $(ask 'SELECT error FROM runs')"
signalled INT sweep
same 'Ctrl-C' "$status|$(ask 'SELECT group_concat(status) FROM runs')" '1|cancelled,cancelled'
grep -q 'the same command goes on' "$dir/err" && ok || bad "Ctrl-C: $(cat "$dir/err")"
same 'nobody is left' "$(pgrep -f -- "worker --db $db" | wc -l)" 0

# A run that wants more memory than there is is a failed row that says so, and the others are done: where the address space is limited, and
# where the kernel kills (a control group of our own: root, and Linux with memory control).
cat >"$dir/greedy.json" <<EOF
{"name": "greedy", "models": ["models/tiny"], "tasks": ["tiny_facts"], "seeds": [0, 1], "final": "validation", "config": {"train.steps": 2, "eval.limit": 20},
 "methods": [{"method": "lora", "label": "large", "config": {"train.batch": 768}}, {"method": "lora", "label": "small", "config": {"train.batch": 4}}]}
EOF
greedy() { # what is asked, what the error of the large runs starts with
    same "$1" "$status|$(ask "SELECT label, group_concat(DISTINCT status), count(*), count(error), sum(error GLOB '$2*') FROM sweep_runs JOIN runs ON id = run_id GROUP BY label ORDER BY label" |
        tr '\n' ' ')" '1|large|failed|2|2|2 small|ok|2|0| '
}
db=$dir/greedy.db
(
    ulimit -v 2000000
    "$bin" sweep "$dir/greedy.json" --db "$db" --jobs 2 --quiet
) 2>"$dir/err"
status=$?
greedy 'out of memory' 'out of memory: arena step: '
group=/sys/fs/cgroup/memory/peftmeter-$$ limit=memory.limit_in_bytes
[[ -e /sys/fs/cgroup/cgroup.controllers ]] && group=/sys/fs/cgroup/peftmeter-$$ limit=memory.max
if mkdir "$group" 2>/dev/null && echo 300000000 2>/dev/null >"$group/$limit"; then
    db=$dir/killed.db
    (
        echo "$BASHPID" >"$group/cgroup.procs"
        exec "$bin" sweep "$dir/greedy.json" --db "$db" --jobs 1 --quiet
    ) 2>"$dir/err"
    status=$?
    greedy 'killed for want of memory' 'out of memory: killed by the kernel'
fi
rmdir "$group" 2>/dev/null

# What a sweep would take: asked first, kept, and held against what it took. Nothing is run, and no test result is looked at.
plan "$dir/longer.json" '0, 1' 40 "$trials"
db=$dir/dry.db
json sweep "$dir/longer.json" --db "$db" --dry-run --json --jobs 2
grep -q '"runs_to_do":	8' "$dir/out" && ok || bad "dry run: $(cat "$dir/out")"
same 'a dry run is none' "$(ask 'SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM test_reads), (SELECT count(*) BETWEEN 2 AND 3 FROM probes)')" '0|0|1'
expect 0 '8 runs to do, 0 there already' sweep "$dir/longer.json" --db "$db" --dry-run
run sweep "$dir/longer.json" --db "$db" --jobs 2 --quiet
same 'predictions beside what was measured' "$(ask "SELECT group_concat(name || n) FROM (SELECT name, count(predicted + measured) AS n FROM predictions WHERE basis = 'probe' GROUP BY name)")" \
    'flops8,peak_live_bytes8,peak_rss_bytes8,wall_s8'
# Of 23 MB of resident memory one is libraries' pages, of which the system brings in more or fewer.
closely='max(abs(predicted / measured - 1) / CASE name WHEN '"'peak_rss_bytes'"' THEN 0.1 ELSE 0.02 END) < 1'
same 'memory and flops as predicted' "$(ask "SELECT $closely FROM predictions WHERE name <> 'wall_s'")" 1
same 'time, in order of size' "$(ask "SELECT min(predicted / measured) > 0.1 AND max(predicted / measured) < 10 FROM predictions WHERE name = 'wall_s'")" 1
grown=$(ask "SELECT (SELECT sum(disk_bytes) FROM forecasts WHERE basis = 'probe') * 1.0 / (page_count * page_size) FROM pragma_page_count, pragma_page_size")
same "disk, $grown of what it takes" "$(awk -v x="$grown" 'BEGIN { print (x > 0.5 && x < 2) }')" 1
expect 0 '0 runs to do, 8 there already' sweep "$dir/longer.json" --db "$db" --dry-run
# A plan with more of the same needs no probe: the runs that are done say it.
plan "$dir/longer.json" '0, 1, 2' 40 "$trials"
sqlite3 "$db" 'DELETE FROM probes'
expect 0 '2 runs to do, 8 there already' sweep "$dir/longer.json" --db "$db" --dry-run
run sweep "$dir/longer.json" --db "$db" --jobs 1
same 'by runs of the same shape' "$(ask "SELECT (SELECT count(*) FROM probes), count(*), min(basis), $closely FROM predictions
    WHERE run_id > 8 AND name IN ('flops', 'peak_rss_bytes', 'peak_live_bytes')")" '0|6|runs|1'
grep -qE 'predicted against measured, median of 10 runs: time [0-9.]+ %' "$dir/out" && ok || bad "no prediction error: $(cat "$dir/out")"
# Without either a run has nothing to go by, and says so.
db=$dir/unsaid.db
run sweep "$dir/longer.json" --db "$db" --jobs 1 --quiet
same 'the first of a shape' "$(ask "SELECT count(*), count(basis), count(predicted), min(measured) > 0 FROM predictions JOIN runs ON id = run_id WHERE name = 'wall_s' AND method = 'full'")" '5|4|4|1'

# Memory is a process's: a final run reads four times the items of a trial, and both were said from one probe of a trial.
cat >"$dir/reads.json" <<EOF
{"name": "reads", "models": ["models/tiny"], "tasks": ["tiny_facts"], "seeds": [0], "config": {"train": {"steps": 5, "batch": 16}},
 "search": {"optim.lr": {"grid": [1e-4, 1e-3]}}, "tuning": {"trials": 2}, "methods": ["lora"]}
EOF
db=$dir/reads.db
run sweep "$dir/reads.json" --db "$db" --dry-run
run sweep "$dir/reads.json" --db "$db" --quiet
# How much of the libraries is in a process varies by a megabyte or two, of 52: hence two bounds.
same 'memory of trials and final runs' "$(ask "SELECT count(*), avg(error) < 0.02, max(error) < 0.05 FROM
    (SELECT abs(predicted / measured - 1) AS error FROM predictions WHERE name GLOB 'peak_*' AND basis = 'probe')")" '6|1|1'

# Nothing can be chosen on a task without validation data, or by a metric that it does not measure: told before the tuning, not after.
sed 's/"validation": {"file": "validation.jsonl"}, //' "$dir/rows.json" >"$dir/unchecked.json"
plan "$dir/blind.json" '0' 3 "$trials"
sed -i 's/rows.json/unchecked.json/' "$dir/blind.json"
refuses 2 'has no split "validation"' sweep "$dir/blind.json" --db "$dir/blind.db" --quiet
same 'nothing was run' "$(sqlite3 "$dir/blind.db" 'SELECT count(*) FROM runs')" 0
sed -i 's/unchecked.json/train.jsonl/' "$dir/blind.json" # bare rows: all of them train
refuses 2 'no validation items' sweep "$dir/blind.json" --db "$dir/blind.db" --quiet
same 'nothing was run' "$(sqlite3 "$dir/blind.db" 'SELECT count(*) FROM runs')" 0
plan "$dir/blind.json" '0' 3 "${trials/'"trials"'/'"metric": "acc", "trials"'}"
refuses 2 'does not measure acc' sweep "$dir/blind.json" --db "$dir/blind.db" --jobs 1 --quiet
same 'one was run' "$(sqlite3 "$dir/blind.db" 'SELECT count(*) FROM runs')" 1

# A task without validation data is probed all the same; what is said of it holds.
plan "$dir/unchecked-plan.json" '0' 40 ''
sed -i "s/rows.json/unchecked.json/; "'s/"search": {"optim.lr".*$//; s/, "search": {"method.rank".*}}}\]/}]/' "$dir/unchecked-plan.json"
db=$dir/unchecked.db
expect 0 '2 runs to do' sweep "$dir/unchecked-plan.json" --db "$db" --dry-run
run sweep "$dir/unchecked-plan.json" --db "$db" --quiet
same 'no validation data' "$status|$(ask "SELECT count(*), max(abs(predicted / measured - 1)) < 0.1 FROM predictions WHERE name = 'peak_rss_bytes'")" '0|2|1'

# A budget in FLOPs: no method's trials take more, and what is left would not pay for another like the last.
plan "$dir/flops.json" '0' 3 ', "tuning": {"flops": 2e8}'
db=$dir/flops.db
run sweep "$dir/flops.json" --db "$db" --dry-run
listed=$(grep -c ' tune ' "$dir/out")
run sweep "$dir/flops.json" --db "$db" --jobs 2 --quiet
same 'trials that the budget was expected to pay for' "$listed" "$(ask "SELECT count(*) FROM sweep_runs WHERE stage = 'tune'")"
same 'a budget in FLOPs' "$status|$(ask "
    SELECT count(*), max(spent) <= 2e8, min(spent + most) > 2e8 FROM (SELECT sum(v) AS spent, max(v) AS most FROM (SELECT label, sum(value) AS v FROM sweep_runs
    JOIN counters USING (run_id) WHERE stage = 'tune' AND name GLOB 'flops_*' GROUP BY run_id) GROUP BY label)")" '0|2|1|1'

# Equal numbers of trainable parameters.
cat >"$dir/match.json" <<EOF
{"name": "match", "models": ["$model"], "tasks": ["$dir/rows.json"], "seeds": [0], "final": "validation",
 "config": {"train": {"steps": 2, "batch": 4}}, "match": {"trainable_params": 3000}, "methods": ["full", "lora", "loreft", "svf"]}
EOF
db=$dir/match.db
json sweep "$dir/match.json" --db "$db" --json
same 'matched' "$(ask "SELECT count(*), max(abs(trainable_params - 3000)) < 300 FROM runs WHERE method IN ('lora', 'loreft')")" '2|1'
same 'what is said of it' "$(grep -c '"matched":	"method' "$dir/out")" 3
expect 0 'method.rank=' sweep "$dir/match.json" --db "$db"
grep -qE 'lora .*\([+-][0-9.]+ %\)' "$dir/out" && ok || bad "no mismatch in the table: $(cat "$dir/out")"
same 'what is not matched is said' "$(grep -oE 'not matched: (full|lora|loreft|svf) on' "$dir/out" | tr '\n' ' ')" 'not matched: full on not matched: svf on '

# Databases of two halves, merged, are the database of the whole; again changes nothing; a broken run gives way to one that is ok.
sed 's/"full", //' "$dir/plan.json" >"$dir/half1.json"
sed 's/"full", .*, "tuning"/"full"], "tuning"/' "$dir/plan.json" >"$dir/half2.json"
for half in 1 2; do run sweep "$dir/half$half.json" --db "$dir/half$half.db" --quiet; done
cp "$dir/half1.db" "$dir/broken.db"
sqlite3 "$dir/broken.db" "UPDATE runs SET status = 'failed', error = 'planted' WHERE id = 2; DELETE FROM metrics WHERE run_id = 2"
db=$dir/merged.db
expect 0 '4 runs added, 0 in the place' merge "$db" "$dir/broken.db"
expect 0 '4 runs added, 1 in the place of broken ones, 3 there already' merge "$db" "$dir/half1.db" "$dir/half2.db"
same 'merged' "$(story "$db" | cksum)" "$(cksum <"$dir/whole")"
json merge "$db" "$dir/half2.db" "$dir/broken.db" "$dir/half1.db" --json
grep -q '"there":	12' "$dir/out" && ok || bad "merged again: $(cat "$dir/out")"
same 'merged twice' "$(story "$db" | cksum)" "$(cksum <"$dir/whole")"
same 'hosts' "$(ask 'SELECT count(*), (SELECT count(*) FROM runs WHERE host_id = 1) FROM hosts')" '1|8'
refuses 3 'nowhere.db' merge "$db" "$dir/nowhere.db"
refuses 3 'nowhere.db' merge "$dir/unmade.db" "$dir/nowhere.db"
[[ ! -e $dir/unmade.db ]] && ok || bad 'merge: a misspelt name leaves an empty database'
refuses 2 'not enough arguments' merge "$db"
json sweep "$dir/plan.json" --db "$db" --json
grep -q '"runs_found":	8' "$dir/out" && ok || bad "a sweep after merge: $(cat "$dir/out")"

# Two sweeps on one database take turns.
db=$dir/turns.db
"$bin" sweep "$dir/plan.json" --db "$db" --jobs 1 --quiet &
pid=$!
"$bin" sweep "$dir/plan.json" --db "$db" --jobs 1 --quiet
same 'the second of two' $? 0
wait $pid
same 'the first of two' "$?|$(story "$db" | cksum)" "0|$(cksum <"$dir/whole")"

finish
