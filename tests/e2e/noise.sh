#!/usr/bin/env bash
# noise.sh - the noise certificate where it is kept and shown: `doctor`, a run's row, the table of speed. That it says the truth is tests/test_stats_speed.c.
source "$(dirname "$0")/lib.bash"
if ! command -v sqlite3 >/dev/null || ! command -v python3 >/dev/null; then
    printf 'skip noise: sqlite3 or python3 is not installed\n0 passed, 0 failed, 1 skipped\n'
    exit 0
fi
export PEFTMETER_CACHE=$dir/cache
db=$dir/runs.db
trained() { expect 0 'ok' run --method ia3 --threads 1 --db "$db" --set train.steps=3 --set eval.split=none --quiet --json; }
kept() { # machine, floor of the 30 pairs
    python3 - "$1" "$2" >"$dir/cache/noise.json" <<'PY'
import json, sys
print(json.dumps({"measured_at": "2026-01-02T03:04:05Z", "machine": sys.argv[1], "pairs": 15, "units": [
    {"name": "k_scale", "step": False, "sd": 0.01, "lag1": 0, "floor": [0.5, 0.4, 0.3], "found": [0.6, 0.5, 0.4]},
    {"name": "lora", "step": True, "sd": 0.01, "lag1": 0, "floor": [0.03, 0.02, 0.01], "found": [0.06, 0.05, 0.04]},
    {"name": "dora", "step": True, "sd": 0.01, "lag1": 0, "floor": [0.04, 0.03, float(sys.argv[2])], "found": [0.07, 0.06, 0.045]}]}))
PY
}
rows() { [[ $(sqlite3 "$db" "SELECT group_concat(run_id || ' ' || measured_at || ' ' || pairs || ' ' || floor || ' ' || found) FROM noise") == "$1" ]] && ok || bad "noise: $(sqlite3 "$db" 'SELECT * FROM noise'), want $1"; }

mkdir -p "$dir/cache"
trained
rows ''
expect 0 'No noise certificate' report --kind efficiency --db "$db"
machine=$(sqlite3 "$db" "SELECT cpu || ', ' || cores || ' cores' FROM hosts LIMIT 1")
kept "$machine" 0.012
trained # the worst of the steps, no kernel
rows '2 2026-01-02T03:04:05Z 30 0.012 0.045'
expect 0 'Noise certificate of 2026-01-02T03:04:05Z' report --kind efficiency --db "$db"
expect 0 'differ by up to 1.2% of a step' report --kind efficiency --format md --db "$db"
"$bin" doctor >"$dir/out" 2>/dev/null
grep -q 'a slowdown of 4.5% of any method' "$dir/out" && grep -q 'a slowdown of 40.0% of any kernel' "$dir/out" && ok || bad "doctor: $(tail -8 "$dir/out")"
kept 'another machine, 3 cores' 0.012
trained
rows '2 2026-01-02T03:04:05Z 30 0.012 0.045'
echo '{"units": [' >"$dir/cache/noise.json"
trained
rows '2 2026-01-02T03:04:05Z 30 0.012 0.045'
finish
