/* presets.c - published models by their dimensions: what decides how many numbers a method trains, and nothing else.
 *
 * Why: papers print counts and percentages for these models; with the shapes here they can be checked without a weight.
 * Dimensions are those of each model's config.json. `total` is given where the LLaMA family's closed form does not hold:
 * - RoBERTa (Liu et al. 2019, arXiv 1907.11692): transformers' RobertaModel with its pooler, without a head on top. It is the base that the
 *   percentages of ReFT's and WeGeFT's GLUE rows were divided by; the papers print 125M and 355M.
 * - ViT-B/16 (Dosovitskiy et al. 2021, arXiv 2010.11929): 224 x 224 pixels, class token, no pooler and no head; the paper prints 86M.
 * Both have an MLP of two products, up_proj and down_proj here, and no gate_proj.
 */
#include "model.h"
#include <string.h>

#define LLAMA(c, f, v, l, h, kv, d, tie)                                                                     \
    {                                                                                                        \
        .arch = "llama", .C = (c), .F = (f), .V = (v), .L = (l), .H = (h), .n_kv = (kv), .D = (d),           \
        .tied = (tie)                                                                                        \
    }
#define ENCODER(name, c, f, v, l, h)                                                                         \
    {                                                                                                        \
        .arch = name, .C = (c), .F = (f), .V = (v), .L = (l), .H = (h), .n_kv = (h), .D = (c) / (h),         \
        .qkv_bias = true, .ungated = true                                                                    \
    }

const pm_preset pm_presets[] = {
    {"llama-7b", LLAMA(4096, 11008, 32000, 32, 32, 32, 128, false), 0},
    {"llama-13b", LLAMA(5120, 13824, 32000, 40, 40, 40, 128, false), 0},
    {"llama-2-7b", LLAMA(4096, 11008, 32000, 32, 32, 32, 128, false), 0},
    {"llama-3-8b", LLAMA(4096, 14336, 128256, 32, 32, 8, 128, false), 0},
    {"llama-3.2-1b", LLAMA(2048, 8192, 128256, 16, 32, 8, 64, true), 0},
    {"llama-3.2-3b", LLAMA(3072, 8192, 128256, 28, 24, 8, 128, true), 0},
    {"mistral-7b", LLAMA(4096, 14336, 32000, 32, 32, 8, 128, false), 0}, /* v0.1; v0.3 has 768 ids more */
    {"roberta-base", ENCODER("roberta", 768, 3072, 50265, 12, 12), 124645632},
    {"roberta-large", ENCODER("roberta", 1024, 4096, 50265, 24, 16), 355359744},
    {"vit-b-16", ENCODER("vit", 768, 3072, 0, 12, 12), 85798656},
    {"smollm2-135m", LLAMA(576, 1536, 49152, 30, 9, 3, 64, true), 0},
    {0},
};

const pm_preset *pm_preset_find(const char *name) {
    for (const pm_preset *p = pm_presets; p->name; p++)
        if (strcmp(p->name, name) == 0) return p;
    return NULL;
}
