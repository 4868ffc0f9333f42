#!/usr/bin/env bash
# regress.sh - a regression job for continuous integration: sweeps a plan with this build and holds it to reviewed numbers, and to the runs
# of another commit when their database is at hand. Copy it into your project. The exit code is `peftmeter regress`'s: 0 fine,
# 1 something is worse, 2 nothing was measured, 3 a file, a build or a database is broken.
#
#   PEFTMETER   the program                      (build/release/peftmeter)
#   PLAN        what is run, as for `sweep`      (results/suite.json)
#   BASELINE    reviewed exact numbers           (results/baseline.json); not there yet: written, also into OUT, for you to review and
#               commit; ends with 2 until then, for nothing was held to it
#   BASE_DB     runs of the commit before        (regress/base.db); not there: only the baseline is compared
#   OUT         folder for what is left behind   (regress): head.db, baseline.xml, base.xml, page.html
set -uo pipefail
program=${PEFTMETER:-build/release/peftmeter} plan=${PLAN:-results/suite.json} baseline=${BASELINE:-results/baseline.json}
out=${OUT:-regress}
base=${BASE_DB:-$out/base.db}
mkdir -p "$out" || exit 3
rm -f "$out"/head.db*

"$program" sweep "$plan" --db "$out/head.db" --quiet
swept=$?
((swept <= 1)) || exit "$swept" # 1: a run failed, which the comparison names

worst=0
keep_worst() { # of exit codes: broken before nothing measured before a regression
    (($1 > worst)) && worst=$1
}
if [[ -e $baseline ]]; then
    "$program" regress --baseline "$baseline" --head "$out/head.db" --suite "$plan" --junit "$out/baseline.xml"
    keep_worst $?
else
    "$program" regress --baseline "$baseline" --head "$out/head.db" --suite "$plan" --accept 'First numbers' &&
        cp "$baseline" "$out/baseline.json" && echo "$0: nothing was held to $baseline, which was not there: review and commit it" >&2 &&
        (exit 2)
    keep_worst $?
fi
if [[ -e $base ]]; then
    explained=()
    [[ -e $baseline ]] && explained=(--baseline "$baseline")
    "$program" regress --base "$base" --head "$out/head.db" --suite "$plan" "${explained[@]}" --junit "$out/base.xml"
    keep_worst $?
fi
"$program" report --format html --db "$out/head.db" --out "$out/page.html"
exit "$worst"
