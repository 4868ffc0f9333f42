"""What make_train.py and make_methods.py share: rows, torch's twelve steps, and the record of a case.

train/rows.jsonl   a `tokens` task: ragged rows whose prompts are not scored
train/adapters/    what each adapter case starts from, and (NAME-after) ends with
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
OUT = HERE / "train"
STEPS, BATCH = 12, 4
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
DEFAULTS = {"train.steps": STEPS, "train.batch": BATCH, "train.grad_accum": 1, "train.shuffle": False,
            "optim.weight_decay": 0.0, "optim.beta1": 0.9, "optim.beta2": 0.999, "optim.eps": 1e-8,
            "optim.schedule": "constant", "optim.warmup_steps": 0, "optim.clip": 0.0}
SCHEDULED = {"optim.schedule": "linear", "optim.warmup_steps": 3, "optim.weight_decay": 0.01, "optim.clip": 0.5}


class Whole:
    """A model that is trained as it is. Adapters replace what they do differently."""
    undecayed = ()  # parameters that weight decay leaves alone

    def __init__(self, model, config):
        self.model = model

    def see(self, rows):
        """Called with the rows of a batch before the model gets them."""


class Peft(Whole):
    """The model as PEFT adapts it; with random_b, B gets random values as if it had been trained."""

    def __init__(self, model, config, random_b=False):
        super().__init__(peft.get_peft_model(model, self.peft_config(config)), config)
        for name, param in self.model.named_parameters():
            if random_b and "lora_B" in name:
                torch.nn.init.normal_(param, std=0.1)

    def peft_config(self, config, **more):
        return peft.LoraConfig(
            task_type="CAUSAL_LM", r=config["method.rank"], lora_alpha=config["method.alpha"], lora_dropout=0.0,
            target_modules=config["method.targets"].split(","), use_rslora=config["method.rslora"], **more)

    def save(self, model_name, out):
        """PEFT's directory, but without its README, the path of this machine and the order of Python's sets."""
        self.model.peft_config["default"].base_model_name_or_path = f"models/{model_name}"
        self.model.save_pretrained(out)
        (out / "README.md").unlink(missing_ok=True)
        config = json.loads((out / "adapter_config.json").read_text())
        for value in config.values():
            if isinstance(value, list):
                value.sort()
        write_json(out / "adapter_config.json", config)


def lora(lr, targets=ALL, rank=4, alpha=8, rslora=False, method="lora", **more):
    return {"method": method, "method.rank": rank, "method.alpha": alpha, "method.targets": ",".join(targets),
            "method.rslora": rslora, "method.dropout": 0.0, "optim.lr": lr, **more}


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def collate(rows):
    """The usual right-padded batch."""
    longest = max(len(r["input_ids"]) for r in rows)
    def pad(ids, value):
        return ids + [value] * (longest - len(ids))
    return {"input_ids": torch.tensor([pad(r["input_ids"], 0) for r in rows]),
            "attention_mask": torch.tensor([pad([1] * len(r["input_ids"]), 0) for r in rows]),
            "labels": torch.tensor([pad(r["labels"], -100) for r in rows])}


def scheduler(optimizer, config):
    return transformers.get_scheduler(config["optim.schedule"], optimizer,
                                      num_warmup_steps=config["optim.warmup_steps"],
                                      num_training_steps=config["train.steps"])


def accumulate(adapted, rows, batch):
    """Adds the gradient of the mean loss over all scored tokens of rows, `batch` of them at a time; returns that loss
    and the token counts."""
    scored = sum(label != -100 for r in rows for label in r["labels"][1:])
    loss = 0.0
    for i in range(0, len(rows), batch):
        adapted.see(rows[i:i + batch])
        part = adapted.model(**collate(rows[i:i + batch]), num_items_in_batch=scored).loss
        part.backward()
        loss += part.item()
    return {"loss": loss, "tokens": sum(len(r["input_ids"]) for r in rows), "label_tokens": scored}


def adamw(adapted, params, config):
    undecayed = {id(p) for p in adapted.undecayed}
    groups = [{"params": [p for p in params if id(p) not in undecayed], "weight_decay": config["optim.weight_decay"]},
              {"params": [p for p in params if id(p) in undecayed], "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=config["optim.lr"],
                             betas=(config["optim.beta1"], config["optim.beta2"]), eps=config["optim.eps"])


def train(adapted, rows, config):
    params = [p for p in adapted.model.parameters() if p.requires_grad]
    optimizer = adamw(adapted, params, config)
    schedule, batch, steps = scheduler(optimizer, config), config["train.batch"], []
    per_step = batch * config["train.grad_accum"]
    for i in range(config["train.steps"]):
        optimizer.zero_grad()
        step = accumulate(adapted, rows[i * per_step:(i + 1) * per_step], batch)
        limit = config["optim.clip"] or float("inf")
        step["grad_norm"] = torch.nn.utils.clip_grad_norm_(params, limit).item()
        step["lr"] = schedule.get_last_lr()[0]
        optimizer.step()
        schedule.step()
        steps.append(step)
    return steps


def run(case, model_name, adapt, config, dtype, save_as):
    """Trains one case; returns (steps, model). The adapter is written when save_as names it."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        HERE / "models" / model_name, attn_implementation="eager", dtype=torch.float32)
    torch.manual_seed(len(case))
    adapted = adapt(model, config)
    if save_as:
        adapted.save(model_name, OUT / "adapters" / save_as)
    rows = [json.loads(line) for line in (OUT / "rows.jsonl").read_text().splitlines()]
    adapted.model.to(dtype).train()
    steps = train(adapted, rows, config)
    if save_as:
        adapted.save(model_name, OUT / "adapters" / f"{save_as}-after")
    return steps, adapted.model


def worst_relative(steps, others, key):
    return max(abs(a[key] - b[key]) / abs(b[key]) for a, b in zip(steps, others))


def write_case(case, model_name, adapt, settings, adapter=None):
    """Trains `case` in float and, as a check of how much rounding it amplifies, in double; writes what float did."""
    config = {**DEFAULTS, **settings}
    for name in (adapter, f"{adapter}-after") if adapter else ():
        shutil.rmtree(OUT / "adapters" / name, ignore_errors=True)
    steps, model = run(case, model_name, adapt, config, torch.float32, adapter)
    exact, _ = run(case, model_name, adapt, config, torch.float64, None)
    worst = max(worst_relative(steps, exact, key) for key in ("loss", "grad_norm"))
    print(f"{case}: loss {steps[0]['loss']:.3f} -> {steps[-1]['loss']:.3f}, grad norm {steps[0]['grad_norm']:.2f}"
          f" .. {steps[-1]['grad_norm']:.2f}, fp32 against fp64 {worst:.1e}")
    assert worst < 5e-5, "the trajectory amplifies rounding too much to be compared at 2e-4"
    record = {"model": f"models/{model_name}", "task": "train/rows.jsonl",
              "adapter_in": adapter and f"train/adapters/{adapter}",
              "adapter_out": adapter and f"train/adapters/{adapter}-after",
              "trainable_params": sum(p.numel() for p in model.parameters() if p.requires_grad),
              "config": config, "steps": steps}
    if not adapter:
        record["end_norms"] = {n: p.norm().item() for n, p in model.named_parameters()}
    (OUT / f"{case}.json").write_text(json.dumps(record, indent=1) + "\n")
