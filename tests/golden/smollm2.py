"""SmolLM2-135M-Instruct from its GGUF file as the reference stack sees it.

What: the fp32 transformers model of the dequantised weights, the `tokenizers` tokenizer of the file's vocabulary and
merges, and the token rows of the known-answer data sets. Shared by make_smollm2.py and bench/peer.py.
Why not transformers' own GGUF reader for the tokenizer: it drops the digit split of `tokenizer.ggml.pre = smollm`.
"""
import json
import pathlib

import gguf
import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import decoders, models, pre_tokenizers

CONTROL_TOKEN = 3  # tokenizer.ggml.token_type
HF_NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}


def read(path):
    """The opened GGUF and a function that returns a metadata value."""
    reader = gguf.GGUFReader(path)
    return reader, lambda key: reader.fields[key].contents()


def hf_name(name):
    """blk.3.attn_q.weight -> model.layers.3.self_attn.q_proj.weight"""
    parts = name.split(".")
    if parts[0] == "blk":
        return ".".join(["model.layers", parts[1], HF_NAMES[parts[2]], *parts[3:]])
    return ".".join([HF_NAMES[parts[0]], *parts[1:]])


def unpermute(weight, n_heads):
    """GGUF stores rotary pairs (2i, 2i+1) next to each other; transformers pairs i with i + D/2."""
    rows, cols = weight.shape
    return weight.reshape(n_heads, rows // n_heads // 2, 2, cols).swapaxes(1, 2).reshape(rows, cols)


def config(get):
    return transformers.LlamaConfig(
        vocab_size=get("llama.vocab_size"), hidden_size=get("llama.embedding_length"),
        intermediate_size=get("llama.feed_forward_length"), num_hidden_layers=get("llama.block_count"),
        num_attention_heads=get("llama.attention.head_count"),
        num_key_value_heads=get("llama.attention.head_count_kv"),
        max_position_embeddings=get("llama.context_length"),
        rms_norm_eps=get("llama.attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": get("llama.rope.freq_base")},
        bos_token_id=get("tokenizer.ggml.bos_token_id"), eos_token_id=get("tokenizer.ggml.eos_token_id"),
        pad_token_id=get("tokenizer.ggml.padding_token_id"), tie_word_embeddings=True)


def load_model(path, attention="sdpa"):
    """LlamaForCausalLM in fp32 with every tensor of the file; the head is tied (the file has no output.weight)."""
    reader, get = read(path)
    cfg = config(get)
    heads = {"attn_q": cfg.num_attention_heads, "attn_k": cfg.num_key_value_heads}
    state = {}
    for tensor in reader.tensors:
        weight = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        kind = tensor.name.split(".")[-2]
        if kind in heads:
            weight = unpermute(weight, heads[kind])
        state[hf_name(tensor.name)] = torch.from_numpy(np.ascontiguousarray(weight))
    model = transformers.AutoModelForCausalLM.from_config(cfg, attn_implementation=attention, dtype=torch.float32)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing == ["lm_head.weight"] and not unexpected, (missing, unexpected)
    model.tie_weights()
    return model


def load_tokenizer(path):
    """tokenizers.Tokenizer of the file; special tokens are recognised in text. eos_id is <|im_end|>."""
    _, get = read(path)
    tokens, types = get("tokenizer.ggml.tokens"), get("tokenizer.ggml.token_type")
    merges = [tuple(m.split(" ")) for m in get("tokenizer.ggml.merges")]
    tok = tokenizers.Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges))
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([t for t, kind in zip(tokens, types) if kind == CONTROL_TOKEN])
    return tok


def encode(tok, text):
    return tok.encode(text, add_special_tokens=False).ids


def gsm8k_rows(tok, data_dir, n):
    """The first n training rows of GSM8K: (prompt ids, answer ids ending with <|im_end|>), two separate pieces."""
    lines = pathlib.Path(data_dir, "gsm8k", "train.jsonl").read_text(encoding="utf-8").splitlines()[:n]
    eos = tok.token_to_id("<|im_end|>")
    rows = []
    for row in map(json.loads, lines):
        prompt = encode(tok, "Question: " + row["question"] + "\nAnswer:")
        rows.append((prompt, encode(tok, " " + row["answer"]) + [eos]))
    return rows


def padded_batch(rows, pad_id):
    """The usual right-padded batch: labels are -100 on prompts and padding."""
    longest = max(len(p) + len(a) for p, a in rows)
    def pad(ids, value):
        return ids + [value] * (longest - len(ids))
    return {
        "input_ids": torch.tensor([pad(p + a, pad_id) for p, a in rows]),
        "attention_mask": torch.tensor([pad([1] * len(p + a), 0) for p, a in rows]),
        "labels": torch.tensor([pad([-100] * len(p) + a, -100) for p, a in rows]),
    }
