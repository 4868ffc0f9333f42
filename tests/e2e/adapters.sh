#!/usr/bin/env bash
# adapters.sh - merge-adapter, export and import through the command line, on tiny models: what is written is what was trained, a
# directory is written whole or not at all, and what cannot be said in the other format is refused with the reason.
source "$(dirname "$0")/lib.bash"

golden=tests/golden adapters=tests/golden/train/adapters
model=$golden/models/llama_untied rows=$golden/train/rows.jsonl
lora=$adapters/qv_rslora-after dora=$adapters/dora_qkvud-after wegeft=$adapters/wegeft_shared-after reft=$adapters/loreft_untied-after

# The mean log-likelihood of the golden rows, as many digits as --json has.
nll() { # model, more arguments
    "$bin" eval --model "$1" --task "$rows" --split "$rows" --set threads=1 --db "$dir/e.db" --json "${@:2}" 2>>"$dir/err" |
        tr -d '\n\t ' | sed -n 's/.*"name":"nll"[^}]*"value":\(-\{0,1\}[0-9.e-]*\).*/\1/p'
}
near() { # what, a, b: to 1e-5, where the adapter's effect is above 1e-2
    if awk -v a="$2" -v b="$3" 'BEGIN { exit !(a != "" && b != "" && (a - b) ^ 2 < 1e-10) }'; then ok
    else bad "$1: $2 is not $3"
    fi
}
empty() { # nothing there, nor a stage beside it
    if [[ -e $1 ]] || compgen -G "$1.tmp.*" >/dev/null; then bad "left behind: $(ls -d "$1"*)"
    else ok
    fi
}

# merge-adapter: scored without the adapter, it is the model with it.
expect 0 'lora folded in' merge-adapter --model "$model" --adapter "$lora" --out "$dir/merged"
with=$(nll "$model" --adapter-in "$lora") without=$(nll "$model")
near 'merged equals unmerged' "$(nll "$dir/merged")" "$with"
awk -v a="$with" -v b="$without" 'BEGIN { exit !((a - b) ^ 2 > 1e-4) }' && ok || bad "the adapter does nothing: $with, $without"
json merge-adapter --model "$model" --adapter "$dora" --out "$dir/half" --dtype bf16 --json
grep -q '"dtype":.*"bf16"' "$dir/out" && ok || bad 'no dtype in --json'
(($(stat -c %s "$dir/half/model.safetensors") * 2 < $(stat -c %s "$dir/merged/model.safetensors") + 20000)) && ok || bad 'bf16 is not half the size'

# What `full` trained is the merged model.
run run --model "$model" --task "$rows" --method full --set train.steps=2 --set eval.split=none --db "$dir/e.db" --adapter-out "$dir/full" --threads 1
expect 0 'full folded in' merge-adapter --model "$model" --adapter "$dir/full" --out "$dir/tuned"
near 'full' "$(nll "$dir/tuned")" "$(nll "$model" --adapter-in "$dir/full")"
refuses 2 'no adapter apart from the weights' export --model "$model" --adapter "$dir/full" --out "$dir/x"
refuses 2 'prompt positions' merge-adapter --model "$model" --adapter "$reft" --out "$dir/x"
empty "$dir/x"

# A directory that holds something is left alone unless --force; and then only files of the same names change.
refuses 2 'is not empty' merge-adapter --model "$model" --adapter "$lora" --out "$dir/merged"
grep -q -- '--force' "$dir/err" && ok || bad 'the hint does not name --force'
echo mine >"$dir/merged/notes.txt"
expect 0 'folded in' merge-adapter --model "$model" --adapter "$dora" --out "$dir/merged/" --force
[[ $(cat "$dir/merged/notes.txt") == mine && $(find "$dir/merged" | wc -l) -eq 4 ]] && ok || bad "--force left $(ls -a "$dir/merged")"
near '--force wrote the other model' "$(nll "$dir/merged")" "$(nll "$model" --adapter-in "$dora")"
mkdir "$dir/empty"
expect 0 'folded in' merge-adapter --model "$model" --adapter "$lora" --out "$dir/empty"
expect 0 'folded in' merge-adapter --model "$model" --adapter "$lora" --out "$dir/deep/er/still"
refuses 3 'is a file' merge-adapter --model "$model" --adapter "$lora" --out "$rows"
refuses 2 '--out: not given' merge-adapter --model "$model" --adapter "$lora"
refuses 2 'model: not given' export --out "$dir/x"
refuses 2 '--adapter: not given' merge-adapter --model "$model" --out "$dir/x"
refuses 2 'not a number type' merge-adapter --model "$model" --adapter "$lora" --out "$dir/x" --dtype f16

