#!/usr/bin/env bash
# results.sh - the tables that results/ keeps in git, out of a database of the demo (`make results` makes one afresh first). What differs from machine to
# machine without any number being wrong (times, memory) is in none of them; scores are the same to the bit where the second line is.
#
#   scripts/results.sh DATABASE FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
bin=build/release/peftmeter
db=$1 folder=$2

mkdir -p "$folder"
machine=$(sqlite3 -readonly "$db" "SELECT group_concat(line, '; ') FROM (SELECT DISTINCT
    printf('%s (%s), %s, %s with %s kernels, %d thread(s)', cpu, isa, compiler, blas, blas_core, threads) AS line
    FROM hosts JOIN runs ON host_id = hosts.id ORDER BY line)")
for kind in paper counts; do
    {
        printf '<!-- Made by make results; do not edit. results/README.md says more. -->\n'
        printf '<!-- %s -->\n\n' "$machine"
        "$bin" report --db "$db" --kind $kind --format md
    } >"$folder/demo-$kind.md"
done
