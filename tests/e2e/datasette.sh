#!/usr/bin/env bash
# datasette.sh - what results/metadata.json says is what a database holds: every table and column is described and none that is not there, every
# query runs; and with Datasette (DATASETTE=PROGRAM, else the one on the path) every page answers.
source "$(dirname "$0")/lib.bash"

same() { # what, got, want
    [[ "$2" == "$3" ]] && ok || bad "$1: '$2', want '$3'"
}
metadata=results/metadata.json
db=$dir/some_name.db
run eval --model models/tiny --task tiny_facts --set eval.limit=20 --set eval.split=test --db "$db"
run eval --model models/tiny --task tiny_facts --set eval.limit=20 --set eval.split=test --set seed=1 --db "$db"
ask() { sqlite3 "$db" "$1"; }
described="SELECT t.key || '.' || c.key FROM json_each(readfile('$metadata'), '\$.databases.results.tables') t, json_each(t.value, '\$.columns') c"
held="SELECT m.name || '.' || c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type IN ('table', 'view') AND c.name <> 'id'"
same 'columns that are not described' "$(ask "$held EXCEPT $described")" ''
same 'described columns that are not there' "$(ask "$described EXCEPT SELECT 'runs.id' EXCEPT $held")" ''
same 'descriptions that are empty' "$(ask "SELECT count(*) FROM json_tree(readfile('$metadata')) WHERE type = 'text' AND value = ''")" 0

# Canned queries, with their parameters set.
n=$(ask "SELECT count(*) FROM json_each(readfile('$metadata'), '\$.databases.results.queries')")
for ((i = 0; i < n; i++)); do
    ask "SELECT json_extract(value, '\$.sql') FROM json_each(readfile('$metadata'), '\$.databases.results.queries') LIMIT 1 OFFSET $i" >"$dir/query"
    sqlite3 -bail -cmd '.parameter init' -cmd ".parameter set :a 1" -cmd ".parameter set :b 2" -cmd ".parameter set :task 'tiny_facts'" "$db" \
        <"$dir/query" >"$dir/rows" 2>"$dir/err" && ok || bad "query $i: $(cat "$dir/query" "$dir/err")"
    cat "$dir/rows" >>"$dir/all"
done
same 'the hard items are there' "$(grep -cE '\|2\|(0|1|0\.5)(\.0)?$' "$dir/all")" 20

datasette=${DATASETTE:-$(command -v datasette)}
if [[ -z $datasette ]] || ! command -v curl >/dev/null; then
    echo 'skip pages: no datasette (pip install datasette), or no curl'
    finish
    exit
fi
DATASETTE=$datasette scripts/datasette.sh "$db" --port 0 --uds "$dir/socket" >"$dir/log" 2>&1 &
server=$!
for _ in {1..100}; do
    [[ -S $dir/socket ]] && break
    sleep 0.1
done
page() { curl -s --unix-socket "$dir/socket" -o "$dir/page" -w '%{http_code}' "http://localhost/$1"; }
pages=0
for table in $(ask "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')"); do
    same "page of $table" "$(page "some_name/$table.json")$(page "some_name/$table")" 200200
    pages=$((pages + 1))
done
((pages >= 20)) && ok || bad "only $pages tables"
for query in $(ask "SELECT key FROM json_each(readfile('$metadata'), '\$.databases.results.queries')"); do
    same "page of $query" "$(page "some_name/$query.json?a=1&b=2&task=tiny_facts")" 200
done
page 'some_name/examples.json?run_id=1&_size=max&_shape=array' >/dev/null
same 'items of a run' "$(python3 -c 'import json, sys; rows = json.load(open(sys.argv[1])); print(len(rows), {r["correct"] for r in rows} <= {0, 1})' "$dir/page")" '20 True'
page some_name/examples >/dev/null
grep -q 'what was answered, and whether it is right' "$dir/page" && ok || bad 'the page of examples has no description'
kill $server
wait $server 2>/dev/null
finish
