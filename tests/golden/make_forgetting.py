"""Writes forgetting/: token cross-entropy of models/tiny on rows of tokens, as transformers computes it, without and with a LoRA adapter of PEFT.

    python3 tests/golden/make_forgetting.py          (packages: requirements.txt; same packages, same bytes)

forgetting/rows.jsonl      ragged rows, as a task of kind tokens reads them: sentences the model wrote itself, and random tokens; some have a
                           prompt whose labels are -100
forgetting/adapter/        PEFT's save_pretrained: LoRA with a B that is not zero
forgetting/expected.json   {"tokens", "before", "after": nats a token over all rows; "rows": [[before, after], ...] of each row, nats summed}
All rows are one padded batch; the means are transformers' own loss over it, products in double. That padding on either side, and row by
row, gives the same numbers to 1e-6 is asserted here.
"""
import json
import pathlib

import peft
import torch
import transformers

HERE = pathlib.Path(__file__).parent
OUT = HERE / "forgetting"
MODEL = HERE.parent.parent / "models" / "tiny"
LENGTHS = (2, 90, 11, 3, 40, 7, 25, 64)  # far from equal: a mean of the rows' means is another number


def make_rows(model):
    generator = torch.Generator().manual_seed(7)
    vocab = model.config.vocab_size
    rows = []
    for i, n in enumerate(LENGTHS):
        ids = torch.randint(0, vocab, (1, n), generator=generator)
        if i % 2:
            torch.manual_seed(i)
            ids = model.generate(ids[:, :1], attention_mask=torch.ones(1, 1, dtype=torch.long), do_sample=True, min_new_tokens=n - 1,
                                 max_new_tokens=n - 1)
        ids = ids[0].tolist()
        prompt = n // 3 if i % 4 == 2 else 0
        rows.append({"input_ids": ids, "labels": [-100] * max(prompt, 1) + ids[max(prompt, 1):], "prompt_len": prompt})
    return rows


def padded(rows, left):
    width = max(len(r["input_ids"]) for r in rows)

    def pad(values, fill):
        gap = [fill] * (width - len(values))
        return gap + values if left else values + gap

    ids, labels, mask = ([pad(v, f) for v in values] for values, f in (
        ([r["input_ids"] for r in rows], 0), ([r["labels"] for r in rows], -100), ([[1] * len(r["input_ids"]) for r in rows], 0)))
    mask = torch.tensor(mask)
    return {"input_ids": torch.tensor(ids), "labels": torch.tensor(labels), "attention_mask": mask,
            "position_ids": (mask.cumsum(1) - 1).clamp(min=0)}


def cross_entropy(model, rows):
    """Mean over all tokens, and each row's sum."""
    with torch.no_grad():
        mean = model(**padded(rows, False)).loss.item()
        assert abs(mean - model(**padded(rows, True)).loss.item()) < 1e-6
        sums = [model(**padded([r], False)).loss.item() * scored(r) for r in rows]
    assert abs(sum(sums) / sum(map(scored, rows)) - mean) < 1e-6
    return mean, sums


def scored(row):
    return sum(label != -100 for label in row["labels"])


def main():
    model = transformers.AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).double().eval()
    rows = make_rows(model)
    before, rows_before = cross_entropy(model, rows)
    torch.manual_seed(11)
    model = peft.get_peft_model(model, peft.LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "down_proj"])).eval()
    for name, p in model.named_parameters():
        if "lora_" in name:
            p.data = (torch.randn(p.shape, dtype=torch.float32) * 0.3).double()  # fp32 values: the file holds no more
    after, rows_after = cross_entropy(model, rows)
    assert abs(after - before) > 0.1
    model.peft_config["default"].base_model_name_or_path = "models/tiny"
    model.float().save_pretrained(OUT / "adapter")
    (OUT / "adapter" / "README.md").unlink()
    (OUT / "adapter" / "adapter_model.safetensors").chmod(0o644)
    config = OUT / "adapter" / "adapter_config.json"
    settings = json.loads(config.read_text())
    settings["target_modules"].sort()  # a set: its order is another each time
    config.write_text(json.dumps(settings, indent=2) + "\n")
    (OUT / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (OUT / "expected.json").write_text(json.dumps({
        "tokens": sum(map(scored, rows)), "before": before, "after": after,
        "rows": [list(r) for r in zip(rows_before, rows_after)]}, indent=1) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
