-- schema.sql - peftmeter's database, version 3. One file holds settings, environment, losses, metrics and every example's outcome,
-- so that any two runs can be compared later. A value that was not measured is NULL, never a sentinel. Times are UTC, ISO 8601.
PRAGMA application_id = 1346717268; -- 0x50454654, "PEFT"
PRAGMA user_version = 3;

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

CREATE TABLE examples (                -- one row per item; two items of equal content share their id
    run_id     INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    split      TEXT NOT NULL,
    example_id TEXT NOT NULL,          -- from a hash of the item's content
    correct    INTEGER CHECK (correct IN (0, 1)),
    score      REAL,
    answer     TEXT,
    gold       TEXT
);
CREATE INDEX examples_by_id ON examples (run_id, split, example_id);

CREATE TABLE phases (
    run_id          INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    phase           TEXT NOT NULL,     -- load, data, train, certificate (its part before training included), validate, test, save
    wall_s          REAL,
    cpu_s           REAL,
    peak_rss_bytes  INTEGER,           -- VmHWM within the phase
    peak_live_bytes INTEGER,           -- exact, from the arenas
    PRIMARY KEY (run_id, phase)
) WITHOUT ROWID;

CREATE TABLE memory (
    run_id   INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    category TEXT NOT NULL,            -- weights, adapter, gradients, optimizer, activations, workspace
    bytes    INTEGER,                  -- most at once, exact
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

-- since version 3

CREATE TABLE probes (                  -- what a few steps of a run said of all of it (sweep --dry-run), by what the run's cost depends on
    shape            TEXT NOT NULL,    -- sha256 over the settings that decide the cost, and over model and data
    machine          TEXT NOT NULL,    -- CPU and cores
    wall_s           REAL NOT NULL,    -- of a whole run but for its evaluation
    eval_token_s     REAL NOT NULL,    -- of evaluation, for each token of the split
    peak_rss_bytes   INTEGER NOT NULL,
    flops            INTEGER NOT NULL, -- of training
    steps            INTEGER NOT NULL,
    PRIMARY KEY (shape, machine)
) WITHOUT ROWID;

CREATE TABLE predictions (             -- of runs whose shape was probed before they were done
    run_id    INTEGER NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    name      TEXT NOT NULL,           -- wall_s, peak_rss_bytes, flops
    predicted REAL NOT NULL,
    measured  REAL NOT NULL,
    PRIMARY KEY (run_id, name)
) WITHOUT ROWID;
