-- schema.sql - peftmeter's database, version 6. One file holds settings, environment, losses, metrics and every example's outcome,
-- so that any two runs can be compared later. A value that was not measured is NULL, never a sentinel. Times are UTC, ISO 8601.
PRAGMA application_id = 1346717268; -- 0x50454654, "PEFT"
PRAGMA user_version = 6;

CREATE TABLE hosts (
    id           INTEGER PRIMARY KEY,
    fingerprint  TEXT NOT NULL UNIQUE, -- sha256 over the other columns; stable facts only, never a measured frequency
    cpu          TEXT NOT NULL,
    cores        INTEGER NOT NULL,
    isa          TEXT NOT NULL,        -- instruction sets that matter to the kernels
    memory_bytes INTEGER NOT NULL,     -- rounded to 64 MiB: the kernel's own share changes between boots
    os           TEXT NOT NULL,
    compiler     TEXT NOT NULL,
    flags        TEXT NOT NULL,
    blas         TEXT NOT NULL,        -- backend and version
    blas_core    TEXT NOT NULL,        -- the kernel family the BLAS chose
    threads      INTEGER NOT NULL
);

CREATE TABLE runs (
    id                INTEGER PRIMARY KEY,
    run_key           TEXT,            -- sha256 over everything that decides the numbers; NULL until data and model are read
    status            TEXT NOT NULL CHECK (status IN ('ok', 'diverged', 'timeout', 'failed', 'cancelled', 'running')),
    error             TEXT,
    started_at        TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    finished_at       TEXT,
    model             TEXT NOT NULL,
    task              TEXT NOT NULL,
    method            TEXT NOT NULL,
    seed              INTEGER NOT NULL,
    config            TEXT NOT NULL CHECK (json_valid(config)), -- canonical: sorted dotted keys, every setting
    trainable_params  INTEGER,
    total_params      INTEGER,
    model_hash        TEXT,
    data_hash         TEXT,            -- of the scored split as tokenised (of the training split when nothing is scored)
    train_hash        TEXT,            -- of the training split; NULL when nothing was trained
    adapter_hash      TEXT,            -- of the adapter it started from (--adapter-in); NULL: the method's own start
    commit_id         TEXT,
    dirty             INTEGER CHECK (dirty IN (0, 1)),
    host_id           INTEGER REFERENCES hosts (id),
    peftmeter_version TEXT
);
CREATE INDEX runs_by_key ON runs (run_key);
CREATE INDEX runs_by_cell ON runs (task, method, seed);

CREATE TABLE steps (
    run_id       INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    step         INTEGER NOT NULL,     -- from 0
    loss         REAL,                 -- nats, mean over the labelled tokens of the whole batch
    lr           REAL,
    grad_norm    REAL,                 -- before clipping
    tokens       INTEGER,
    label_tokens INTEGER,
    wall_s       REAL,
    PRIMARY KEY (run_id, step)
) WITHOUT ROWID;

CREATE TABLE metrics (
    run_id  INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    split   TEXT NOT NULL,
    name    TEXT NOT NULL,
    version INTEGER NOT NULL,          -- values of different versions are not comparable
    value   REAL,
    stderr  REAL,
    n       INTEGER,
    PRIMARY KEY (run_id, split, name, version)
) WITHOUT ROWID;

CREATE TABLE curve (                   -- validation during training (eval.every); never test
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    step   INTEGER NOT NULL,           -- optimiser steps done
    split  TEXT NOT NULL,
    name   TEXT NOT NULL,
    value  REAL,
    stderr REAL,
    n      INTEGER,
    PRIMARY KEY (run_id, step, split, name)
) WITHOUT ROWID;

CREATE TABLE phases (
    run_id          INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    phase           TEXT NOT NULL,     -- load, data, train, certificate (its part before training included), validate, test, forgetting (both sides), save
    wall_s          REAL,
    cpu_s           REAL,
    peak_rss_bytes  INTEGER,           -- VmHWM within the phase, where the kernel lets it be reset; evaluation during training is not train's
    peak_live_bytes INTEGER,           -- exact, from the arenas
    PRIMARY KEY (run_id, phase)
) WITHOUT ROWID;

CREATE TABLE memory (
    run_id   INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    category TEXT NOT NULL,            -- weights, adapter, gradients, optimizer, activations, workspace: most at once, exact; and measured after
    bytes    INTEGER,                  -- training: slack, data, heap, program (docs/reports.md). Their sum is nearly the phase train's peak_rss_bytes
    PRIMARY KEY (run_id, category)
) WITHOUT ROWID;

