#!/usr/bin/env bash
# report.sh - reports of a sweep that was really run: every kind in every format, read back by what reads such files, the same bytes from a copy of the
# database, and what it says when there is nothing to say.
source "$(dirname "$0")/lib.bash"

measures() { # arguments: must end with 0, whatever they print
    run "$@"
    [[ $status -eq 0 ]] && ok || bad "$*: exit $status"
}

db=$dir/small.db
small_sweep "$db"

for kind in paper leaderboard efficiency counts budget origin all; do
    for format in text md latex csv html; do
        expect 0 lora report --db "$db" --kind $kind --format $format
    done
    json report --db "$db" --kind $kind --json
    cp "$dir/out" "$dir/$kind.json"
done

run report --help
for kind in paper leaderboard efficiency counts budget origin history all; do
    grep -q "^  $kind  " "$dir/out" && ok || bad "report --help has no kind $kind"
done

# Two runs of the program and a copy of the database somewhere else under another name: the same bytes.
mkdir "$dir/elsewhere"
cp "$db" "$dir/elsewhere/copy.db"
for format in text md latex csv json html; do
    run report --db "$db" --kind all --format $format
    cp "$dir/out" "$dir/first"
    (cd "$dir/elsewhere" && LC_ALL=C.UTF-8 TZ=Asia/Tokyo "$OLDPWD/$bin" report --db copy.db --kind all --format $format --out again)
    cmp -s "$dir/first" "$dir/elsewhere/again" && ok || bad "$format: other bytes from a copy"
done

if command -v python3 >/dev/null; then
    run report --db "$db" --kind paper --format csv
    python3 - "$dir/out" "$dir/all.json" <<'CHECK' && ok || bad 'csv and json disagree, or a number lacks its unit'
import csv, json, sys
rows = list(csv.DictReader(open(sys.argv[1], newline="")))
tables = {t["key"]: t for t in json.load(open(sys.argv[2]))["tables"]}
assert [r["method"] for r in rows] == ["untuned", "lora", "svf"], rows
for row, other in zip(rows, tables["paper"]["rows"]):
    assert row.keys() == other.keys()
    for key, text in row.items():
        assert (other[key] is None) if text == "" else text == other[key] if isinstance(other[key], str) else float(text) == other[key], (key, text, other[key])
for table in tables.values():
    for column in table["columns"]:
        assert column["kind"] in ("text", "integer", "real", "percent", "bytes", "seconds")
        assert column["kind"] not in ("percent", "bytes", "seconds") or column["unit"], column
details = {(r["method"], r["task"]): r for r in tables["paper_details"]["rows"]}
assert details["lora", "tiny_facts"]["test_reads"] == 2 and details["untuned", "tiny_facts"]["test_reads"] == 1
memory = tables["efficiency_memory"]["rows"][0]
parts = sum(v for k, v in memory.items() if k.endswith("_bytes") and k not in ("memory_sum_bytes", "live_bytes", "resident_bytes", "unexplained_bytes"))
assert abs(parts - memory["memory_sum_bytes"]) <= 8, memory
assert len(tables["budget"]["rows"]) == 4
CHECK
fi

if command -v pdflatex >/dev/null; then
    run report --db "$db" --kind all --format latex
    cp "$dir/out" "$dir/all.tex"
    (cd "$dir" && pdflatex -halt-on-error -interaction=batchmode all.tex >/dev/null) && ok || bad 'the LaTeX does not compile'
else
    echo 'skip: there is no pdflatex'
fi

refuses 2 'no kind papr' report --db "$db" --kind papr
refuses 2 'did you mean --format latex' report --db "$db" --format latx
refuses 2 'no sweep large' report --db "$db" --sweep large
refuses 2 'nothing measured' report --db "$db" --task arc_easy
refuses 3 'No such file' report --db "$dir/none.db"
refuses 3 'out.txt' report --db "$db" --out "$dir/no/such/out.txt"
: >"$dir/empty.db"
refuses 3 'empty.db' report --db "$dir/empty.db"

# A run of another length is no row of the same table.
measures run --db "$dir/odd.db" --method lora --set train.steps=2 --set eval.limit=20 --quiet
measures run --db "$dir/odd.db" --method svf --set train.steps=3 --set eval.limit=20 --quiet
refuses 1 'train.steps' report --db "$dir/odd.db"
grep -qF -- --badge "$dir/err" && ok || bad 'the refusal does not name --badge'
expect 0 'differs: train.steps' report --db "$dir/odd.db" --badge

finish
