# lib.sh - what the scripts of this folder share: running the program and checking its exit code, its words and its one-line errors.
# Sourced, not run. Leaves the caller in the repository's root with $bin (PEFTMETER_BIN names another program than the release
# build), a scratch folder $dir that goes away at the end, and the counts that `finish` prints.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 3
bin=${PEFTMETER_BIN:-build/release/peftmeter}
[[ -x $bin ]] || {
    echo "no program at $bin: make release"
    exit 1
}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0

ok() { passed=$((passed + 1)); }
bad() {
    failed=$((failed + 1))
    echo "FAIL $*" >&2
}
run() { # arguments: leaves $status, $dir/out, $dir/err
    "$bin" "$@" >"$dir/out" 2>"$dir/err"
    status=$?
}
# exit status, a text that stdout or stderr must hold, arguments
expect() {
    local want=$1 text=$2
    shift 2
    run "$@"
    if [[ $status -ne $want ]]; then bad "$*: exit $status, want $want"
    elif ! grep -qF -- "$text" "$dir/out" "$dir/err"; then bad "$*: does not say '$text'"
    else ok
    fi
}
# A failure is `peftmeter: what: why` and a hint, and nothing on stdout.
refuses() {
    expect "$@"
    if [[ $(wc -l <"$dir/err") -ne 2 ]] || ! sed -n 1p "$dir/err" | grep -q '^peftmeter: ' || ! sed -n 2p "$dir/err" | grep -q '^hint: '; then
        bad "${*:3}: not one line and a hint: $(cat "$dir/err")"
    elif [[ -s $dir/out ]]; then bad "${*:3}: output on stdout"
    else ok
    fi
}
json() {
    run "$@"
    if [[ $status -ne 0 ]]; then bad "$*: exit $status"
    elif command -v python3 >/dev/null && ! python3 -m json.tool <"$dir/out" >/dev/null; then bad "$*: not JSON"
    elif ! head -c 1 "$dir/out" | grep -q '[[{]'; then bad "$*: not JSON"
    else ok
    fi
}

# Runs whose memory is not explained: what the system saw resident in training is further than 5 % from the sum of the categories.
unexplained() { # database
    sqlite3 -cmd '.timeout 10000' -readonly "$1" "
        SELECT method || ': ' || held || ' of ' || peak_rss_bytes || ' bytes' FROM runs
        JOIN (SELECT run_id, sum(bytes) AS held, count(*) AS n FROM memory GROUP BY run_id) m ON m.run_id = id
        JOIN phases p ON p.run_id = id AND phase = 'train' WHERE n <> 10 OR abs(peak_rss_bytes - held) > 0.05 * peak_rss_bytes"
}

# All that a database says, times and the order of runs aside.
story() {
    sqlite3 -cmd '.timeout 10000' "$1" "
        SELECT 'run', run_key, status, error, model, task, method, seed, config, trainable_params, total_params, model_hash, data_hash, train_hash FROM runs ORDER BY run_key;
        SELECT 'step', run_key, step, loss, lr, grad_norm, tokens, label_tokens FROM steps JOIN runs ON id = run_id ORDER BY run_key, step;
        SELECT 'metric', run_key, split, name, version, value, stderr, n FROM metrics JOIN runs ON id = run_id ORDER BY run_key, split, name;
        SELECT 'item', run_key, split, example_id, correct, score, answer, gold FROM examples JOIN runs ON id = run_id ORDER BY run_key, split, example_id;
        SELECT 'phase', run_key, phase FROM phases JOIN runs ON id = run_id ORDER BY run_key, phase;
        SELECT 'memory', run_key, category, bytes FROM memory JOIN runs ON id = run_id WHERE category NOT IN ('slack', 'data', 'heap', 'program') ORDER BY run_key, category;
        SELECT 'counter', run_key, name, value FROM counters JOIN runs ON id = run_id ORDER BY run_key, name;
        SELECT 'check', run_key, name, ok, value, bound FROM checks JOIN runs ON id = run_id ORDER BY run_key, name;
        SELECT 'place', sweep, run_key, stage, label, trial FROM sweep_runs JOIN runs ON id = run_id ORDER BY sweep, run_key, stage;
        SELECT 'curve', run_key, step, split, name, value, stderr, n FROM curve JOIN runs ON id = run_id ORDER BY run_key, step, split, name;
        SELECT 'cost', run_key, shape, eval_tokens FROM costs JOIN runs ON id = run_id ORDER BY run_key;
        SELECT 'forecast', run_key, basis, wall_s, peak_live_bytes, flops, disk_bytes FROM forecasts JOIN runs ON id = run_id WHERE basis = 'probe' ORDER BY run_key;
        SELECT 'probe', * FROM probes ORDER BY shape, machine;
        SELECT 'host', fingerprint, (SELECT count(*) FROM runs WHERE host_id = hosts.id) FROM hosts ORDER BY fingerprint;
        SELECT 'read', task, method, count(*) FROM test_read_log GROUP BY task, method;
        PRAGMA integrity_check; PRAGMA foreign_key_check"
}

# A sweep that was really run, for what reads databases: two methods and the untuned model, two trials each, two seeds. Leaves $dir/plan.json.
small_sweep() { # database
    cat >"$dir/plan.json" <<'PLAN'
{
    "name": "small", "models": ["models/tiny"], "tasks": ["tiny_facts"], "seeds": [0, 1], "baseline": true,
    "config": {"train.steps": 5, "train.batch": 8, "eval.limit": 100},
    "search": {"optim.lr": {"grid": [1e-3, 1e-2]}},
    "tuning": {"trials": 2},
    "methods": [{"method": "lora", "config": {"method.rank": 4}}, "svf"]
}
PLAN
    run sweep "$dir/plan.json" --db "$1" --quiet
    [[ $status -eq 0 ]] && ok || bad "the sweep ends with $status: $(cat "$dir/err")"
}

finish() {
    echo "$passed passed, $failed failed"
    ((failed == 0))
}
