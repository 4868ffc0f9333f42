"""Golden files for tests/test_tokenizer.c: what the `tokenizers` and `sentencepiece` libraries make of varied strings.

    python tests/golden/make_tokenizer.py SmolLM2-135M-Instruct.Q4_1.gguf gsm8k/train.jsonl

Writes tests/golden/tokenizer/:
  atoms.tsv      fragments of text by category, in hexadecimal; every test string is a few atoms in a row, chosen by a generator
                 that is written twice, here (`strings`) and in the test, so neither strings nor fetched text are stored
  NAME.json      small tokenizers with the pre-tokenizers and normalisers of the real families, trained on text made of the atoms
  NAME.gguf      the same vocabularies as GGUF metadata
  variants.json  changes to NAME.json that try out one component each
  NAME.ids       expected ids: one FNV-1a hash for every ten strings, the first strings in full; variants.ids: for every fifty, of
                 ids and of decoded bytes
The SmolLM2 reference is built from the GGUF's vocabulary and merges; its text (GSM8K) and vocabulary stay outside the repository.
Versions: requirements.txt.
"""
import copy
import io
import json
import pathlib
import random
import struct
import sys
import unicodedata

import gguf
import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE
from transformers.convert_slow_tokenizer import generate_merges

OUT = pathlib.Path(__file__).parent / "tokenizer"
M64 = (1 << 64) - 1
BLOCK, FULL, VARIANT_BLOCK = 10, 24, 50

# ---- atoms ----

WORDS = """the of and to in is it that was for on are with as be at one have this from by hot word but what some we can out other were
all there when up use your how said an each she which do their time if will way about many then them write would like so these her long
make thing see him two has look more day could go come did number sound no most people my over know water than call first who may down
side been now find any new work part take get place made live where after back little only round man year came show every good me give
our under name very through just form sentence great think say help low line differ turn cause much mean before move right boy old too
same tell does set three want air well also play small end put home read hand port large spell add even land here must big high such
follow act why ask men change went light kind off need house picture try us again animal point mother world near build self earth father
Tokenizer Merge Unicode Query Bytes Alpha Gamma HTTP JSON NASA iPhone McDonald naïve café résumé Übermut façade coöperate smörgåsbord
unbelievable internationalization counterrevolutionary pseudopseudohypoparathyroidism""".split()
CODE = ["for (int i = 0; i < n; i++)", "if x is None:", "return x**2 + y_1", "def f(self, *args):\n    pass", "int main(void) {\n\treturn 0;\n}\n",
        "a[i][j] += b->c.d", "#include <stdio.h>\n", "std::vector<int> v{1, 2, 3};", "SELECT * FROM t WHERE id != 7;", "https://example.org/a?b=c&d=%20#e",
        "{\"key\": [1, null, true]}", "x = lambda y: y // 3", "//", "/* c */", "== != <= >= -> => :: ... !! ??", "\\n\\t\\\\", "print(f'{a!r:>10}')", "0xDEADBEEF",
        "1e-5", "fn main() { let mut s = String::new(); }", "<div class=\"a\">&nbsp;</div>", "$x = @{ 'k' = 1 }", "C:\\Users\\x", "~/.bashrc", "a.b.c()", "\t\tif",
        "        else", "__init__", "snake_case_name", "camelCaseName", "SCREAMING_CASE", "x^2~y|z", "`code`", "user@example.org", "#tag", "%d%s", "(((", ")))", "[]{}"]
EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "🇯🇵🇺🇸", "❤️", "❤", "☕", "👩🏾‍🚀", "1️⃣", "#️⃣", "🤷🏼‍♀️", "🫠", "✨", "©", "®", "™", "→", "∞", "≠", "√", "★", "♪", "…", "—", "“", "”", "‘", "’", "«", "»", "¿", "¡", "€", "£", "¥", "°", "µ", "½", "²", "№"]
CJK = ["你好", "世界", "日本語", "こんにちは", "カタカナ", "ｶﾅ", "한국어", "안녕하세요", "漢字", "，", "。", "「引用」", "　", "１２３", "ＡＢＣ", "𠮷", "㍿", "々", "ー", "中", "文", "가", "각"]
SCRIPTS = ["Привет", "мир", "Ελλάδα", "ς", "שלום", "مرحبا", "١٢٣", "नमस्ते", "क्षि", "१२", "ไทย", "ภาษา", "ქართული", "Հայ", "ትግርኛ", "தமிழ்", "ñ", "ß", "ſ", "İ", "ı", "Ǆ", "ﬁ", "ﬀ", "Ⅷ", "①", "⑽", "𝒜", "𝟘", "K", "Å", "Ω", "ŉ"]
COMBINING = ["e\u0301", "n\u0303", "a\u0308\u0304", "\u0301", "\u0323\u0307s", "s\u0323\u0307", "o\u0302\u0301", "\u1100\u1161\u11a8", "\u0915\u093c", "q\u0307\u0323", "A\u030a", "\u212b", "\u0344", "\u0f73", "z\u0335\u0327\u0324", "\u200d", "\u200c", "\ufe0f", "\u20dd"]
CONTROL = ["\x00", "\x01", "\x02", "\x03", "\x04", "\x05", "\x06", "\x07", "\b", "\x0b", "\x0c", "\x0e", "\x0f", "\x10", "\x13", "\x14", "\x16", "\x1a", "\x1b", "\x1b[31m", "\x1c", "\x1d", "\x1e", "\x1f", "\x7f", "\x80", "\x85", "\x9f", "\xa0", "\xad", "\u180e",
           "\u200b", "\u200e", "\u2028", "\u2029", "\u202e", "\u2060", "\ufeff", "\ufffd", "\ufffe", "\uffff", "\U000e0001", "\U0010ffff", "\ue000", "\r", "\r\n", "\n\r"]
SPACES = [" ", "  ", "   ", " " * 7, " " * 16, " " * 65, "\t", "\t\t\t", "\n", "\n\n", "\n\n\n\n", "\r\n\r\n", " \n", "\n ", " \t ", "\u2003", "\u3000\u3000", "\u1680", "\u205f", "\x0b\x0c", "\xa0\xa0", "\u202f", "\u2581", "\u2581\u2581", "x"]
DIGITS = ["0", "7", "12", "007", "1234", "3.14159", "1,000,000", "12345678901234567890", "2024-05-06", "10:30", "-5", "+1", "50%", "1st", "2nd", "x2", "٣", "४५", "½", "²", "Ⅻ", "①②", "𝟙𝟚", "１２"]
CONTRACTIONS = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ve", "'M", "'LL", "'lL", "'D", "'ſ", "I'm", "don't", "we'll", "they'RE", "'", "''", "'sx", " 's", "’s", "'é", "d'être", "O'Neil", "'K"]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<unk>", "<tool>", "<mask>", "<word>", "<left>", "<ж>", "<|im_end", "|>", "<|", "<|im_start|><|im_end|>", " <mask> ", "\n<mask>", "a<word>", " <word> ", " <left>", "<tool_call>", "a", " b", "."]
RUNS = ["a", "b", "ab", "ba", "aa", "aba", "abab", "bbbb", "aaaaa", "a" * 17, "b" * 30, "ab" * 9, "eee", "e" * 12, "...", "-" * 9, "=" * 16, "haha", "aab" * 4, " a b", "bab"]


