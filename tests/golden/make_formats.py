"""Writes formats/: small files in every stored type, made by the formats' own packages, and the numbers those packages read back.

    python3 tests/golden/make_formats.py          (packages: requirements.txt; same packages, same bytes)

formats/blocks.gguf         one tensor a type: random bytes, random bytes under sane scales, and quantised normals where the
                            package can quantise; metadata of every type. blocks.safetensors: the same names, dequantised, F32
formats/plain.safetensors   every safetensors type, a scalar, an empty tensor, __metadata__. plain_f32.safetensors: as F32
formats/sharded/            two shards and their index, as huggingface_hub writes them
formats/NAME.gguf           tiny models in llama.cpp's layout; NAME.safetensors: transformers' state dict after reading it
formats/smollm2.sha256      only when PEFTMETER_TEST_GGUF names SmolLM2-135M-Instruct.Q4_1.gguf: the digest of the first 16384 numbers
                            of each tensor, by name, dequantised, as little-endian float32
formats/rope.json           inverse frequencies as transformers computes them
"""
import hashlib
import json
import os
import pathlib

import gguf
import numpy as np
import torch
import transformers
from huggingface_hub import save_torch_state_dict
from safetensors.torch import save_file
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

OUT = pathlib.Path(__file__).parent / "formats"
TYPE = gguf.GGMLQuantizationType
QUANTIZED = {  # type: (elements a block, bytes a block, where its half-precision scales lie)
    TYPE.Q8_0: (32, 34, (0,)), TYPE.Q4_0: (32, 18, (0,)), TYPE.Q4_1: (32, 20, (0, 2)), TYPE.Q5_0: (32, 22, (0,)),
    TYPE.Q5_1: (32, 24, (0, 2)), TYPE.Q4_K: (256, 144, (0, 2)), TYPE.Q5_K: (256, 176, (0, 2)), TYPE.Q6_K: (256, 210, (208,)),
}
ALIGNMENT = 64


