"""Writes smollm2/expected.json: what transformers computes with the real SmolLM2-135M-Instruct, from its GGUF file.

    PEFTMETER_TEST_GGUF=FILE.gguf PEFTMETER_TEST_DATA=DIR python3 tests/golden/make_smollm2.py [PART ...]

DIR holds llm-adapters/ARC-Easy/test.json and gsm8k/train.jsonl (`peftmeter data fetch`). Each part named, or all, is
computed anew and replaced in the file (`train` takes minutes and 13 GB). Texts in the file are this project's own; of
fetched data it has only numbers computed from them.

prompts   {"text", "ids", "logprobs": of ids[1:], each given all before, in nats}
greedy    {"text", "tokens": 32 ids}; every choice leads the runner-up by more than 0.02, so rounding cannot flip it
arc_easy  per question of the first N, in file order: the log-likelihood of each option " " + text after
          "Question: " + q + "\\nAnswer:" (context and option are separate pieces for the tokenizer)
train     losses and gradient norms of full fine-tuning: batches of 8 rows of GSM8K train in file order, AdamW 1e-4,
          weight decay 0.01, no clipping
"""
import argparse
import hashlib
import json
import os
import pathlib
import re

import smollm2
import torch
import transformers

OUT = pathlib.Path(__file__).parent / "smollm2" / "expected.json"
GREEDY_TOKENS, GREEDY_MARGIN, ARC_ITEMS = 32, 0.02, 50
PROMPTS = [
    "The ferry left the harbour at seven, and the gulls followed it as far as the lighthouse.",
    "Water boils at 100 degrees Celsius at sea level, but on a high mountain it boils sooner.",
    "def area(width, height):\n    return width * height\n",
    "Question: A box holds 12 pencils. How many pencils are in 7 boxes?\nAnswer: 12 * 7 = 84",
    "My grandmother kept her buttons in a blue tin that once held biscuits.",
    "1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144",
    "{\"name\": \"lamp\", \"price\": 19.95, \"in_stock\": true}",
    "The three states of matter taught at school are solid, liquid and gas.",
    "Zürich, São Paulo and Kraków are cities; naïve and café are words.",
    "If it rains tomorrow, the match will be moved to Saturday afternoon.",
    "   Leading spaces, a\ttab and two newlines\n\nmust all survive the tokenizer.",
    "for (int i = 0; i < n; i++) sum += a[i] * b[i];",
    "Dear Ms Okafor,\n\nThank you for your letter of 3 March 2021.\n\nYours sincerely,",
    "A triangle with sides of 3, 4 and 5 has a right angle opposite the longest side.",
    "The committee, which had not met since the spring, could not agree on a chair.",
    "Plants take in carbon dioxide and give off oxygen when the sun shines on them.",
    "SELECT name, COUNT(*) FROM orders GROUP BY name HAVING COUNT(*) > 3;",
    "<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\nGreen.<|im_end|>",
    "She said: \u201cI\u2019ll be back by ten\u201d \u2014 and she was. \U0001F642",
    "To make tea, boil fresh water, warm the pot, add one spoon of leaves for each person and wait four minutes.",
]
GREEDY = [
    "The capital of France is",
    "Long ago a young fox lived at the edge of the forest.",
    "<|im_start|>user\nExplain in one sentence why the sky is blue.<|im_end|>\n<|im_start|>assistant\n",
    "def factorial(n):\n    \"\"\"Return n!.\"\"\"\n",
    "Question: Tom has 5 apples and buys 7 more. How many apples does he have?\nAnswer:",
    "The first ten prime numbers are 2, 3, 5,",
    "<|im_start|>user\nWhat is photosynthesis?<|im_end|>\n<|im_start|>assistant\n",
]


