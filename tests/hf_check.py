"""Does transformers read the model directory that peftmeter wrote, and compute the same with it? Run by test_export.c.

    python3 tests/hf_check.py MODEL_DIR SEQUENCES.json LOGITS.bin TOLERANCE

SEQUENCES.json has "sequences": lists of ids; LOGITS.bin what peftmeter computed for their tokens, float32 [tokens, vocab]. When it has
"texts" too, the directory's tokenizer must turn each into the ids of its sequence. Prints the largest difference; exits 1 when it is
above TOLERANCE. --probe: exits 0 when the packages are there.
"""
import json
import pathlib
import sys


def check(model_dir, sequences_path, logits_path, tolerance):
    import torch
    import transformers
    torch.set_num_threads(1)
    index = json.loads(pathlib.Path(sequences_path).read_text())
    ours = torch.frombuffer(bytearray(pathlib.Path(logits_path).read_bytes()), dtype=torch.float32)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        model_dir, attn_implementation="eager", dtype=torch.float32)
    with torch.no_grad():
        theirs = torch.cat([model(input_ids=torch.tensor([ids])).logits[0] for ids in index["sequences"]])
    difference = (ours.view_as(theirs) - theirs).abs().max().item()
    print(f"largest difference {difference:.1e} of logits up to {theirs.abs().max().item():.1f}")
    same_ids = True
    if "texts" in index:
        tokenizer = transformers.AutoTokenizer.from_pretrained(model_dir)
        same_ids = [tokenizer(text)["input_ids"] for text in index["texts"]] == index["sequences"]
        print(f"token ids of {len(index['texts'])} texts {'agree' if same_ids else 'differ'}")
    return difference <= float(tolerance) and same_ids


def main():
    if sys.argv[1:] == ["--probe"]:
        import torch  # noqa: F401
        import transformers  # noqa: F401
        sys.exit(0)
    sys.exit(0 if check(*sys.argv[1:]) else 1)


if __name__ == "__main__":
    main()