def random_blocks(rng, kind, sane):
    """A row of 512 numbers; sane scales keep infinities out."""
    elements, size, scales = QUANTIZED[kind]
    rows = rng.integers(0, 256, (1, 512 // elements, size), dtype=np.uint8)
    for at in scales if sane else ():
        rows[:, :, at:at + 2] = rng.normal(0, 0.1, rows.shape[:2]).astype(np.float16)[..., None].view(np.uint8)
    return rows.reshape(1, -1)


def add_metadata(w):
    w.add_uint8("t.u8", 200), w.add_int8("t.i8", -100), w.add_uint16("t.u16", 60000), w.add_int16("t.i16", -30000)
    w.add_uint32("t.u32", 4000000000), w.add_int32("t.i32", -2000000000), w.add_float32("t.f32", 0.1)
    w.add_uint64("t.u64", 2 ** 63 + 1), w.add_int64("t.i64", -2 ** 62), w.add_float64("t.f64", 0.1)
    w.add_bool("t.bool", True), w.add_string("t.str", "h\u00e9llo"), w.add_array("t.strs", ["a", "", "b\u4e2dc"])
    w.add_array("t.ints", [1, -2, 3]), w.add_array("t.reals", [0.5, -1.5]), w.add_array("t.nested", [[1, 2], [3]])


def write_blocks():
    rng = np.random.default_rng(1)
    w = gguf.GGUFWriter(OUT / "blocks.gguf", "none")
    w.add_custom_alignment(ALIGNMENT)
    add_metadata(w)
    want = {}

    def add(name, data, kind):
        w.add_tensor(name, data, raw_dtype=kind)
        want[name] = torch.from_numpy(np.array(gguf.dequantize(data, kind), dtype=np.float32))

    for kind in QUANTIZED:
        add(f"{kind.name}.bytes", random_blocks(rng, kind, False), kind)
        add(f"{kind.name}.sane", random_blocks(rng, kind, True), kind)
        if not kind.name.endswith("K"):
            add(f"{kind.name}.normal", gguf.quantize(rng.normal(0, 1, (3, 64)).astype(np.float32), kind), kind)
    for kind in (TYPE.F32, TYPE.F16):
        add(f"{kind.name}.normal", rng.normal(0, 1, (2, 3, 5)).astype("f4" if kind == TYPE.F32 else "f2"), kind)
    add("BF16.normal", gguf.quantize(rng.normal(0, 1, (3, 8)).astype(np.float32), TYPE.BF16), TYPE.BF16)
    w.write_header_to_file(), w.write_kv_data_to_file(), w.write_tensors_to_file(), w.close()
    save_file(want, OUT / "blocks.safetensors")


def write_plain():
    torch.manual_seed(2)
    t = {"F32": torch.randn(3, 4), "F16": torch.randn(5, 2).half(), "BF16": torch.randn(2, 2, 2).bfloat16(),
         "F64": torch.randn(7).double(), "scalar": torch.tensor(1.5), "empty": torch.zeros(0, 4)}
    t["F16"][0, 0], t["F16"][0, 1], t["F16"][1, 0] = 6e-8, float("inf"), -65504
    save_file({n: v.float() for n, v in t.items()}, OUT / "plain_f32.safetensors")
    ints = {"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool}
    t |= {n: torch.tensor([0, 1, 1]).to(d) for n, d in ints.items()}
    save_file(t, OUT / "plain.safetensors", metadata={"note": 'quotes " and \\ and \u00e9'})
    save_torch_state_dict({f"layer.{i}.weight": torch.full((4, 4), float(i)) for i in range(5)}, OUT / "sharded",
                          max_shard_size=200)


COMMON = {"context_length": 64, "embedding_length": 32, "feed_forward_length": 32,
          "attention.head_count": 4, "attention.head_count_kv": 2, "vocab_size": 24}
LAYER = {"attn_q": (32, 32), "attn_k": (16, 32), "attn_v": (16, 32), "attn_output": (32, 32), "ffn_gate": (32, 32),
         "ffn_up": (32, 32), "ffn_down": (32, 32)}
STORED = {"attn_q": TYPE.Q8_0, "attn_k": TYPE.F16, "attn_v": TYPE.Q5_1, "ffn_gate": TYPE.Q4_0, "ffn_up": TYPE.Q4_1,
          "ffn_down": TYPE.BF16, "token_embd": TYPE.Q8_0}


def tiny_tensors(rng, arch, layers, tied):
    """name -> array, in the order and layout of llama.cpp's converter."""
    t = {"token_embd.weight": (24, 32)}
    for i in range(layers):
        t |= {f"blk.{i}.{n}.weight": s for n, s in LAYER.items()}
        t |= {f"blk.{i}.{n}.weight": (32,) for n in ("attn_norm", "ffn_norm")}
        if arch == "qwen2":
            t |= {f"blk.{i}.{n}.bias": LAYER[n][:1] for n in ("attn_q", "attn_k", "attn_v")}
    t |= {"output_norm.weight": (32,)} | ({} if tied else {"output.weight": (24, 32)})
    return {n: rng.normal(0, 1, s).astype(np.float32) for n, s in t.items()}


def write_tiny(name, arch, layers, tied, extra=None):
    rng = np.random.default_rng(3)
    w = gguf.GGUFWriter(OUT / f"{name}.gguf", arch)
    for key, value in (COMMON | {"block_count": layers}).items():
        w.add_uint32(f"{arch}.{key}", value)
    w.add_float32(f"{arch}.attention.layer_norm_rms_epsilon", 1e-5)
    w.add_float32(f"{arch}.rope.freq_base", 10000.0)
    for tensor, data in tiny_tensors(rng, arch, layers, tied).items():
        kind = STORED.get(tensor.split(".")[-2], TYPE.F32) if data.ndim == 2 else TYPE.F32
        w.add_tensor(tensor, data if kind == TYPE.F32 else gguf.quantize(data, kind), raw_dtype=kind)
    for tensor, data in (extra or {}).items():
        w.add_tensor(tensor, data)
    w.write_header_to_file(), w.write_kv_data_to_file(), w.write_tensors_to_file(), w.close()
    if extra is None:
        model = transformers.AutoModelForCausalLM.from_pretrained(OUT, gguf_file=f"{name}.gguf", dtype=torch.float32)
        state = {n: v.contiguous() for n, v in model.state_dict().items() if not (tied and n == "lm_head.weight")}
        save_file(state, OUT / f"{name}.safetensors")


def inv_freq(rope, head_dim, max_position=131072):
    cfg = transformers.LlamaConfig(hidden_size=4 * head_dim, num_attention_heads=4, rope_parameters=rope,
                                   max_position_embeddings=max_position)
    if rope["rope_type"] == "default":
        return (1.0 / rope["rope_theta"] ** (torch.arange(0, head_dim, 2).double() / head_dim)).float()
    return ROPE_INIT_FUNCTIONS[rope["rope_type"]](cfg, "cpu")[0]


def write_rope():
    """At the tiny models' head width; Llama-3's has a frequency in each of its three bands. The GGUF carries it as factors."""
    llama3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 16.0,
              "original_max_position_embeddings": 256}
    linear = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
    plain = {"rope_type": "default", "rope_theta": 10000.0}
    ropes = {"plain": plain, "linear": linear, "llama3": llama3}
    freq = {name: inv_freq(rope, 8) for name, rope in ropes.items()}
    (OUT / "rope.json").write_text(json.dumps({n: v.tolist() for n, v in freq.items()}) + "\n")
    write_tiny("llama_rope_freqs", "llama", 1, True, {"rope_freqs.weight": (freq["plain"] / freq["llama3"]).numpy()})


def write_real(path):
    digest = hashlib.sha256()
    for t in sorted(gguf.GGUFReader(path).tensors, key=lambda t: t.name):
        digest.update(gguf.dequantize(t.data, t.tensor_type).ravel()[:16384].astype("<f4").tobytes())
    (OUT / "smollm2.sha256").write_text(digest.hexdigest() + "\n")


def main():
    (OUT / "sharded").mkdir(parents=True, exist_ok=True)
    write_blocks()
    write_plain()
    write_tiny("llama_gqa", "llama", 2, False)
    write_tiny("qwen2_tied", "qwen2", 1, True)
    write_rope()
    if path := os.environ.get("PEFTMETER_TEST_GGUF"):
        write_real(path)


if __name__ == "__main__":
    main()
