"""Writes models/: tiny random models in Hugging Face layout and the logits transformers computes with them.

    python3 tests/golden/make_models.py          (packages: requirements.txt; same packages, same bytes)

models/NAME/   config.json, model.safetensors: as transformers' save_pretrained leaves them, fp32
               logits.json: {"vocab", "sequences": [[ids], ...]}; logits.bin: float32, little endian, the rows [T, vocab]
               of every sequence one after the other, each sequence run alone (so padding plays no part)
The weights are large enough for logits of order 1 and attention far from uniform: with the usual 0.02 a wrong rotation
or a wrong head mapping would hide below the tolerance.
"""
import json
import pathlib

import torch
import transformers

HERE = pathlib.Path(__file__).parent
LENGTHS = (9, 1, 30, 2, 17, 60)  # ragged, with a single token and one past every rotary wavelength's half turn
SCALE = {"weight": 0.15, "bias": 0.3, "embed": 1.0, "head": 0.12}
LLAMA3_ROPE = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 4.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 64}

COMMON = dict(num_hidden_layers=3, max_position_embeddings=256, bos_token_id=0, eos_token_id=1, pad_token_id=None)
CONFIGS = {
    "llama_tied": transformers.LlamaConfig(
        vocab_size=97, hidden_size=48, intermediate_size=112, num_attention_heads=6, num_key_value_heads=2,
        rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True, **COMMON),
    "llama_untied": transformers.LlamaConfig(  # heads wider than hidden/heads, and Llama-3's rotary scaling
        vocab_size=131, hidden_size=66, intermediate_size=96, num_attention_heads=6, num_key_value_heads=3,
        head_dim=12, rms_norm_eps=1e-6, rope_parameters=LLAMA3_ROPE, tie_word_embeddings=False, **COMMON),
    "qwen2": transformers.Qwen2Config(
        vocab_size=113, hidden_size=56, intermediate_size=100, num_attention_heads=4, num_key_value_heads=2,
        rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        tie_word_embeddings=True, **COMMON),
}


def init(name, param, generator):
    """Normal values scaled by what the parameter is; norm gains around 1."""
    noise = torch.randn(param.shape, generator=generator)
    if "norm" in name:
        return 1 + 0.3 * noise
    kind = "embed" if "embed" in name else "head" if "lm_head" in name else name.rsplit(".", 1)[1]
    return SCALE[kind] * noise


def random_model(cfg, seed):
    generator = torch.Generator().manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(cfg, attn_implementation="eager", dtype=torch.float32)
    with torch.no_grad():
        for name, param in model.named_parameters():
            param.copy_(init(name, param, generator))
        if cfg.tie_word_embeddings:  # a tied head of unit embeddings would give logits of order 7
            model.model.norm.weight.mul_(0.15)
    return model.eval()


def logits_of(model, sequences):
    with torch.no_grad():
        return [model(input_ids=torch.tensor([ids])).logits[0] for ids in sequences]


def check_conditioning(name, model, sequences, rows):
    """The reference's own rounding must be far below the tolerance (2e-5) and the logits of order 1."""
    exact = logits_of(model.double(), sequences)
    error = max((a.double() - b).abs().max().item() for a, b in zip(rows, exact))
    spread = torch.cat(rows).std().item()
    print(f"{name}: logits std {spread:.2f}, fp32 against fp64 {error:.1e}")
    assert error < 5e-6 and 0.3 < spread < 3


def main():
    torch.set_num_threads(2)
    for seed, (name, cfg) in enumerate(CONFIGS.items(), start=1):
        model, out = random_model(cfg, seed), HERE / "models" / name
        model.save_pretrained(out)
        (out / "generation_config.json").unlink(missing_ok=True)
        generator = torch.Generator().manual_seed(100 + seed)
        sequences = [torch.randint(cfg.vocab_size, (n,), generator=generator).tolist() for n in LENGTHS]
        rows = logits_of(model, sequences)
        (out / "logits.bin").write_bytes(torch.cat(rows).numpy().astype("<f4").tobytes())
        (out / "logits.json").write_text(json.dumps({"vocab": cfg.vocab_size, "sequences": sequences}) + "\n")
        check_conditioning(name, model, sequences, rows)


if __name__ == "__main__":
    main()
