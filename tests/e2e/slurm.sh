#!/usr/bin/env bash
# slurm.sh - `sweep --launcher slurm` against a real Slurm: munged, slurmctld and slurmd of this machine, started by hand in the scratch
# folder with ports of their own, no cgroups, and ended with it. An array of 8 shards is the local sweep, row for row; so is one whose
# tasks were killed, cancelled and requeued, after the same command again. Without Debian's slurm-wlm and munge: skipped.
source "$(dirname "$0")/lib.bash"
PATH=$PATH:/usr/sbin:/sbin
skip() {
    printf 'skip Slurm: %s\n0 passed, 0 failed, 1 skipped\n' "$1"
    exit 0
}

# What needs no Slurm: errors, and what a dry run prints.
cat >"$dir/plan.json" <<'EOF'
{"name": "slurm-test", "models": ["models/tiny"], "tasks": ["tiny_facts"], "seeds": [0, 1], "baseline": true,
 "config": {"train.steps": 50, "train.batch": 8, "eval.limit": 60}, "search": {"optim.lr": {"grid": [1e-3, 3e-3, 1e-2, 3e-2]}},
 "tuning": {"trials": 4}, "methods": [{"method": "lora", "config": {"method.rank": 4}}, "svf"]}
EOF
sweep=(sweep "$dir/plan.json")
slurm=(--launcher slurm --shards 8)
mkdir "$dir/none" "$dir/a b"
ln -s "$(command -v env)" "$dir/none/"
dry="$dir/a b/it's.db"
run "${sweep[@]}" --db "$dry" "${slurm[@]}" --sbatch '--time=5 --mem=500' --dry-run
if [[ $status -eq 0 && ! -e $dry.slurm ]] && grep -q '^sbatch .*--time=5 --mem=500 --array=1-8 .* tune$' "$dir/out" &&
    [[ $(grep -c '^sbatch ' "$dir/out") -eq 4 && $(grep -c -- '--dependency=afterany:JOB' "$dir/out") -eq 3 ]]; then ok
else bad "dry run: $status $(cat "$dir/out" "$dir/err")"
fi
# The script that it prints names its files so that a shell finds them.
sed '/^sbatch /d; s/^exec .*/printf "%s\\n" "$db.slurm"/; s/^    --stage.*//' "$dir/out" >"$dir/printed.sh"
[[ $(sh "$dir/printed.sh" tune) == "$dry.slurm" ]] && ok || bad "the script's quoting: $(sh "$dir/printed.sh" tune 2>&1)"
PATH=$dir/none run "${sweep[@]}" --db "$dir/none.db" "${slurm[@]}"
[[ $status -eq 3 ]] && grep -q 'start sbatch: No such file' "$dir/err" && grep -q '^hint: .*--launcher local' "$dir/err" && ok || bad "no sbatch: $status $(cat "$dir/err")"
refuses 2 'neither local nor slurm' "${sweep[@]}" --launcher pbs
refuses 2 'goes with --launcher slurm' "${sweep[@]}" --shards 8
refuses 2 'not a part of a plan' "${sweep[@]}" --shard 9/8
refuses 2 'neither tune nor final' "${sweep[@]}" --stage best

missing=
for tool in munged slurmctld slurmd sbatch squeue scancel scontrol sqlite3; do command -v $tool >/dev/null || missing+=" $tool"; done
[[ $missing ]] && { echo "skip Slurm:$missing not installed (scripts/deps.sh --test)"; echo "$passed passed, $failed failed, 1 skipped"; exit $((failed > 0)); }