def log_probs(model, ids):
    """log p(ids[i] | ids[:i]) for i >= 1."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, :-1]
    return torch.log_softmax(logits, -1).gather(1, torch.tensor(ids[1:]).unsqueeze(1))[:, 0].tolist()


def score_prompts(model, tok, _):
    rows = [(text, smollm2.encode(tok, text)) for text in PROMPTS]
    return [{"text": text, "ids": ids, "logprobs": [round(x, 6) for x in log_probs(model, ids)]} for text, ids in rows]


def continue_greedily(model, tok, text):
    tokens, margin, cache = [], float("inf"), None
    feed = smollm2.encode(tok, text)
    for _ in range(GREEDY_TOKENS):
        with torch.no_grad():
            out = model(input_ids=torch.tensor([feed]), past_key_values=cache, use_cache=True)
        cache, best = out.past_key_values, out.logits[0, -1].topk(2)
        margin = min(margin, (best.values[0] - best.values[1]).item())
        feed = [best.indices[0].item()]
        tokens += feed
    print(f"greedy margin {margin:.3f}: {text!r} {tok.decode(tokens, skip_special_tokens=False)!r}", flush=True)
    assert margin > GREEDY_MARGIN
    return {"text": text, "tokens": tokens}


def continue_all(model, tok, _):
    return [continue_greedily(model, tok, text) for text in GREEDY]


def arc_item(row):
    """(question, [options]) of the LLM-Adapters file's instruction."""
    question, options, _ = row["instruction"].split("\n\n")
    question = question.removeprefix("Please choose the correct answer to the question: ")
    return question, [o.strip() for o in re.split(r"Answer\d+: ", options)[1:]]


def score_arc(model, tok, data_dir):
    rows = json.loads(pathlib.Path(data_dir, "llm-adapters", "ARC-Easy", "test.json").read_text(encoding="utf-8"))
    scored = []
    for question, options in map(arc_item, rows[:ARC_ITEMS]):
        context = smollm2.encode(tok, "Question: " + question + "\nAnswer:")
        pieces = [smollm2.encode(tok, " " + option) for option in options]
        scored.append([round(sum(log_probs(model, context + p)[-len(p):]), 5) for p in pieces])
    return scored


def known_answer(model, tok, data_dir):
    rows = smollm2.gsm8k_rows(tok, data_dir, 80)
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=1e-4, weight_decay=0.01)
    steps = []
    for i in range(0, len(rows), 8):
        optimizer.zero_grad()
        loss = model(**smollm2.padded_batch(rows[i:i + 8], pad_id=0)).loss
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), float("inf"))
        optimizer.step()
        steps.append({"loss": loss.item(), "grad_norm": norm.item()})
        print(steps[-1], flush=True)
    return {"tokens": sum(len(p) + len(a) for p, a in rows), "label_tokens": sum(len(a) for _, a in rows),
            "steps": steps}


def check_against_transformers(model, path, ids):
    """Our un-permutation and transformers' own GGUF reader must give the same model."""
    path = pathlib.Path(path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager")
    worst = max(abs(a - b) for a, b in zip(log_probs(model, ids), log_probs(theirs, ids)))
    print(f"largest difference from transformers' GGUF reader: {worst:.1e} nats")
    assert worst < 1e-5


PARTS = {"prompts": score_prompts, "greedy": continue_all, "arc_easy": score_arc, "train": known_answer}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="*", help=", ".join(PARTS))
    parts = parser.parse_args().part or list(PARTS)
    if not set(parts) <= set(PARTS):
        parser.error(f"parts are {', '.join(PARTS)}")
    path, data_dir = os.environ["PEFTMETER_TEST_GGUF"], os.environ["PEFTMETER_TEST_DATA"]
    model, tok = smollm2.load_model(path, attention="eager").eval(), smollm2.load_tokenizer(path)
    check_against_transformers(model, path, smollm2.encode(tok, PROMPTS[0]))
    record = json.loads(OUT.read_text()) if OUT.exists() else {}
    record["gguf_sha256"] = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
    OUT.parent.mkdir(exist_ok=True)
    for part in sorted(parts, key=list(PARTS).index):  # training changes the model: last
        record[part] = PARTS[part](model, tok, data_dir)
        OUT.write_text(json.dumps(record, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
