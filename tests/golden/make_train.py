"""Writes train/: what torch's AdamW, transformers and PEFT do to the tiny models in twelve steps.

    python3 tests/golden/make_train.py           (after make_models.py; packages: requirements.txt)

train/rows.jsonl   a `tokens` task: ragged rows whose prompts are not scored
train/adapters/    what each LoRA case starts from, and (NAME-after) ends with: PEFT's save_pretrained, README removed
train/CASE.json    {"model", "task", "adapter_in", "adapter_out", "trainable_params", "config": keys as in --set,
                   "steps": [{"loss", "grad_norm", "lr", "tokens", "label_tokens"}], "end_norms": {parameter: L2 norm}}
                   paths are relative to tests/golden; adapter_* are null and end_norms present for full fine-tuning.
Loss: mean over the scored tokens of the whole (accumulated) batch, by transformers' own num_items_in_batch.
grad_norm: over all trainable parameters, before clipping. lr: as applied in that step.
"""
import json
import pathlib
import shutil

import peft
import torch
import transformers

HERE = pathlib.Path(__file__).parent
STEPS, BATCH = 12, 4
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
MIN_VOCAB = 97
DEFAULTS = {"train.steps": STEPS, "train.batch": BATCH, "train.grad_accum": 1, "train.shuffle": False,
            "optim.weight_decay": 0.0, "optim.beta1": 0.9, "optim.beta2": 0.999, "optim.eps": 1e-8,
            "optim.schedule": "constant", "optim.warmup_steps": 0, "optim.clip": 0.0}
SCHEDULED = {"optim.schedule": "linear", "optim.warmup_steps": 3, "optim.weight_decay": 0.01, "optim.clip": 0.5}
COSINE = {"optim.schedule": "cosine", "optim.warmup_steps": 2, "optim.weight_decay": 0.1}


def full(lr, **more):
    return {"method": "full", "optim.lr": lr, **more}


def lora(lr, targets=ALL, rank=4, alpha=8, rslora=False, **more):
    return {"method": "lora", "method.rank": rank, "method.alpha": alpha, "method.targets": ",".join(targets),
            "method.rslora": rslora, "method.dropout": 0.0, "optim.lr": lr, **more}


# case: (model, adapter at start, are its B matrices random, config)
CASES = {
    "full_llama_tied": ("llama_tied", None, False, full(2e-3)),
    "full_llama_untied": ("llama_untied", None, False, full(2e-3)),
    "full_qwen2": ("qwen2", None, False, full(2e-3)),
    "full_scheduled": ("llama_tied", None, False, full(5e-3, **SCHEDULED)),
    "full_accum": ("llama_untied", None, False, full(2e-3, **{"train.grad_accum": 2})),
    "lora_all": ("llama_tied", "all", False, lora(1e-2)),
    "lora_qv_rslora": ("llama_untied", "qv_rslora", False,
                       lora(1e-2, ["q_proj", "v_proj"], rank=6, alpha=6, rslora=True)),
    "lora_nonzero_b": ("qwen2", "nonzero_b", True, lora(5e-3)),
    "lora_scheduled": ("llama_untied", "scheduled", True, lora(2e-2, rank=3, alpha=5, **SCHEDULED)),
    "lora_cosine_accum": ("llama_tied", "cosine", False, lora(2e-2, **COSINE, **{"train.grad_accum": 2})),
}


def make_rows(path):
    """Rows of 2 to 24 tokens; the seventh has no prompt, so its first label has nothing to be predicted from."""
    generator = torch.Generator().manual_seed(7)
    def draw(low, high):
        return int(torch.randint(low, high, (1,), generator=generator))
    rows = []
    for i in range(2 * STEPS * BATCH):
        n_prompt, n_answer = (0, 9) if i == 6 else (draw(1, 14), draw(1, 12))
        ids = torch.randint(MIN_VOCAB, (n_prompt + n_answer,), generator=generator).tolist()
        rows.append({"input_ids": ids, "labels": [-100] * n_prompt + ids[n_prompt:], "prompt_len": n_prompt})
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return rows


def collate(rows):
    """The usual right-padded batch."""
    longest = max(len(r["input_ids"]) for r in rows)
    def pad(ids, value):
        return ids + [value] * (longest - len(ids))
    return {"input_ids": torch.tensor([pad(r["input_ids"], 0) for r in rows]),
            "attention_mask": torch.tensor([pad([1] * len(r["input_ids"]), 0) for r in rows]),
            "labels": torch.tensor([pad(r["labels"], -100) for r in rows])}