# A cluster of one node, this one.
daemons=()
stop() {
    scancel --user="$(id -un)" --quiet 2>/dev/null
    for ((k = 0; k < 50; k++)); do [[ $(squeue --noheader 2>/dev/null) ]] || break; sleep 0.1; done
    kill "${daemons[@]}" 2>/dev/null
    wait "${daemons[@]}" 2>/dev/null
    rm -rf "$dir"
}
trap stop EXIT
host=$(hostname -s) port=$((20000 + RANDOM % 10000)) user=$(id -un) s=$dir/slurm
mkdir "$s" "$s/state" "$s/spool"
chmod 755 "$dir" "$s"
head -c 1024 /dev/urandom >"$s/munge.key"
chmod 400 "$s/munge.key"
cat >"$s/slurm.conf" <<EOF
ClusterName=peftmeter
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$s/munge.sock
CredType=cred/munge
SlurmctldPort=$port
SlurmdPort=$((port + 1))
StateSaveLocation=$s/state
SlurmdSpoolDir=$s/spool
SlurmctldPidFile=$s/slurmctld.pid
SlurmdPidFile=$s/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
KillWait=2
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
EOF
export SLURM_CONF=$s/slurm.conf
munged --foreground --force --key-file="$s/munge.key" --socket="$s/munge.sock" --pid-file="$s/munged.pid" --log-file="$s/munged.log" --seed-file="$s/munge.seed" >"$s/munged.out" 2>&1 &
daemons+=($!)
for ((k = 0; k < 50; k++)); do [[ -S $s/munge.sock ]] && break; sleep 0.1; done
slurmctld -D -f "$SLURM_CONF" >"$s/slurmctld.out" 2>&1 &
daemons+=($!)
slurmd -D -f "$SLURM_CONF" -N "$host" >"$s/slurmd.out" 2>&1 &
daemons+=($!)
for ((k = 0; k < 80; k++)); do sinfo --noheader --format=%T 2>/dev/null | grep -q '^idle' && break; sleep 0.25; done
if ! sinfo --noheader --format=%T 2>/dev/null | grep -q '^idle'; then
    tail -n 5 "$s"/*.out >&2
    [[ ${CI:-} ]] || skip 'its daemons do not start here'
    bad "Slurm's daemons do not start"
    finish
    exit 1
fi

ask() { sqlite3 -cmd '.timeout 10000' "$1" "$2"; }
same() { # what, got, want
    if [[ $2 == "$3" ]]; then ok
    else bad "$1: '$2', want '$3'"
    fi
}
drain() { # until no job is queued; the controller may be slow to answer
    for ((k = 0; k < 600; k++)); do [[ $(squeue --noheader) ]] || return 0; sleep 0.2; done
    bad "jobs are still queued: $(squeue)"
}
id_of() { sed -n "s/^  job \([0-9]*\): $1.*/\1/p" "$dir/out"; }

run "${sweep[@]}" --db "$dir/local.db" --quiet
story "$dir/local.db" >"$dir/local"
same 'the local sweep' "$status|$(ask "$dir/local.db" "SELECT count(*), sum(status = 'ok') FROM runs")" '0|13|13'

# Undisturbed, in folders with a space; merged; merged again; there is nothing left to submit.
db="$dir/a b/it's.db"
run "${sweep[@]}" --db "$db" "${slurm[@]}"
same 'submitted' "$status|$(grep -c '^  job [0-9]*: ' "$dir/out")" '0|4'
expect 1 'still queued or running' "${sweep[@]}" --db "$db" "${slurm[@]}"
drain
same 'an array of shards is the local sweep' "$(story "$db" | cksum)" "$(cksum <"$dir/local")"
diff <(story "$db") "$dir/local" | head -n 5
same 'one database for each task' "$(find "$db.slurm" -name 'shard-*.db' | wc -l)" 8
same 'none did it all' "$(for f in "$db.slurm"/shard-*.db; do ask "$f" 'SELECT count(*) FROM runs'; done | sort -n | tail -n 1)" 2
run merge "$dir/merged.db" "$db.slurm"/shard-*.db
same 'merged by hand' "$status|$(story "$dir/merged.db" | cksum)" "0|$(cksum <"$dir/local")"
expect 0 '0 runs added, 0 in the place of broken ones, 13 there already' merge "$dir/merged.db" "$db.slurm"/shard-*.db
same 'merged twice' "$(story "$dir/merged.db" | cksum)" "$(cksum <"$dir/local")"
expect 0 '13 there already, 0 failed' "${sweep[@]}" --db "$db" "${slurm[@]}"
same 'nothing to submit' "$(squeue --noheader)" ''

# Disturbed: while trials run, one task is killed, one cancelled, one requeued. Those three get databases that take a second or more to
# write to, and are let go one by one, so that each is met at work on a machine of any speed.
db=$dir/disturbed.db
shard() { echo "$db.slurm/shard-$1.db"; }
mkdir "$db.slurm"
cp "$dir/local.db" "$dir/slow.db"
ask "$dir/slow.db" "PRAGMA foreign_keys = ON; DELETE FROM runs; DELETE FROM test_read_log; DELETE FROM hosts;
    CREATE VIEW slowly AS WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 4000000) SELECT max(i) FROM c;
    CREATE TRIGGER slow AFTER INSERT ON steps WHEN NEW.step = 1 BEGIN SELECT * FROM slowly; END"