# A full disk (files may not grow beyond 100 blocks): an error, a hint, and nothing left.
(trap '' XFSZ && ulimit -f 100 && "$bin" merge-adapter --model "$model" --adapter "$lora" --out "$dir/no-room") >"$dir/out" 2>"$dir/err"
[[ $? -eq 3 ]] && grep -q '^hint: free some space' "$dir/err" && ok || bad "a full disk: $(cat "$dir/err")"
empty "$dir/no-room"

# A model as it is: a GGUF becomes a directory that computes the same.
expect 0 'parameters in f32' export --model "$golden/formats/llama_gqa.gguf" --out "$dir/gguf"
[[ -s $dir/gguf/config.json && -s $dir/gguf/model.safetensors ]] && ok || bad "no model: $(ls "$dir/gguf")"
refuses 2 'of which adapter' export --model "$model" --out "$dir/x" --as lora
refuses 2 'written in f32' export --model "$model" --adapter "$lora" --out "$dir/x" --dtype bf16

# export: PEFT's layout, and one method as another that computes the same.
json export --model "$model" --adapter "$lora" --out "$dir/lora" --base some/name --json
grep -q 'some/name' "$dir/lora/adapter_config.json" && ok || bad '--base is not written'
cmp -s "$dir/lora/adapter_model.safetensors" <("$bin" export --model "$model" --adapter "$lora" --out "$dir/again" --quiet && cat "$dir/again/adapter_model.safetensors") && ok || bad 'export does not repeat'
expect 0 'written as ia3' export --model "$model" --adapter "$adapters/ia3_default-after" --out "$dir/ia3"
grep -q 'PEFT has no' "$dir/out" "$dir/err" && bad 'PEFT has (IA)^3' || ok
expect 0 'PEFT has no wegeft' export --model "$model" --adapter "$wegeft" --out "$dir/wegeft"
expect 0 'written as lora' export --model "$model" --adapter "$wegeft" --out "$dir/wegeft-lora" --as lora
near 'wegeft as lora' "$(nll "$model" --adapter-in "$dir/wegeft-lora")" "$(nll "$model" --adapter-in "$wegeft")"
refuses 2 'computes something' export --model "$model" --adapter "$lora" --out "$dir/x" --as dora
refuses 2 'did you mean lora' export --model "$model" --adapter "$lora" --out "$dir/x" --as loar

# import: what PEFT wrote, whole or refused.
expect 0 'lora rank=' import --from "$lora" --model "$model" --out "$dir/in"
cmp -s "$dir/in/adapter_model.safetensors" "$dir/lora/adapter_model.safetensors" && ok || bad 'import changed the numbers'
json import --from "$lora" --model "$model" --out "$dir/in2" --json
grep -q '"rslora":.*"true"' "$dir/out" && ok || bad 'no settings in --json'
hostile() { # text, exit status, a copy of the adapter changed by the command
    rm -rf "$dir/bad"
    cp -r "$lora" "$dir/bad"
    (cd "$dir/bad" && eval "$3")
    refuses "$2" "$1" import --from "$dir/bad" --model "$model" --out "$dir/x"
    empty "$dir/x"
}
hostile 'a pickle' 2 'mv adapter_model.safetensors adapter_model.bin'
hostile 'adapter_model.safetensors' 3 'rm adapter_model.safetensors'
hostile 'adapter_model.safetensors' 3 'truncate -s 1000 adapter_model.safetensors'
hostile 'rank_pattern' 2 "sed -i 's/\"rank_pattern\": {}/\"rank_pattern\": {\"q_proj\": 8}/' adapter_config.json"
hostile 'no method here' 2 "sed -i 's/\"LORA\"/\"OFT\"/' adapter_config.json"
hostile 'not a JSON object' 3 'echo "[1" >adapter_config.json'
hostile 'needed' 3 "sed -i 's/\"r\": [0-9]*/\"r\": 7/' adapter_config.json"
refuses 3 'tensor' import --from "$lora" --model "$golden/models/qwen2" --out "$dir/x"
refuses 3 'no-such' import --from "$dir/no-such" --model "$model" --out "$dir/x"
refuses 2 '--from: not given' import --model "$model" --out "$dir/x"
empty "$dir/x"

finish
