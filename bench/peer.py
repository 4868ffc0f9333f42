"""The peer of `make bench`: transformers with a method of bench/peer_methods.py, doing the same job as its user would.

    python3 bench/peer.py --gguf FILE --data DIR [--mode NAME] [--cache DIR] [--steps 10] [--warmup 2] [--threads 2] --json

Job: SmolLM2-135M-Instruct in fp32, AdamW, batches of 8 rows of GSM8K train in file order (DIR/gsm8k/train.jsonl),
right-padded, labels -100 on prompt and padding, transformers' default attention, no gradient checkpointing.
Printed: real (unpadded) tokens a second over the steps after the warm-up, and the process's peak resident memory.
"""
import argparse
import json
import pathlib
import re
import sys
import time

import peft
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden"))
import peer_methods  # noqa: E402
import smollm2  # noqa: E402

BATCH, PAD_ID = 8, 2


def peak_rss_bytes():
    """VmHWM of this process; getrusage's ru_maxrss would inherit the parent's peak through exec."""
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path("/proc/self/status").read_text())[1])


def param_groups(model):
    """Weight decay must not reach LoReFT's R: torch truncates what it shrinks to 0, and R with it (docs/METHODS.md)."""
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    rotations = [p for name, p in trained if "parametrizations" in name]
    others = [p for name, p in trained if "parametrizations" not in name]
    return [{"params": others}, {"params": rotations, "weight_decay": 0.0}]


def train(model, rows, n_steps):
    """One record a step: loss, real tokens, tokens with padding, seconds."""
    optimizer = torch.optim.AdamW(param_groups(model), lr=1e-4, weight_decay=0.01)
    steps = []
    for i in range(n_steps):
        start = time.perf_counter()
        batch = smollm2.padded_batch(rows[i * BATCH:(i + 1) * BATCH], PAD_ID)
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        steps.append({"loss": loss.item(), "tokens": int(batch["attention_mask"].sum()),
                      "padded_tokens": batch["input_ids"].numel(), "wall_s": time.perf_counter() - start})
    return steps


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gguf", required=True)
    parser.add_argument("--data", required=True, help="folder with gsm8k/train.jsonl")
    parser.add_argument("--mode", choices=list(peer_methods.METHODS), default="lora")
    parser.add_argument("--cache", default="build/bench", help="folder that keeps SVF's factors between calls")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=2, help="first steps left out of the rate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--start-out", metavar="DIR", help="save what a ReFT method starts from, and do no more")
    args = parser.parse_args()
    if not 0 <= args.warmup < args.steps:
        parser.error("--warmup must leave at least one step")
    return args


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    tok = smollm2.load_tokenizer(args.gguf)
    rows = smollm2.gsm8k_rows(tok, args.data, args.steps * BATCH)
    model = peer_methods.METHODS[args.mode](smollm2.load_model(args.gguf), args).train()
    if args.start_out:
        model.save(args.start_out, args.mode)
        return
    steps = train(model, rows, args.steps)
    timed = steps[args.warmup:]
    out = {"mode": args.mode, "threads": args.threads, "steps": steps,
           "trainable_params": sum(p.numel() for p in model.parameters() if p.requires_grad),
           "tokens_per_s": sum(s["tokens"] for s in timed) / sum(s["wall_s"] for s in timed),
           "peak_rss_bytes": peak_rss_bytes(),
           "versions": {"torch": torch.__version__, "peft": peft.__version__}}
    if args.json:
        print(json.dumps(out))
    else:
        print(f"{out['tokens_per_s']:.1f} real tokens/s, peak {out['peak_rss_bytes'] / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
