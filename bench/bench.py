"""Ours and the peer side by side on one job, in turns, so that a machine that slows down slows both.

    python3 bench/bench.py --gguf FILE --data DIR [--peer-python FILE] [--cache DIR] [--mode lora|dora|...|all]
                           [--pairs 3] [--steps 8] [--warmup 2] [--threads 2] [--out FILE.json]

--mode takes one method, a comma list, or all. The job is bench/peer.py's. Turns are ABBA: a pair runs every method ours
first, the next pair runs all of it backwards. A ratio is between neighbours in time; the table has medians, and the
ratios' range over the pairs. Without --peer-python only ours runs. bench.sh prepares it all.
Rates: real tokens over the seconds of the steps after the warm-up, on both sides from each side's own clock. Peaks are the
processes' VmHWM. Both sides must train the same number of parameters on the same number of tokens in each step and start
from the same loss: otherwise the jobs differ, and the comparison is refused.
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
LOSS_TOL = 2e-3  # of the first step, where both sides are still the same model
LOW_RANK = ["rank=16", "alpha=32", "dropout=0", "targets=all"]
REFT = ["rank=8", "layers=all", "prefix=3", "suffix=3", "tied=true", "dropout=0"]
# The fields of method.*; bench/peer_methods.py has the same settings.
METHODS = {"full": [], "lora": LOW_RANK, "dora": LOW_RANK, "svf": ["form=paper", "targets=all"],
           "wegeft": [*LOW_RANK, "share=true"], "loreft": REFT, "direft": REFT}
RANDOM_START = ["loreft", "direft"]  # their edit is not 0 at first: ours starts from the peer's
TRAIN = [f"train.batch={BATCH}", "train.shuffle=false", "train.max_len=0", "optim.lr=1e-4", "optim.schedule=constant",
         "optim.weight_decay=0.01", "optim.clip=0", "eval.split=none"]


class BenchError(Exception):
    pass


def run(command):
    """A program's stdout; its stderr is shown when it fails."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{command[0]}: exit {done.returncode}\n{done.stderr.strip()}")
    return done.stdout


def read_run(db):
    """(steps, counters) of the only run in a database."""
    with sqlite3.connect(db) as connection:
        rows = connection.execute("SELECT loss, tokens, wall_s FROM steps ORDER BY step").fetchall()
        counters = dict(connection.execute("SELECT name, value FROM counters").fetchall())
    connection.close()
    return [{"loss": loss, "tokens": tokens, "wall_s": wall} for loss, tokens, wall in rows], counters


def ours(method, args):
    """One `peftmeter run` into a database of its own: its JSON, plus its steps and counters from there."""
    settings = [*(f"method.{field}" for field in METHODS[method]), *TRAIN, f"train.steps={args.steps}"]
    with tempfile.TemporaryDirectory() as folder:
        db = pathlib.Path(folder, "bench.db")
        command = [BIN, "run", "--model", args.gguf, "--task", "gsm8k", "--method", method, "--threads", args.threads,
                   "--db", db, "--json", "--quiet", *args.start.get(method, [])]
        for setting in settings:
            command += ["--set", setting]
        out = json.loads(run(command))
        steps, counters = read_run(db)
    flops = sum(value for name, value in counters.items() if name.startswith("flops_"))
    return {"tokens_per_s": rate(steps, args.warmup), "peak_rss_bytes": out["peak_rss_bytes"],
            "trainable_params": out["trainable_params"], "steps": steps,
            "gflops": flops / sum(s["wall_s"] for s in steps) / 1e9}


def peer_command(method, args):
    return [args.peer_python, HERE / "peer.py", "--gguf", args.gguf, "--data", args.data, "--mode", method,
            "--cache", args.cache, "--steps", args.steps, "--warmup", args.warmup, "--threads", args.threads, "--json"]


def peer(method, args):
    return json.loads(run(peer_command(method, args)))


def peer_starts(args, root):
    """{method: options of ours}, by which ours starts where the peer does."""
    start = {}
    for method in args.methods:
        if method in RANDOM_START and args.peer_python:
            folder = pathlib.Path(root, method)
            folder.mkdir()
            run([*peer_command(method, args), "--start-out", folder])
            start[method] = ["--adapter-in", folder]
    return start


def rate(steps, warmup):
    timed = steps[warmup:]
    return sum(s["tokens"] for s in timed) / sum(s["wall_s"] for s in timed)


def check_same_job(method, a, b):
    def require(holds, what, mine, theirs):
        if not holds:
            raise BenchError(f"{method}: not the same {what}: {mine} (ours) and {theirs} (peer)")

    tokens = [[s["tokens"] for s in side["steps"]] for side in (a, b)]
    require(tokens[0] == tokens[1], "rows, tokens a step", *tokens)
    counts = [side["trainable_params"] for side in (a, b)]
    require(counts[0] == counts[1], "count of trained parameters", *counts)
    losses = [side["steps"][0]["loss"] for side in (a, b)]
    require(abs(losses[0] - losses[1]) <= LOSS_TOL, "model, first loss", *losses)


