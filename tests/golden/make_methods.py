"""Adds to train/ the methods beyond LoRA: DoRA and (IA)^3 as PEFT has them, LoReFT with torch's own `orthogonal`, the rest in plain torch.

    python3 tests/golden/make_methods.py [CASE...]         (after make_train.py; packages: requirements.txt)

What the files are: trajectory.py. Every adapter starts away from its method's initial point, so that each of its terms
counts. PEFT lacks the others: their directories have the names and keys of this project (docs/METHODS.md).
"""
import sys

import peft
import torch
from safetensors.torch import save_file
from torch.nn.functional import linear
from torch.nn.utils.parametrizations import orthogonal

from trajectory import ALL, OUT, SCHEDULED, Peft, Whole, lora, write_case, write_json

QKVUD = ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]
DECAYED = {"optim.schedule": "cosine", "optim.weight_decay": 0.3}


def normal(*shape, std=1.0, mean=0.0):
    return torch.nn.Parameter(mean + std * torch.randn(*shape))


class Dora(Peft):
    def __init__(self, model, config):
        super().__init__(model, config, random_b=True)
        for name, param in self.model.named_parameters():
            if "lora_magnitude_vector" in name:
                param.data *= 1 + 0.2 * torch.randn_like(param)

    def peft_config(self, config):
        return super().peft_config(config, use_dora=True)


class Ia3(Peft):
    def __init__(self, model, config):
        super().__init__(model, config)
        for name, param in self.model.named_parameters():
            if "ia3_l" in name:
                param.data += 0.2 * torch.randn_like(param)

    def peft_config(self, config):
        return peft.IA3Config(task_type="CAUSAL_LM", target_modules=config["method.targets"].split(","),
                              feedforward_modules=config["method.feedforward"].split(","))


class Own(Whole):
    """A frozen model with parameters of ours. tensors() and keys() are what its directory holds."""

    def __init__(self, model, config):
        super().__init__(model, config)
        self.config = config
        model.requires_grad_(False)

    def field(self, name):
        return self.config[f"method.{name}"]

    def save(self, model_name, out):
        out.mkdir(parents=True)
        save_file({f"base_model.model.{name}": t.detach().clone().contiguous() for name, t in self.tensors().items()},
                  out / "adapter_model.safetensors", metadata={"format": "pt"})
        write_json(out / "adapter_config.json", {
            "peft_type": self.config["method"].upper(), "task_type": "CAUSAL_LM", "inference_mode": True,
            "bias": "none", "base_model_name_or_path": f"models/{model_name}", **self.keys()})


# ---- projections with another weight ----

class Adapted(torch.nn.Module):
    """A frozen projection; subclasses add the parameters and say what comes out."""

    def __init__(self, base):
        super().__init__()
        self.base = base


class SvfPaper(Adapted):
    """W' = U diag(S z) V^T."""

    def __init__(self, base):
        super().__init__(base)
        u, s, vt = torch.linalg.svd(base.weight.detach().double(), full_matrices=False)
        self.register_buffer("u", u)
        self.register_buffer("s", s)
        self.register_buffer("vt", vt)
        self.scale = normal(len(s), mean=1, std=0.1)

    def factors(self):
        return self.scale

    def forward(self, x):
        return linear(x, (self.u * (self.s * self.factors())) @ self.vt, self.base.bias)


class SvfRelease(SvfPaper):
    """z = m sum(S) / sum(S m), m = sigmoid(p): the nuclear norm is kept."""

    def __init__(self, base):
        super().__init__(base)
        self.scale = normal(len(self.s), mean=0.1, std=0.5)

    def factors(self):
        mask = torch.sigmoid(self.scale)
        return mask * self.s.sum() / (self.s * mask).sum()


class WegeftLinear(Adapted):
    """y = W x + c + s (W phi^T) (psi x)."""

    def __init__(self, base, phi, psi, s):
        super().__init__(base)
        self.phi, self.psi, self.s = phi, psi, s

    def forward(self, x):
        return self.base(x) + self.s * linear(linear(x, self.psi), self.base.weight @ self.phi.T)


class Projections(Own):
    """Every target projection is replaced by what wrap() returns for it."""

    def __init__(self, model, config):
        super().__init__(model, config)
        self.targets, self.wrapped = self.field("targets").split(","), {}
        for name, module in list(model.named_modules()):
            parent, _, kind = name.rpartition(".")
            if kind in self.targets:
                self.wrapped[name] = self.wrap(kind, module)
                setattr(model.get_submodule(parent), kind, self.wrapped[name])