def atoms():
    """category -> list of strings. Code points are those assigned in the Unicode version of this Python (14 with 3.11), without
    the modifier letters of Unicode 14, whose compatibility forms the library's older normalisation tables lack."""
    rng = random.Random(20)
    def assigned(lo, hi):
        while True:
            c = chr(rng.randrange(lo, hi))
            if unicodedata.category(c) not in ("Cn", "Cs") and not 0x10780 <= ord(c) < 0x107C0:
                return c
    planes = [(0x80, 0x250), (0x250, 0x800), (0x800, 0x2000), (0x2000, 0x2c00), (0x2e80, 0xa000), (0xa000, 0xd7ff), (0xf900, 0x10000), (0x10000, 0x12000), (0x1d000, 0x1fb00), (0x20000, 0x30000)]
    return {"words": [w + s for w in WORDS for s in ("", " ")] + [" " + w.capitalize() for w in WORDS[:60]], "code": CODE, "emoji": EMOJI, "cjk": CJK, "scripts": SCRIPTS,
            "combining": COMBINING + ["e", "o"], "control": CONTROL + ["a", " "], "spaces": SPACES, "digits": DIGITS, "contractions": CONTRACTIONS, "special": SPECIAL, "runs": RUNS,
            "unicode": [assigned(*p) for p in planes for _ in range(90)]}


# ---- the generator, as in the test ----

def xorshift(x):
    x ^= x << 13 & M64
    x ^= x >> 7
    return x ^ x << 17 & M64


def strings(table, n):
    """String i: of category i mod (n_categories + 1), the last one a mixture of all; 1 to 20 atoms."""
    cats = list(table.values())
    for i in range(n):
        x, kind, parts = 0x9E3779B97F4A7C15 * (i + 1) & M64, i % (len(cats) + 1), []
        x = xorshift(x)
        for _ in range(1 + x % 20):
            x = xorshift(x)
            cat = cats[kind] if kind < len(cats) else cats[(x >> 20) % len(cats)]
            parts.append(cat[(x >> 32) % len(cat)])
        yield "".join(parts)


def fnv(lists):
    """FNV-1a over each list's length and ids, as little-endian 32-bit words."""
    h = 0xCBF29CE484222325
    for ids in lists:
        for byte in struct.pack("<%dI" % (len(ids) + 1), len(ids), *ids):
            h = (h ^ byte) * 0x100000001B3 & M64
    return h


def hashes(lists, block):
    return [(i, fnv(lists[i:i + block])) for i in range(0, len(lists), block)]


def write_ids(name, sets):
    """sets: {letter: list of id lists}. Lines `letter first hash` and `F letter index id id ...`."""
    with open(OUT / f"{name}.ids", "w") as f:
        for letter, ids in sets.items():
            f.writelines(f"{letter} {i} {h:016x}\n" for i, h in hashes(ids, BLOCK))
            for i, one in enumerate(ids[:FULL]):
                f.write(f"F {letter} {i} {' '.join(map(str, one))}\n".replace(" \n", "\n"))


# ---- SmolLM2 ----