CREATE TABLE counters (
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    name   TEXT NOT NULL,
    value  INTEGER,                    -- exact: equal or not equal, no threshold
    PRIMARY KEY (run_id, name)
) WITHOUT ROWID;

CREATE TABLE checks (                  -- the run's certificate; what could not be measured has no row (harness/certificate.h)
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    name   TEXT NOT NULL,              -- count, identity or not_identity, frozen, save_load, merged, prompt_only, acts, moves, saved
    ok     INTEGER NOT NULL CHECK (ok IN (0, 1)),
    value  REAL,                       -- a number of tensors (count: of trainable numbers), or a difference as a part of the largest logit
    bound  REAL,                       -- at most; not_identity and acts: more than
    PRIMARY KEY (run_id, name)
) WITHOUT ROWID;

-- since version 2: a database of version 1 is given what follows when it is next written (db.c)

CREATE TABLE test_read_log (           -- one row each time test results were stored; merged databases keep every row once
    uid    TEXT PRIMARY KEY,
    task   TEXT NOT NULL,
    method TEXT NOT NULL
) WITHOUT ROWID;

CREATE VIEW test_reads AS              -- how often test data was looked at: printed under each table
    SELECT task, method, count(*) AS count FROM test_read_log GROUP BY task, method;

CREATE TABLE sweep_runs (              -- which runs belong to a plan; a run may belong to several
    sweep  TEXT NOT NULL,              -- the plan's name
    run_id INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    stage  TEXT NOT NULL CHECK (stage IN ('tune', 'final')),
    label  TEXT NOT NULL,              -- the method's name in the plan
    trial  INTEGER NOT NULL,           -- of the label's search space, from 0; final: the chosen one
    PRIMARY KEY (sweep, run_id, stage)
) WITHOUT ROWID;
CREATE INDEX sweep_runs_by_run ON sweep_runs (run_id);

-- since version 4

CREATE TABLE probes (                  -- what a few steps of a run said of all of it (sweep --dry-run), by what the run's cost depends on
    shape            TEXT NOT NULL,    -- sha256 over the settings that decide the cost, and over model and data
    machine          TEXT NOT NULL,    -- CPU and cores
    wall_s           REAL NOT NULL,    -- of a whole run but for its evaluation
    eval_token_s     REAL NOT NULL,    -- of evaluation, for each token of the split
    peak_rss_bytes   INTEGER NOT NULL, -- but for reading the data
    peak_live_bytes  INTEGER NOT NULL,
    flops            INTEGER NOT NULL, -- of training
    steps            INTEGER NOT NULL,
    PRIMARY KEY (shape, machine)
) WITHOUT ROWID;

CREATE TABLE costs (                   -- what decides the cost of a sweep's run, known before it starts
    run_id         INTEGER PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    shape          TEXT NOT NULL,      -- as in probes
    eval_tokens    INTEGER NOT NULL,   -- of the split that is scored
    data_rss_bytes INTEGER NOT NULL    -- that reading the data takes
);
CREATE INDEX costs_by_shape ON costs (shape);

CREATE TABLE forecasts (               -- what was expected of a run when it was started; nothing to go by: no row
    run_id          INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    basis           TEXT NOT NULL CHECK (basis IN ('probe', 'runs')), -- a probe; runs of this shape that were done before
    wall_s          REAL,
    peak_rss_bytes  INTEGER,
    peak_live_bytes INTEGER,
    flops           INTEGER,
    disk_bytes      INTEGER,           -- that the database grows by; of one run it cannot be measured
    PRIMARY KEY (run_id, basis)
) WITHOUT ROWID;

CREATE VIEW predictions AS             -- forecasts beside what was measured, of runs that are ok; nothing was expected: NULL
    SELECT c.run_id, 'wall_s' AS name, basis, wall_s AS predicted,
           (julianday(finished_at) - julianday(started_at)) * 86400 AS measured
    FROM costs c JOIN runs ON id = c.run_id AND status = 'ok' LEFT JOIN forecasts f ON f.run_id = c.run_id
    UNION ALL
    SELECT c.run_id, 'peak_rss_bytes', basis, peak_rss_bytes, (SELECT max(peak_rss_bytes) FROM phases p WHERE p.run_id = c.run_id)
    FROM costs c JOIN runs ON id = c.run_id AND status = 'ok' LEFT JOIN forecasts f ON f.run_id = c.run_id
    UNION ALL
    SELECT c.run_id, 'peak_live_bytes', basis, peak_live_bytes, (SELECT max(peak_live_bytes) FROM phases p WHERE p.run_id = c.run_id)
    FROM costs c JOIN runs ON id = c.run_id AND status = 'ok' LEFT JOIN forecasts f ON f.run_id = c.run_id
    UNION ALL
    SELECT c.run_id, 'flops', basis, flops, (SELECT sum(value) FROM counters n WHERE n.run_id = c.run_id AND n.name GLOB 'flops_*')
    FROM costs c JOIN runs ON id = c.run_id AND status = 'ok' LEFT JOIN forecasts f ON f.run_id = c.run_id;