class Svf(Projections):
    FORMS = {"paper": (SvfPaper, "svf_z"), "release": (SvfRelease, "svf_p")}

    def wrap(self, kind, base):
        return self.FORMS[self.field("form")][0](base)

    def tensors(self):
        return {f"{name}.{self.FORMS[self.field('form')][1]}": m.scale for name, m in self.wrapped.items()}

    def keys(self):
        return {"target_modules": self.targets, "form": self.field("form")}


class Wegeft(Projections):
    def __init__(self, model, config):
        self.of_kind = {}  # the layers' common pair, of those kinds that have been met
        super().__init__(model, config)

    def pair(self, kind, width):
        if kind in self.of_kind and self.field("share"):
            return self.of_kind[kind]
        self.of_kind[kind] = (normal(self.field("rank"), width, std=0.1), normal(self.field("rank"), width, std=0.1))
        return self.of_kind[kind]

    def wrap(self, kind, base):
        return WegeftLinear(base, *self.pair(kind, base.in_features), self.field("alpha") / self.field("rank"))

    def tensors(self):
        named = {f"wegeft.{name.rpartition('.')[2]}" if self.field("share") else f"{name}.wegeft": m
                 for name, m in self.wrapped.items()}
        return {f"{name}.{half}": getattr(m, half) for name, m in named.items() for half in ("phi", "psi")}

    def keys(self):
        return {"target_modules": self.targets, "r": self.field("rank"), "alpha": self.field("alpha"),
                "share": self.field("share")}


# ---- edits of the residual stream ----

class LoreftEdit(torch.nn.Module):
    """R^T (W h + b - R h), R as torch's `orthogonal` trains it from the base the project fixes."""

    def __init__(self, width, rank):
        super().__init__()
        self.back = torch.nn.Linear(rank, width, bias=False)  # its weight is R^T
        signs = torch.tensor([1.0, -1.0]).repeat(rank)[:rank]  # a factor of LAPACK's would itself be its own base
        self.back.weight.data = signs * torch.linalg.qr(torch.randn(width, rank))[0]
        base = self.completed(self.back.weight.data)
        orthogonal(self.back)
        self.back.parametrizations.weight[0].base = base
        self.w, self.b = normal(rank, width, std=0.3), normal(rank, std=0.3)

    @staticmethod
    def completed(rt):
        """The full factor of LAPACK's geqrf and orgqr, its first columns signed as R^T's."""
        q, r = torch.linalg.qr(rt, mode="complete")
        q[:, :rt.shape[1]] *= torch.sign(torch.diagonal(r))
        assert torch.allclose(q[:, :rt.shape[1]], rt, atol=1e-6)
        return q

    def forward(self, h):
        return self.back(linear(h, self.w, self.b) - h @ self.back.weight)

    def tensors(self):
        return {"R": self.back.weight.T, "W": self.w, "b": self.b}

    def undecayed(self):
        return [self.back.parametrizations.weight.original]


class DireftEdit(torch.nn.Module):
    """W2^T (W1 h + b); W2^T [d,r] is what is kept as W2."""

    def __init__(self, width, rank):
        super().__init__()
        self.w, self.b = normal(rank, width, std=0.3), normal(rank, std=0.3)
        self.w2 = normal(width, rank, std=0.3)

    def forward(self, h):
        return linear(linear(h, self.w, self.b), self.w2)

    def tensors(self):
        return {"W": self.w, "b": self.b, "W2": self.w2}

    def undecayed(self):
        return []