def smollm2_reference(path):
    fields = gguf.GGUFReader(path).fields
    get = lambda key: fields[f"tokenizer.ggml.{key}"].contents()
    tokens = get("tokens")
    tok = Tokenizer(BPE({t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ")) for m in get("merges")]))
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, kind in zip(tokens, get("token_type")) if kind == 3])
    return tok


# ---- small byte-level tokenizers ----

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def split_then_bytes(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def byte_level(corpus, pre, norm=None, vocab=700, ignore_merges=False, unmerged=()):
    """unmerged: tokens that no merge makes, so that only ignore_merges finds them."""
    tok = Tokenizer(BPE(ignore_merges=ignore_merges))
    tok.pre_tokenizer, tok.decoder = pre, decoders.ByteLevel()
    if norm:
        tok.normalizer = norm
    trainer = trainers.BpeTrainer(vocab_size=vocab, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tok.train_from_iterator(corpus, trainer)
    data = json.loads(tok.to_str())
    for word in unmerged:
        data["model"]["vocab"].setdefault(word, len(data["model"]["vocab"]))
    tok = Tokenizer.from_str(json.dumps(data))
    tok.add_tokens([AddedToken("<tool>", normalized=False)])
    return tok


def save(name, tok, merges_as_strings=False):
    data = json.loads(tok.to_str())
    if merges_as_strings:
        data["model"]["merges"] = [" ".join(m) for m in data["model"]["merges"]]
    (OUT / f"{name}.json").write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n")
    return data


def gguf_tokens(data):
    table = dict(data["model"]["vocab"])
    kinds = {}
    for a in data["added_tokens"]:
        table[a["content"]] = a["id"]
        kinds[a["content"]] = gguf.TokenType.CONTROL if a["special"] else gguf.TokenType.USER_DEFINED
    tokens = sorted(table, key=table.get)
    return tokens, [kinds.get(t, gguf.TokenType.NORMAL) for t in tokens]


def write_gguf(name, fill):
    w = gguf.GGUFWriter(OUT / f"{name}.gguf", "llama")
    fill(w)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def save_gguf_bytes(name, data, pre):
    tokens, kinds = gguf_tokens(data)
    def fill(w):
        w.add_tokenizer_model("gpt2")
        w.add_tokenizer_pre(pre)
        w.add_token_list(tokens)
        w.add_token_types(kinds)
        w.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in data["model"]["merges"]])
        w.add_bos_token_id(1)
        w.add_eos_token_id(2)
    write_gguf(name, fill)


# ---- SentencePiece-BPE, as transformers writes Llama-2 ----

def train_spm(corpus):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=model, vocab_size=700, model_type="bpe", byte_fallback=True, split_digits=True,
                                             normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=True, character_coverage=0.9995,
                                             allow_whitespace_only_pieces=True, num_threads=1, minloglevel=2)
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def spm_json(sp):
    pieces = [sp.id_to_piece(i) for i in range(sp.get_piece_size())]
    vocab, scores = {p: i for i, p in enumerate(pieces)}, {p: sp.get_score(i) for i, p in enumerate(pieces)}
    special = {"<unk>", "<s>", "</s>"} | {p for i, p in enumerate(pieces) if sp.is_byte(i)}
    tok = Tokenizer(BPE(vocab, generate_merges(vocab, scores, special), unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tok.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tok.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    tok.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ("<unk>", "<s>", "</s>")])
    return tok


def save_gguf_spm(name, sp):
    n = sp.get_piece_size()
    kind = lambda i: gguf.TokenType.UNKNOWN if sp.is_unknown(i) else gguf.TokenType.CONTROL if sp.is_control(i) else gguf.TokenType.BYTE if sp.is_byte(i) else gguf.TokenType.NORMAL
    def fill(w):
        w.add_tokenizer_model("llama")
        w.add_token_list([sp.id_to_piece(i) for i in range(n)])
        w.add_token_scores([sp.get_score(i) for i in range(n)])
        w.add_token_types([kind(i) for i in range(n)])
        w.add_bos_token_id(1)
        w.add_eos_token_id(2)
        w.add_unk_token_id(0)
    write_gguf(name, fill)


# ---- two letters: every string of up to five is a token, every cut a merge, in random order. Ties and overtaken merges abound ----

def ab_words():
    words = [""]
    for w in words:
        if len(w) < 5:
            words += [w + "a", w + "b"]
    return words[1:]


def ab_json():
    merges = [(w[:i], w[i:]) for w in ab_words() for i in range(1, len(w))]
    random.Random(9).shuffle(merges)
    tok = Tokenizer(BPE({w: i for i, w in enumerate(["?"] + ab_words())}, merges, unk_token="?"))
    tok.decoder = decoders.Fuse()
    return tok


def ab_spm(sp):
    """The model of `sp` with its learned pieces exchanged. Some scores are equal: then the leftmost pair goes first."""
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(sp.serialized_model_proto())
    del proto.pieces[259:]
    rng = random.Random(10)
    for w in ["▁"] + ab_words() + ["▁a", "▁ab", "▁▁"]:
        proto.pieces.add(piece=w, score=-rng.randrange(1, 60))
    return sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())


