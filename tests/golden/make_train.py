"""Writes train/: what torch's AdamW, transformers and PEFT do to the tiny models in twelve steps, and the rows.

    python3 tests/golden/make_train.py           (after make_models.py; packages: requirements.txt)

What the files are: trajectory.py. The other methods' cases: make_methods.py.
"""
import functools
import json

import torch

from trajectory import BATCH, OUT, SCHEDULED, STEPS, Peft, Whole, lora, write_case

MIN_VOCAB = 97
COSINE = {"optim.schedule": "cosine", "optim.warmup_steps": 2, "optim.weight_decay": 0.1}
TRAINED_B = functools.partial(Peft, random_b=True)


def full(lr, **more):
    return {"method": "full", "optim.lr": lr, **more}


# case: (model, what is trained of it, settings, adapter directory)
CASES = {
    "full_llama_tied": ("llama_tied", Whole, full(2e-3)),
    "full_llama_untied": ("llama_untied", Whole, full(2e-3)),
    "full_qwen2": ("qwen2", Whole, full(2e-3)),
    "full_scheduled": ("llama_tied", Whole, full(5e-3, **SCHEDULED)),
    "full_accum": ("llama_untied", Whole, full(2e-3, **{"train.grad_accum": 2})),
    "lora_all": ("llama_tied", Peft, lora(1e-2), "all"),
    "lora_qv_rslora": ("llama_untied", Peft, lora(1e-2, ["q_proj", "v_proj"], rank=6, alpha=6, rslora=True),
                       "qv_rslora"),
    "lora_nonzero_b": ("qwen2", TRAINED_B, lora(5e-3), "nonzero_b"),
    "lora_scheduled": ("llama_untied", TRAINED_B, lora(2e-2, rank=3, alpha=5, **SCHEDULED), "scheduled"),
    "lora_cosine_accum": ("llama_tied", Peft, lora(2e-2, **COSINE, **{"train.grad_accum": 2}), "cosine"),
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


def main():
    torch.set_num_threads(2)
    OUT.mkdir(exist_ok=True)
    make_rows(OUT / "rows.jsonl")
    for case, what in CASES.items():
        write_case(case, *what)


if __name__ == "__main__":
    main()