class Reft(Own):
    """Edits the output of chosen decoder layers at the first and the last prompt tokens, by one edit or by one each."""
    EDITS = {"loreft": LoreftEdit, "direft": DireftEdit}

    def __init__(self, model, config):
        super().__init__(model, config)
        layers, method = self.field("layers"), config["method"]
        chosen = range(len(model.model.layers)) if layers == "all" else [int(i) for i in layers.split(",")]
        self.parts = {method: None} if self.field("tied") else {f"{method}_prefix": 0, f"{method}_suffix": 1}
        self.edits, self.where = {}, None
        for i in chosen:
            layer = model.model.layers[i]
            for part in self.parts:
                edit = self.EDITS[method](model.config.hidden_size, self.field("rank"))
                layer.add_module(part, edit)
                self.edits[f"model.layers.{i}.{part}"] = edit
            layer.register_forward_hook(self.hook)

    @property
    def undecayed(self):
        return [p for edit in self.edits.values() for p in edit.undecayed()]

    def see(self, rows):
        """Marks the first min(P/2, prefix) and the last min(P/2, suffix) prompt tokens of every row: [2, B, T]."""
        longest = max(len(r["input_ids"]) for r in rows)
        self.where = torch.zeros(2, len(rows), longest, dtype=torch.bool)
        for i, row in enumerate(rows):
            n_prompt = row["prompt_len"]
            first, last = (min(n_prompt // 2, self.field(end)) for end in ("prefix", "suffix"))
            self.where[0, i, :first] = True
            self.where[1, i, n_prompt - last:n_prompt] = True

    def hook(self, layer, args, h):
        for part, which in self.parts.items():
            where = self.where.any(0) if which is None else self.where[which]
            h = torch.where(where.unsqueeze(-1), h + getattr(layer, part)(h), h)
        return h

    def tensors(self):
        return {f"{name}.{kind}": t for name, edit in self.edits.items() for kind, t in edit.tensors().items()}

    def keys(self):
        return {"r": self.field("rank"),
                **{key: self.field(key) for key in ("layers", "prefix", "suffix", "tied")}}


# ---- cases ----

def svf(form, targets, lr, **more):
    return {"method": "svf", "method.form": form, "method.targets": ",".join(targets), "optim.lr": lr, **more}


def wegeft(share, targets, lr, rank, alpha, **more):
    return {"method": "wegeft", "method.rank": rank, "method.alpha": alpha, "method.targets": ",".join(targets),
            "method.share": share, "method.dropout": 0.0, "optim.lr": lr, **more}


def ia3(targets, feedforward, lr, **more):
    return {"method": "ia3", "method.targets": ",".join(targets), "method.feedforward": ",".join(feedforward),
            "optim.lr": lr, **more}


def reft(method, lr, rank, prefix, suffix, tied, layers="all", **more):
    return {"method": method, "method.rank": rank, "method.layers": layers, "method.prefix": prefix,
            "method.suffix": suffix, "method.tied": tied, "method.dropout": 0.0, "optim.lr": lr, **more}


# case, and its adapter directory: (model, what is trained, settings)
CASES = {
    "dora_all": ("llama_tied", Dora, lora(1e-2, rank=2, alpha=4, method="dora")),
    "dora_qkvud": ("llama_untied", Dora, lora(2e-2, QKVUD, rank=3, alpha=5, method="dora", **SCHEDULED)),
    "dora_qwen2": ("qwen2", Dora, lora(1e-2, rank=2, alpha=2, rslora=True, method="dora")),
    "svf_paper": ("llama_tied", Svf, svf("paper", ALL, 2e-2)),
    "svf_release": ("qwen2", Svf, svf("release", ["k_proj", "o_proj", "up_proj", "down_proj"], 5e-2, **SCHEDULED)),
    # batches large enough, against the model's width, for the product with W' itself to be the cheaper one
    "svf_dense": ("llama_tied", Svf, svf("release", ["q_proj", "o_proj"], 5e-2, **{"train.batch": 8})),
    "wegeft_shared": ("llama_untied", Wegeft, wegeft(True, QKVUD, 2e-2, rank=4, alpha=6, **SCHEDULED)),
    "wegeft_layers": ("qwen2", Wegeft, wegeft(False, ALL, 1e-2, rank=2, alpha=3)),
    "loreft_tied": ("llama_tied", Reft, reft("loreft", 2e-2, 4, 3, 3, True)),
    "loreft_untied": ("llama_untied", Reft, reft("loreft", 2e-2, 3, 2, 4, False, **DECAYED)),
    "loreft_layers": ("qwen2", Reft, reft("loreft", 3e-2, 5, 4, 1, False, layers="0,2", **SCHEDULED)),
    "direft_tied": ("qwen2", Reft, reft("direft", 1e-2, 4, 3, 3, True, **DECAYED)),
    "direft_untied": ("llama_tied", Reft, reft("direft", 2e-2, 3, 1, 5, False, layers="1")),
    "ia3_default": ("llama_untied", Ia3, ia3(["k_proj", "v_proj", "down_proj"], ["down_proj"], 3e-2, **SCHEDULED)),
    "ia3_qwen2": ("qwen2", Ia3, ia3(ALL, ["o_proj", "down_proj"], 5e-2)),
}


def main():
    torch.set_num_threads(1)
    for case in sys.argv[1:] or CASES:
        model_name, adapt, settings = CASES[case]
        write_case(case, model_name, adapt, settings, adapter=case)


if __name__ == "__main__":
    main()
