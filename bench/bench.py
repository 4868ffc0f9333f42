"""Ours and the peer side by side on one job, in turns, so that a machine that slows down slows both.

    python3 bench/bench.py --gguf FILE --data DIR [--peer-python FILE] [--pairs 3] [--steps 8] [--warmup 2] [--threads 2]
                           [--mode lora|full] [--out FILE.json]

The job is bench/peer.py's. Turns are ABBA: ours peer, peer ours, ... A pair's ratio is between neighbours in time; the
table has medians, and the ratios' range over the pairs. Without --peer-python only ours runs. bench.sh prepares it all.
Rates: real tokens over the seconds of the steps after the warm-up, on both sides from each side's own clock. Peaks are the
processes' VmHWM. Both sides must have processed the same number of tokens in each step and start from the same loss:
otherwise the rows differ, and the comparison is refused.
"""
import argparse
import json
import pathlib
import sqlite3
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
BIN = HERE.parent / "build" / "release" / "peftmeter"
BATCH = 8
LOSS_TOL = 2e-3  # of the first step, where LoRA's B is still 0 and both sides are the same model
METHOD = {"lora": ["method.rank=16", "method.alpha=32", "method.dropout=0", "method.targets=all"], "full": []}
TRAIN = [f"train.batch={BATCH}", "train.shuffle=false", "train.max_len=0", "optim.lr=1e-4", "optim.schedule=constant",
         "optim.weight_decay=0.01", "optim.clip=0", "eval.split=none"]


class BenchError(Exception):
    pass


def run_json(command):
    """A program's JSON document from stdout; its stderr is shown when it fails."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{command[0]}: exit {done.returncode}\n{done.stderr.strip()}")
    return json.loads(done.stdout)


def ours(args):
    """One `peftmeter run` into a database of its own: its JSON, plus its steps and counters from there."""
    settings = [*METHOD[args.mode], *TRAIN, f"train.steps={args.steps}"]
    with tempfile.TemporaryDirectory() as folder:
        db = pathlib.Path(folder, "bench.db")
        command = [BIN, "run", "--model", args.gguf, "--task", "gsm8k", "--method", args.mode, "--threads", args.threads,
                   "--db", db, "--json", "--quiet"]
        for setting in settings:
            command += ["--set", setting]
        out = run_json(command)
        with sqlite3.connect(db) as connection:
            rows = connection.execute("SELECT loss, tokens, wall_s FROM steps ORDER BY step").fetchall()
            counters = dict(connection.execute("SELECT name, value FROM counters").fetchall())
        connection.close()
    steps = [{"loss": loss, "tokens": tokens, "wall_s": wall} for loss, tokens, wall in rows]
    flops = sum(value for name, value in counters.items() if name.startswith("flops_"))
    return {"tokens_per_s": rate(steps, args.warmup), "peak_rss_bytes": out["peak_rss_bytes"], "steps": steps,
            "gflops": flops / sum(s["wall_s"] for s in steps) / 1e9}


def peer(args):
    return run_json([args.peer_python, HERE / "peer.py", "--gguf", args.gguf, "--data", args.data, "--mode", args.mode,
                     "--steps", args.steps, "--warmup", args.warmup, "--threads", args.threads, "--json"])


def rate(steps, warmup):
    timed = steps[warmup:]
    return sum(s["tokens"] for s in timed) / sum(s["wall_s"] for s in timed)


def check_same_job(a, b):
    tokens = [[s["tokens"] for s in side["steps"]] for side in (a, b)]
    if tokens[0] != tokens[1]:
        raise BenchError(f"not the same rows: tokens a step {tokens[0]} (ours) and {tokens[1]} (peer)")
    losses = [side["steps"][0]["loss"] for side in (a, b)]
    if abs(losses[0] - losses[1]) > LOSS_TOL:
        raise BenchError(f"not the same model: first loss {losses[0]} (ours) and {losses[1]} (peer)")


def progress(label, result):
    print(f"  {label}: {result['tokens_per_s']:.1f} tokens/s, {result['peak_rss_bytes'] / 2**30:.2f} GiB",
          file=sys.stderr, flush=True)
    return result


def measure(args):
    """A list of (ours, peer or None), one a pair."""
    pairs = []
    for i in range(args.pairs):
        turns = [("ours", ours), ("peer", peer)] if args.peer_python else [("ours", ours)]
        done = {}
        for label, run in turns if i % 2 == 0 else reversed(turns):
            done[label] = progress(label, run(args))
        if args.peer_python:
            check_same_job(done["ours"], done["peer"])
        pairs.append((done["ours"], done.get("peer")))
    return pairs


def roofline(threads):
    """The best fp32 product `doctor` measures with this many threads, in GF/s; None when it measured none."""
    doctor = run_json([BIN, "doctor", "--json"])
    rates = [case["gflops"] for backend in doctor["backends"] for case in backend["speed"]
             if case["precision"] == "fp32" and case["threads"] == threads]
    return max(rates, default=None)


def row(name, pairs, key, unit, form):
    """One line of the table: medians, and the ratio of each pair as median (min..max)."""
    mine = statistics.median(a[key] for a, _ in pairs) / unit
    if pairs[0][1] is None:
        return f"{name:<24}{mine:>12{form}}"
    theirs = statistics.median(b[key] for _, b in pairs) / unit
    ratios = sorted(a[key] / b[key] for a, b in pairs)
    spread = f"{statistics.median(ratios):.3g}x ({ratios[0]:.3g}..{ratios[-1]:.3g})"
    return f"{name:<24}{mine:>12{form}}{theirs:>20{form}}   {spread}"


def table(args, pairs, peak_gflops):
    first = f"{'':<24}{'peftmeter':>12}"
    if args.peer_python:
        first += f"{'transformers+PEFT':>20}   ours / peer, median (min..max of {len(pairs)} pairs)"
    lines = [f"SmolLM2-135M-Instruct, {args.mode}, GSM8K, batch {BATCH}, fp32, {args.threads} threads, steps "
             f"{args.warmup + 1}..{args.steps}", first,
             row("real tokens/s", pairs, "tokens_per_s", 1, ".1f"),
             row("peak resident, GiB", pairs, "peak_rss_bytes", 2**30, ".2f")]
    gflops = statistics.median(a["gflops"] for a, _ in pairs)
    share = f"   {100 * gflops / peak_gflops:.0f}% of doctor's {peak_gflops:.0f}" if peak_gflops else ""
    return "\n".join([*lines, f"{'GF/s while training':<24}{gflops:>12.1f}{share}"])


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--peer-python", help="interpreter with tests/golden/requirements.txt; none: only ours runs")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mode", choices=list(METHOD), default="lora")
    parser.add_argument("--out", help="all numbers, as JSON")
    args = parser.parse_args()
    if args.pairs < 1 or not 0 <= args.warmup < args.steps:
        parser.error("--pairs at least 1; --warmup must leave at least one step")
    return args


def main():
    args = parse_args()
    try:
        pairs = measure(args)
        peak = roofline(args.threads)
    except BenchError as error:
        sys.exit(f"bench: {error}")
    print(table(args, pairs, peak))
    if args.out:
        record = {"args": vars(args), "doctor_gflops": peak, "pairs": [{"ours": a, "peer": b} for a, b in pairs]}
        pathlib.Path(args.out).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