# ---- one component at a time ----

def added(content, id, **flags):
    return dict(id=id, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=False) | flags


def variants():
    """name -> (base, keys replaced in its JSON). Every component and option that the loader knows and the families above do not use."""
    split = lambda pattern, behavior, invert=False: dict(type="Split", pattern=pattern, behavior=behavior, invert=invert)
    bytes_ = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False)
    sequence = lambda *steps: dict(type="Sequence", pretokenizers=list(steps))
    norm = lambda *steps: dict(normalizer=dict(type="Sequence", normalizers=list(steps)))
    meta = lambda scheme, split: dict(type="Metaspace", replacement="▁", prepend_scheme=scheme, split=split)
    v = {
        "digits": ("gpt2", dict(pre_tokenizer=sequence(dict(type="Digits", individual_digits=False), dict(bytes_, use_regex=True)))),
        "smollm": ("gpt2", dict(pre_tokenizer=sequence(dict(type="Digits", individual_digits=True), dict(bytes_, use_regex=True)))),
        "prefix": ("gpt2", dict(pre_tokenizer=dict(bytes_, add_prefix_space=True, use_regex=True))),
        "nfd": ("gpt2", dict(normalizer=dict(type="NFD"))),
        "nfkc": ("gpt2", dict(normalizer=dict(type="NFKC"))),
        "nfkd": ("gpt2", dict(normalizer=dict(type="NFKD"))),
        "strip": ("gpt2", norm(dict(type="Strip", strip_left=True, strip_right=True))),
        "strip_right": ("gpt2", norm(dict(type="Strip", strip_left=False, strip_right=True), dict(type="NFC"))),
        "replace": ("gpt2", norm(dict(type="Replace", pattern=dict(Regex=r"\s{2,}"), content=" _ "), dict(type="Prepend", prepend="^"), dict(type="Replace", pattern=dict(String="the"), content="THE"))),
        "words": ("gpt2", dict(pre_tokenizer=sequence(split(dict(Regex=r"\d{2}|\w+|[^\w\s]+"), "Isolated"), bytes_))),
        "not_space": ("gpt2", dict(pre_tokenizer=sequence(split(dict(Regex=r"[\S]+|[\s]{1,2}"), "Removed", True), split(dict(Regex=r"[^\S\n]"), "Removed"), bytes_))),
        "added": ("gpt2", dict(added_tokens=[added("<|endoftext|>", 0, special=True), added("<|im_start|>", 1, special=True, rstrip=True), added("<|im_end|>", 2, special=True, lstrip=True),
                  added("<tool>", 700), added("<mask>", 701, lstrip=True, rstrip=True), added("<word>", 702, single_word=True), added("<left>", 703, lstrip=True, normalized=True), added("<ж>", 704, normalized=True),
                  added("<tool_call>", 705, special=True), added("<|im_end", 706)], **norm(dict(type="NFC")))),
        "no_fallback": ("llama2", dict(model=dict(byte_fallback=False, fuse_unk=True))),
        "no_fuse": ("llama2", dict(model=dict(byte_fallback=False, fuse_unk=False))),
        "drop": ("llama2", dict(model=dict(byte_fallback=False, unk_token=None))),
        "meta_first": ("llama2", dict(normalizer=None, pre_tokenizer=meta("first", False), decoder=meta("first", False))),
        "meta_always": ("llama2", dict(normalizer=None, pre_tokenizer=meta("always", True), decoder=meta("always", True))),
        "meta_never": ("llama2", dict(normalizer=None, pre_tokenizer=sequence(dict(type="Digits", individual_digits=True), meta("never", True)), decoder=meta("never", True))),
        "no_decoder": ("llama2", dict(decoder=None)),
    }
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            v[f"{behavior}_{invert}".lower()] = ("gpt2", dict(pre_tokenizer=sequence(split(dict(Regex=r"[aeiou ]"), behavior, invert), bytes_)))
        v[f"{behavior}_literal".lower()] = ("gpt2", dict(pre_tokenizer=sequence(split(dict(String="e"), behavior), bytes_)))
    return v


