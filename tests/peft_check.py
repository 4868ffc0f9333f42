"""Does PEFT read the adapter that peftmeter wrote, and compute the same with it? Run by test_peft_io.c.

    python3 tests/peft_check.py MODEL_DIR ADAPTER_DIR SEQUENCES.json LOGITS.bin

SEQUENCES.json has "sequences": lists of ids; LOGITS.bin what peftmeter computed for their tokens, float32 [tokens, vocab].
Prints the largest difference and the adapter's effect; exits 1 when they differ by more than 2e-5 or when the adapter
changes nothing (a file whose tensors PEFT did not recognise would be read as no adapter). --probe: exits 0 when the
packages are there.
"""
import json
import pathlib
import sys
import warnings

TOLERANCE, LEAST_EFFECT = 2e-5, 1e-2


def logits_of(model, sequences):
    import torch
    with torch.no_grad():
        return torch.cat([model(input_ids=torch.tensor([ids])).logits[0] for ids in sequences])


def check(model_dir, adapter_dir, sequences_path, logits_path):
    import peft
    import torch
    import transformers
    sequences = json.loads(pathlib.Path(sequences_path).read_text())["sequences"]
    ours = torch.frombuffer(bytearray(pathlib.Path(logits_path).read_bytes()), dtype=torch.float32)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        model_dir, attn_implementation="eager", dtype=torch.float32)
    plain = logits_of(model, sequences)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # PEFT only warns about adapter keys it misses or does not know
        adapted = peft.PeftModel.from_pretrained(model, adapter_dir).eval()
    theirs = logits_of(adapted, sequences)
    difference = (ours.view_as(theirs) - theirs).abs().max().item()
    effect = (theirs - plain).abs().max().item()
    print(f"largest difference {difference:.1e}, effect of the adapter {effect:.2f}")
    return difference <= TOLERANCE and effect >= LEAST_EFFECT


def main():
    if sys.argv[1:] == ["--probe"]:
        import peft  # noqa: F401
        sys.exit(0)
    sys.exit(0 if check(*sys.argv[1:]) else 1)


if __name__ == "__main__":
    main()
