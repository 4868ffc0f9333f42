"""The methods of `make bench`'s peer as a researcher would write them: PEFT's where it has the method, plain torch else.

METHODS[name](model, args) freezes the model, adds the adapter and returns a module that is called as the model is, with
requires_grad on what is trained. Settings are those of bench.py's table: rank 16, alpha 32 on all seven projections;
ReFT with rank 8 at the first 3 and last 3 prompt tokens of every layer, tied; no dropout.
"""
import hashlib
import json
import multiprocessing
import pathlib

import peft
import smollm2
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RANK, ALPHA = 16, 32
REFT_RANK, PREFIX, SUFFIX = 8, 3, 3


def targets(model):
    """(path, layer) of every projection that is adapted."""
    return [(path, layer) for path, layer in model.named_modules() if path.rpartition(".")[2] in TARGETS]


def full(model, _args):
    return model


def lora(model, _args, **options):
    return peft.get_peft_model(model, peft.LoraConfig(
        task_type="CAUSAL_LM", r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=TARGETS, **options))


def dora(model, args):
    return lora(model, args, use_dora=True)


class SvfLinear(nn.Module):
    """W' = U diag(s z) V^T, composed anew in each forward pass; the weight itself is not kept."""

    def __init__(self, u, s, vt):
        super().__init__()
        for name, tensor in (("u", u), ("s", s), ("vt", vt)):
            self.register_buffer(name, tensor)
        self.z = nn.Parameter(torch.ones_like(s))

    def forward(self, x):
        return F.linear(x, (self.u * (self.s * self.z)) @ self.vt)


def write_factors(gguf, path):
    model = smollm2.load_model(gguf)
    with torch.no_grad():
        factors = {name: torch.linalg.svd(layer.weight, full_matrices=False) for name, layer in targets(model)}
    part = path.with_suffix(".part")
    torch.save({name: tuple(f) for name, f in factors.items()}, part)
    part.rename(path)


def factors(args):
    """{path: (u, s, vt)} from the cache. Made in a process of its own: the SVD's memory is no part of training's peak."""
    with open(args.gguf, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    path = pathlib.Path(args.cache, f"svd-{digest[:16]}.pt")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        child = multiprocessing.get_context("spawn").Process(target=write_factors, args=(args.gguf, path))
        child.start()
        child.join()
    return torch.load(path)


def svf(model, args):
    model.requires_grad_(False)
    for path, factor in factors(args).items():
        model.set_submodule(path, SvfLinear(*factor))
    return model


class WegeftLinear(nn.Module):
    """W' = W + s (W phi^T) psi without forming W', as the authors' layer computes it."""

    def __init__(self, base, phi, psi):
        super().__init__()
        self.base, self.phi, self.psi = base, phi, psi

    def forward(self, x):
        update = F.linear(self.psi(x), self.base.weight @ self.phi.weight.T)
        return self.base(x) + ALPHA / RANK * update


def wegeft_pair(n_in):
    phi, psi = (nn.Linear(n_in, RANK, bias=False) for _ in range(2))
    nn.init.zeros_(phi.weight)
    return phi, psi


def wegeft(model, _args):
    model.requires_grad_(False)
    shared = {}  # one pair for all layers' projections of a name
    for path, base in targets(model):
        kind = path.rpartition(".")[2]
        if kind not in shared:
            shared[kind] = wegeft_pair(base.in_features)
        model.set_submodule(path, WegeftLinear(base, *shared[kind]))
    return model


class Loreft(nn.Module):
    """h + R^T (W h + b - R h); R has orthonormal rows by torch's parametrization, as in pyreft's LoreftIntervention."""

    def __init__(self, d):
        super().__init__()
        self.source = nn.Linear(d, REFT_RANK)
        rotate = nn.Linear(REFT_RANK, d, bias=False)
        nn.init.orthogonal_(rotate.weight)
        self.rotate = nn.utils.parametrizations.orthogonal(rotate)

    def forward(self, h):
        r = self.rotate.weight  # [d, rank]; made once a pass, where pyreft makes it for each of its two uses
        return h + (self.source(h) - h @ r) @ r.T

    def tensors(self):
        return {"loreft.W": self.source.weight, "loreft.b": self.source.bias, "loreft.R": self.rotate.weight.T}


class Direft(nn.Module):
    """h + W2^T (W1 h + b): the paper's DiReFT, pyreft's NodireftIntervention."""

    def __init__(self, d):
        super().__init__()
        self.source = nn.Linear(d, REFT_RANK)
        self.proj = nn.Linear(d, REFT_RANK, bias=False)

    def forward(self, h):
        return h + self.source(h) @ self.proj.weight

    def tensors(self):
        return {"direft.W": self.source.weight, "direft.b": self.source.bias, "direft.W2": self.proj.weight.T}


def prompt_positions(labels):
    """(rows, columns) of the edited tokens: with P prompt tokens the first min(P/2, PREFIX), the last min(P/2, SUFFIX)."""
    where = []
    for row, n in enumerate((labels != -100).int().argmax(dim=1).tolist()):
        where += [(row, i) for i in (*range(min(n // 2, PREFIX)), *range(n - min(n // 2, SUFFIX), n))]
    return tuple(torch.tensor(where).T)


class ReftModel(nn.Module):
    """The model with one edit after each decoder layer, at the prompt positions of the batch at hand."""

    def __init__(self, base, make_edit):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.edits = nn.ModuleList(make_edit(base.config.hidden_size) for _ in base.model.layers)
        self.where = None
        for layer, edit in zip(base.model.layers, self.edits):
            layer.register_forward_hook(self.hook(edit))

    def hook(self, edit):
        return lambda _layer, _inputs, h: h.index_put(self.where, edit(h[self.where]))

    def forward(self, labels, **batch):
        self.where = prompt_positions(labels)
        return self.base(labels=labels, **batch)

    def save(self, folder, mode):
        """What `peftmeter run --adapter-in` reads."""
        tensors = {f"base_model.model.model.layers.{i}.{name}": t.detach().contiguous()
                   for i, edit in enumerate(self.edits) for name, t in edit.tensors().items()}
        config = {"peft_type": mode.upper(), "r": REFT_RANK, "layers": "all", "prefix": PREFIX, "suffix": SUFFIX,
                  "tied": True}
        folder = pathlib.Path(folder)
        save_file(tensors, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text(json.dumps(config))


def loreft(model, _args):
    return ReftModel(model, Loreft)


def direft(model, _args):
    return ReftModel(model, Direft)


METHODS = {f.__name__: f for f in (full, lora, dora, svf, wegeft, loreft, direft)}
