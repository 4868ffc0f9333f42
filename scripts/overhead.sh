#!/usr/bin/env bash
# overhead.sh - what the runs of a database took besides forward, backward, optimiser and evaluation.
#
#   scripts/overhead.sh results/demo.db ...
#
# Of each model, task and method, means over the trained runs that are ok: the whole (from when a sweep began the row, so with the start of the
# process; `run` begins its row when the database is open, some 50 ms later), training steps, evaluations, and the overhead: all that is left, in
# seconds and as a part of the whole. Of the overhead: the adapter's certificate, loading the model, reading the data. The last line is over all.
set -euo pipefail
[[ $# -gt 0 ]] || {
    echo 'usage: scripts/overhead.sh FILE.db ...' >&2
    exit 2
}
for db; do
    sqlite3 -readonly -header -column "$db" "
        WITH spent AS (
            SELECT model, task, method, (julianday(finished_at) - julianday(started_at)) * 86400 AS whole,
                   (SELECT total(wall_s) FROM steps s WHERE s.run_id = id) AS steps,
                   (SELECT total(wall_s) FROM phases p WHERE p.run_id = id AND phase IN ('validate', 'test', 'forgetting')) AS evaluation,
                   (SELECT total(wall_s) FROM phases p WHERE p.run_id = id AND phase = 'certificate') AS certificate,
                   (SELECT total(wall_s) FROM phases p WHERE p.run_id = id AND phase = 'load') AS load,
                   (SELECT total(wall_s) FROM phases p WHERE p.run_id = id AND phase = 'data') AS data
            FROM runs WHERE status = 'ok' AND EXISTS (SELECT 1 FROM steps s WHERE s.run_id = id)),
        part AS (SELECT *, whole - steps - evaluation AS overhead FROM spent),
        lines AS (SELECT *, 0 AS last FROM part UNION ALL SELECT '', '', 'all', whole, steps, evaluation, certificate, load, data, overhead, 1 FROM part)
        SELECT model, task, method, count(*) AS runs, printf('%.3f', avg(whole)) AS whole_s, printf('%.3f', avg(steps)) AS steps_s,
               printf('%.3f', avg(evaluation)) AS eval_s, printf('%.3f', avg(overhead)) AS overhead_s,
               printf('%.2f %%', 100 * avg(overhead / whole)) AS overhead, printf('%.3f', avg(certificate)) AS certificate_s,
               printf('%.3f', avg(load)) AS load_s, printf('%.3f', avg(data)) AS data_s
        FROM lines GROUP BY last, model, task, method ORDER BY last, model, task, method"
done