for k in 1 3 4; do cp "$dir/slow.db" "$(shard $k)"; done
run "${sweep[@]}" --db "$db" "${slurm[@]}" --sbatch --hold
tune=$(id_of tune)
at_work() { [[ $(ask "$(shard "$1")" "SELECT count(*) FROM runs WHERE status = 'running'" 2>/dev/null) -ge 1 ]]; }
await() { # shard
    scontrol release "${tune}_$1"
    for ((k = 0; k < 600; k++)); do at_work "$1" && return; sleep 0.05; done
    bad "shard $1 never ran"
}
await 1
task=$(pgrep -f -- "sweep .*disturbed.db.slurm/shard-1.db")
run merge "$dir/early.db" "$(shard 1)"
kill -KILL "$task"
same 'a task at work is merged as it is' "$(ask "$dir/early.db" "SELECT count(*) FROM runs WHERE status = 'running'")" 1
for ((k = 0; k < 100; k++)); do # its worker may take a moment to end
    run merge "$dir/early.db" "$(shard 1)"
    [[ $(ask "$dir/early.db" "SELECT count(*) FROM runs WHERE status = 'failed'") -eq 1 ]] && break
    sleep 0.1
done
same 'a killed one, as failed' "$(ask "$dir/early.db" "SELECT group_concat(status || error) FROM runs WHERE status <> 'ok'")" \
    'failedthe sweep was killed while this run was going on'
await 3
scancel "${tune}_3"
await 4
scontrol requeue "${tune}_4"
# Slurm gives a node two minutes to end what it was doing. Here that is seen to: a signal that is still under way would meet the task's second try.
for ((k = 0; k < 200; k++)); do [[ $(squeue --noheader --format=%t --jobs="${tune}_4") == PD ]] && ! pgrep -x slurmstepd >/dev/null && break; sleep 0.1; done
for k in 1 3 4; do ask "$(shard $k)" 'DROP TRIGGER slow; DROP VIEW slowly'; done
scontrol update jobid="${tune}_4" starttime=now
for id in $(squeue --noheader --format=%A | sort -un); do scontrol release "$id" 2>/dev/null; done
drain
same 'a killed task is a failed run' "$(ask "$db" "SELECT count(*) FROM runs WHERE status = 'failed' AND error LIKE '%was killed%'")" 1
same 'a cancelled one shows' "$(ask "$db" "SELECT count(*) FROM runs WHERE status IN ('cancelled', 'failed')")" 2
same 'a requeued one is done' "$(ask "$db.slurm/shard-4.db" "SELECT count(*) FROM runs WHERE status <> 'ok'")|$(ask "$db.slurm/shard-4.db" 'SELECT count(*) > 0 FROM runs')" '0|1'
same 'nothing is chosen where a trial is missing' \
    "$(ask "$db" "SELECT group_concat(label) FROM (SELECT DISTINCT label FROM sweep_runs WHERE stage = 'final' ORDER BY label)")|$(ask "$db" "SELECT count(*) FROM test_read_log")" 'svf,untuned|3'
json "${sweep[@]}" --db "$db" "${slurm[@]}" --json
same 'only what is missing' "$(sed -n 's/.*"\(array\|runs\)":\t"\?\([0-9,-]*\)"\?.*/\2/p' "$dir/out" | head -n 2 | paste -sd ' ')" '1,3 2'
drain
same 'killed, cancelled, requeued, completed' "$(story "$db" | cksum)" "$(cksum <"$dir/local")"
diff <(story "$db") "$dir/local" | head -n 5

# What sbatch says; when it refuses the third job, the two before it are withdrawn.
refuses 3 'invalid partition' "${sweep[@]}" --db "$dir/refused.db" "${slurm[@]}" --sbatch --partition=nowhere
mkdir "$dir/fickle"
cat >"$dir/fickle/sbatch" <<EOF
#!/bin/sh
echo x >>"$dir/calls"
[ "\$(wc -l <"$dir/calls")" -lt 3 ] || { echo 'sbatch: error: Job violates accounting policy' >&2; exit 1; }
exec "$(command -v sbatch)" --begin=now+1hour "\$@"
EOF
chmod +x "$dir/fickle/sbatch"
PATH=$dir/fickle:$PATH refuses 3 'violates accounting policy' "${sweep[@]}" --db "$dir/refused.db" "${slurm[@]}"
same 'two were submitted before' "$(wc -l <"$dir/calls")" 3
for ((k = 0; k < 50; k++)); do [[ $(squeue --noheader) ]] || break; sleep 0.1; done
same 'nothing is left of a refused call' "$(squeue --noheader)" ''
finish