def patched(base, change):
    data = copy.deepcopy(base)
    for key, value in change.items():
        data[key] = data[key] | value if key == "model" else value
    return data


# ---- all of it ----

def main(smollm2, gsm8k):
    OUT.mkdir(exist_ok=True)
    table = atoms()
    with open(OUT / "atoms.tsv", "w") as f:
        for cat, items in table.items():
            f.writelines(f"{cat}\t{a.encode().hex()}\n" for a in items)

    text = list(strings(table, 6500))
    encode = lambda tok, n=None: [e.ids for e in tok.encode_batch(text[:n], add_special_tokens=False)]
    questions = [json.loads(line)["question"] for line in open(gsm8k)][:2000]
    tok = smollm2_reference(smollm2)
    write_ids("smollm2", {"Q": [e.ids for e in tok.encode_batch(questions)], "S": encode(tok)})

    rng = random.Random(4)
    corpus = [" ".join(rng.choice(WORDS) for _ in range(12)) + "\n" + rng.choice(CODE) + rng.choice(CJK + SCRIPTS + EMOJI) + " " + rng.choice(DIGITS + CONTRACTIONS) for _ in range(1500)]
    gpt2 = byte_level(corpus, pre_tokenizers.ByteLevel(add_prefix_space=False))
    qwen2 = byte_level(corpus, split_then_bytes(QWEN2), normalizers.NFC())
    llama3 = byte_level(corpus, split_then_bytes(LLAMA3), ignore_merges=True, vocab=900, unmerged=("Ġpeople", "unbelievable", "..."))
    llama3.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<|im_start|> $A <|im_end|>", pair="$A $B", special_tokens=[("<|im_start|>", 1), ("<|im_end|>", 2)])])
    saved = {}
    for name, one, pre in (("gpt2", gpt2, "gpt-2"), ("qwen2", qwen2, "qwen2"), ("llama3", llama3, "llama-bpe")):
        saved[name] = save(name, one, merges_as_strings=name == "gpt2")
        save_gguf_bytes(name, saved[name], pre)
        write_ids(name, {"S": encode(one)})
    save_gguf_bytes("smollm", saved["gpt2"], "smollm")

    sp = train_spm([c.replace("\n", " ") for c in corpus])
    one = spm_json(sp)
    saved["llama2"] = save("llama2", one)
    save_gguf_spm("llama2", sp)
    write_ids("llama2", {"S": encode(one)})
    write_ids("llama2_spm", {"S": [sp.encode(s) for s in text]})

    one = ab_json()
    save("ab", one)
    write_ids("ab", {"S": encode(one)})
    sp = ab_spm(sp)
    save_gguf_spm("ab", sp)
    write_ids("ab_spm", {"S": [sp.encode(s) for s in text]})

    changes = variants()
    (OUT / "variants.json").write_text(json.dumps({k: {"base": b, "change": c} for k, (b, c) in changes.items()}, ensure_ascii=False, indent=0) + "\n")
    with open(OUT / "variants.ids", "w") as f:
        for name, (base, change) in changes.items():
            one = Tokenizer.from_str(json.dumps(patched(saved[base], change)))
            ids = encode(one, 1300)
            texts = [list(one.decode(i, skip_special_tokens=False).encode()) for i in ids]
            f.writelines(f"{name} S {i} {h:016x}\n" for i, h in hashes(ids, VARIANT_BLOCK))
            f.writelines(f"{name} D {i} {h:016x}\n" for i, h in hashes(texts, VARIANT_BLOCK))


if __name__ == "__main__":
    main(*sys.argv[1:])