def attach(model, config, random_b, seed):
    """The model as PEFT adapts it; B gets random values where the case starts from a trained-looking adapter."""
    torch.manual_seed(seed)
    lora_config = peft.LoraConfig(
        task_type="CAUSAL_LM", r=config["method.rank"], lora_alpha=config["method.alpha"], lora_dropout=0.0,
        target_modules=config["method.targets"].split(","), use_rslora=config["method.rslora"])
    adapted = peft.get_peft_model(model, lora_config)
    for name, param in adapted.named_parameters():
        if random_b and "lora_B" in name:
            torch.nn.init.normal_(param, std=0.1)
    return adapted


def save_adapter(adapted, model_name, out):
    """PEFT's directory, but without the path of the machine it was made on and the order of a Python set."""
    adapted.peft_config["default"].base_model_name_or_path = f"models/{model_name}"
    adapted.save_pretrained(out)
    (out / "README.md").unlink(missing_ok=True)
    config = json.loads((out / "adapter_config.json").read_text())
    config["target_modules"].sort()
    (out / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def scheduler(optimizer, config):
    return transformers.get_scheduler(config["optim.schedule"], optimizer,
                                      num_warmup_steps=config["optim.warmup_steps"],
                                      num_training_steps=config["train.steps"])


def accumulate(model, rows):
    """Adds the gradient of the mean loss over all scored tokens of rows; returns that loss and the token counts."""
    scored = sum(label != -100 for r in rows for label in r["labels"][1:])
    loss = 0.0
    for i in range(0, len(rows), BATCH):
        part = model(**collate(rows[i:i + BATCH]), num_items_in_batch=scored).loss
        part.backward()
        loss += part.item()
    return {"loss": loss, "tokens": sum(len(r["input_ids"]) for r in rows), "label_tokens": scored}


def train(model, rows, config):
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=config["optim.lr"], weight_decay=config["optim.weight_decay"],
                                  betas=(config["optim.beta1"], config["optim.beta2"]), eps=config["optim.eps"])
    schedule, per_step, steps = scheduler(optimizer, config), BATCH * config["train.grad_accum"], []
    for i in range(config["train.steps"]):
        optimizer.zero_grad()
        step = accumulate(model, rows[i * per_step:(i + 1) * per_step])
        limit = config["optim.clip"] or float("inf")
        step["grad_norm"] = torch.nn.utils.clip_grad_norm_(params, limit).item()
        step["lr"] = schedule.get_last_lr()[0]
        optimizer.step()
        schedule.step()
        steps.append(step)
    return steps


def run(case, dtype, adapter_dir):
    """Trains one case; returns (steps, model). Adapters are written when adapter_dir is given."""
    name, adapter, random_b, overrides = CASES[case]
    config = {**DEFAULTS, **overrides}
    model = transformers.AutoModelForCausalLM.from_pretrained(
        HERE / "models" / name, attn_implementation="eager", dtype=torch.float32)
    if adapter:
        model = attach(model, config, random_b, seed=len(case))
        if adapter_dir:
            save_adapter(model, name, adapter_dir / adapter)
    rows = [json.loads(line) for line in (HERE / "train" / "rows.jsonl").read_text().splitlines()]
    steps = train(model.to(dtype).train(), rows, config)
    if adapter and adapter_dir:
        save_adapter(model, name, adapter_dir / f"{adapter}-after")
    return steps, model


def worst_relative(steps, others, key):
    return max(abs(a[key] - b[key]) / abs(b[key]) for a, b in zip(steps, others))


def write_case(case, out):
    name, adapter, _, overrides = CASES[case]
    steps, model = run(case, torch.float32, out / "adapters")
    exact, _ = run(case, torch.float64, None)
    worst = max(worst_relative(steps, exact, key) for key in ("loss", "grad_norm"))
    print(f"{case}: loss {steps[0]['loss']:.3f} -> {steps[-1]['loss']:.3f}, grad norm {steps[0]['grad_norm']:.2f}"
          f" .. {steps[-1]['grad_norm']:.2f}, fp32 against fp64 {worst:.1e}")
    assert worst < 5e-5, "the trajectory amplifies rounding too much to be compared at 2e-4"
    record = {"model": f"models/{name}", "task": "train/rows.jsonl",
              "adapter_in": adapter and f"train/adapters/{adapter}",
              "adapter_out": adapter and f"train/adapters/{adapter}-after",
              "trainable_params": sum(p.numel() for p in model.parameters() if p.requires_grad),
              "config": {**DEFAULTS, **overrides}, "steps": steps}
    if not adapter:
        record["end_norms"] = {n: p.norm().item() for n, p in model.named_parameters()}
    (out / f"{case}.json").write_text(json.dumps(record, indent=1) + "\n")


def main():
    torch.set_num_threads(2)
    out = HERE / "train"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    make_rows(out / "rows.jsonl")
    for case in CASES:
        write_case(case, out)


if __name__ == "__main__":
    main()