-- since version 5: what belongs to an item is stored once for all runs that answered it (outcomes.c writes and reads these; docs/database.md)

CREATE TABLE item_sets (               -- the items of a scored split, in order
    id   INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,         -- sha256 over ids and right answers, and clusters where there are any
    n    INTEGER NOT NULL
);

CREATE TABLE items (
    set_id     INTEGER NOT NULL REFERENCES item_sets (id) ON DELETE CASCADE,
    position   INTEGER NOT NULL,       -- from 0
    example_id TEXT NOT NULL,          -- from a hash of the item's content; two items of equal content share it
    gold       TEXT,
    PRIMARY KEY (set_id, position)
) WITHOUT ROWID;
CREATE INDEX items_by_id ON items (example_id);

CREATE TABLE answers (                 -- every text that was ever answered, once
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
);

CREATE TABLE outcomes (                -- one row per run and scored split
    id      INTEGER PRIMARY KEY,
    run_id  INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    split   TEXT NOT NULL,
    set_id  INTEGER NOT NULL REFERENCES item_sets (id),
    correct BLOB NOT NULL,             -- a byte an item, in the set's order: the characters 1, 0, or - (not scored)
    UNIQUE (run_id, split)
);
CREATE INDEX outcomes_by_set ON outcomes (set_id);

CREATE TABLE details (                 -- what else is known of an outcome; nothing: no row
    outcomes_id INTEGER NOT NULL REFERENCES outcomes (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    score       REAL,
    answer_id   INTEGER REFERENCES answers (id),
    PRIMARY KEY (outcomes_id, position)
) WITHOUT ROWID;

-- since version 6

CREATE TABLE imported (                -- runs that another program measured (hf_import.c): what it says of them that no other column means
    run_id                          INTEGER PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    origin                          TEXT NOT NULL, -- method_comparison: the folder of that name in Hugging Face's PEFT
    experiment                      TEXT NOT NULL, -- its name there
    train_s                         REAL,          -- from the loaded model to the end, evaluations during training left out: wider than the phase train
    total_s                         REAL,
    file_bytes                      INTEGER,       -- of the checkpoint
    accelerator_reserved_max_bytes  INTEGER,       -- what torch's caching allocator held; of the whole run, evaluations included
    accelerator_reserved_mean_bytes INTEGER,       -- at the end of a step, likewise the next
    accelerator_reserved_p99_bytes  INTEGER,
    document                        TEXT NOT NULL CHECK (json_valid(document)) -- the file as it was
);

ALTER TABLE probes ADD COLUMN text_token_s REAL; -- of reading a token of plain text without training: what the forgetting probe takes; NULL: not known

CREATE TABLE noise (                   -- what this machine could tell apart when the run was timed (doctor --noise, stats_speed.h); never certified: no row
    run_id      INTEGER PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    measured_at TEXT NOT NULL,
    pairs       INTEGER NOT NULL,      -- of processes, that the rest speaks of
    floor       REAL NOT NULL,         -- an estimated slowdown up to this part of the time may be noise
    found       REAL                   -- the smallest slowdown that is found in 9 of 10 tries; NULL: none that was tried
);

ALTER TABLE items ADD COLUMN cluster TEXT; -- items that share it are about one thing (a creature, a passage) and no independent draws; NULL: each its own, or not known

DROP VIEW IF EXISTS examples;          -- version 5 had it without the cluster
CREATE VIEW examples AS                -- one row per item
    SELECT o.run_id, o.split, i.example_id, CASE substr(o.correct, i.position + 1, 1) WHEN x'31' THEN 1 WHEN x'30' THEN 0 END AS correct,
           d.score, a.text AS answer, i.gold, i.position, i.cluster
    FROM outcomes o JOIN items i ON i.set_id = o.set_id LEFT JOIN details d ON d.outcomes_id = o.id AND d.position = i.position
    LEFT JOIN answers a ON a.id = d.answer_id;

CREATE TABLE roofline (                -- how fast the machine multiplies by the model's weights at best (roofline.h); not measured: no row
    run_id INTEGER PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    gflops REAL NOT NULL               -- 1e9 floating-point operations a second, with the run's backend, threads and precision
);