def progress(label, result):
    print(f"  {label}: {result['tokens_per_s']:.1f} tokens/s, {result['peak_rss_bytes'] / 2**30:.2f} GiB",
          file=sys.stderr, flush=True)
    return result


def run_pair(backwards, args):
    """{method: {"ours": ..., "peer": ...}}; without a peer python only ours."""
    sides = [("ours", ours), ("peer", peer)] if args.peer_python else [("ours", ours)]
    turns = [(method, *side) for method in args.methods for side in sides]
    done = {method: {} for method in args.methods}
    for method, label, measure in reversed(turns) if backwards else turns:
        done[method][label] = progress(f"{method} {label}", measure(method, args))
        if len(done[method]) == 2:
            check_same_job(method, done[method]["ours"], done[method]["peer"])
    return done


def roofline(threads):
    """The best fp32 product `doctor` measures with this many threads, in GF/s; None when it measured none."""
    doctor = json.loads(run([BIN, "doctor", "--json"]))
    rates = [case["gflops"] for backend in doctor["backends"] for case in backend["speed"]
             if case["precision"] == "fp32" and case["threads"] == threads]
    return max(rates, default=None)


def spread(values):
    """median (min..max)"""
    return f"{statistics.median(values):.3g} ({min(values):.3g}..{max(values):.3g})"


def median_of(pairs, method, side, key):
    return statistics.median(pair[method][side][key] for pair in pairs)


def peer_cells(method, pairs):
    ratios = [pair[method]["ours"]["tokens_per_s"] / pair[method]["peer"]["tokens_per_s"] for pair in pairs]
    return [f"{median_of(pairs, method, 'peer', 'tokens_per_s'):.1f}", spread(ratios),
            f"{median_of(pairs, method, 'peer', 'peak_rss_bytes') / 2**30:.2f}"]


def over_lora(method, pairs):
    """Our time a token over plain LoRA's of the same pair."""
    if "lora" not in pairs[0]:
        return "-"
    return spread([pair["lora"]["ours"]["tokens_per_s"] / pair[method]["ours"]["tokens_per_s"] for pair in pairs])


def table_row(method, pairs, peak_gflops):
    theirs = peer_cells(method, pairs) if "peer" in pairs[0][method] else ["-"] * 3
    gflops = median_of(pairs, method, "ours", "gflops")
    share = f"{100 * gflops / peak_gflops:.0f}%" if peak_gflops else "-"
    return [method, f"{median_of(pairs, method, 'ours', 'tokens_per_s'):.1f}", *theirs[:2],
            f"{median_of(pairs, method, 'ours', 'peak_rss_bytes') / 2**30:.2f}", theirs[2], f"{gflops:.1f}", share,
            over_lora(method, pairs)]


def table(args, pairs, peak_gflops):
    head = ["method", "ours tok/s", "peer tok/s", "ours / peer", "ours GiB", "peer GiB", "ours GF/s", "of peak",
            "time over lora"]
    rows = [head, *(table_row(method, pairs, peak_gflops) for method in args.methods)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = ["  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(r, widths)))
             for r in rows]
    peak = f"; roofline: doctor's {peak_gflops:.0f} GF/s" if peak_gflops else ""
    return "\n".join([f"SmolLM2-135M-Instruct, GSM8K, batch {BATCH}, fp32, {args.threads} threads, steps {args.warmup + 1}.."
                      f"{args.steps}, median (min..max) of {len(pairs)} pairs{peak}", *lines])


def parse_methods(text):
    names = list(METHODS) if text == "all" else text.split(",")
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; known: {', '.join(METHODS)}, or all")
    return list(dict.fromkeys(names))


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--peer-python", help="interpreter with tests/golden/requirements.txt; none: only ours runs")
    parser.add_argument("--cache", default="build/bench", help="folder where the peer keeps SVF's factors")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mode", dest="methods", type=parse_methods, default=["lora"],
                        help="a method, a comma list, or all")
    parser.add_argument("--out", help="all numbers, as JSON")
    args = parser.parse_args()
    if args.pairs < 1 or not 0 <= args.warmup < args.steps:
        parser.error("--pairs at least 1; --warmup must leave at least one step")
    return args


def main():
    args = parse_args()
    options = dict(vars(args))
    try:
        with tempfile.TemporaryDirectory() as root:
            args.start = peer_starts(args, root)
            pairs = [run_pair(i % 2 == 1, args) for i in range(args.pairs)]
        peak = roofline(args.threads)
    except BenchError as error:
        sys.exit(f"bench: {error}")
    print(table(args, pairs, peak))
    if args.out:
        record = {"args": options, "doctor_gflops": peak, "pairs": pairs}
        pathlib.Path(args.out).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
