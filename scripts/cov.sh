#!/usr/bin/env bash
# cov.sh - lines reached by the tests, by folder and by file, from gcov's counters of one build folder.
#   scripts/cov.sh build/cov
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:?usage: scripts/cov.sh BUILD_FOLDER}

# gcov -n prints "File 'core/arena.c'" and "Lines executed:97.30% of 111" for each source of an object.
for d in core models methods harness; do
    for o in "$build/$d"/*.gcda; do [[ -e $o ]] && gcov -n "$o" 2>/dev/null; done
done | awk -F"'" '
    /^File/ { file = $2 }
    /^Lines executed/ && file ~ /^(core|models|methods|harness)\/.*\.c$/ && !(file in lines) {
        split($0, part, /[:% ]+/); n = part[5]; hit = part[3] * n / 100
        lines[file] = n; hits[file] = hit; folder = file; sub(/\/.*/, "", folder)
        all_lines[folder] += n; all_hits[folder] += hit; total += n; reached += hit
    }
    END {
        for (f in lines) printf "1 %-32s %6d lines %6.1f%%\n", f, lines[f], 100 * hits[f] / lines[f]
        for (f in all_lines) printf "2 %-32s %6d lines %6.1f%%\n", f "/", all_lines[f], 100 * all_hits[f] / all_lines[f]
        if (!total) { print "3 cov: no counters in this folder: run the tests of `make cov` first"; exit 1 }
        printf "3 %-32s %6d lines %6.1f%%\n", "all", total, 100 * reached / total
    }' | sort -k1,1 -k2,2 | cut -c3-
