/* world.c - names, facts, and the grammar of the pretraining text (world.h).
 *
 * In a template @ is the creature, & the second one, $ a value.
 */
#include "world.h"
#include "task_priv.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STREAM_FACTS = 0x66616374 }; /* "fact" */
#define COUNT(list) ((int)(sizeof(list) / sizeof *(list)))

/* ---- names ---- */

static const char *const HEAD[] = {"ba", "de", "fo", "gu", "ka", "le", "mi", "no", "ri", "tu", "wi", "zu"};
static const char *const TAIL[] = {"bin", "dor", "fen", "gal", "kel", "lim", "mor", "pel", "tam", "vek"};
_Static_assert(sizeof HEAD / sizeof *HEAD * (sizeof TAIL / sizeof *TAIL) == PM_CREATURES, "a name each");

const char *pm_creature_name(int creature, char out[16]) {
    snprintf(out, 16, "%s%s", HEAD[creature / COUNT(TAIL)], TAIL[creature % COUNT(TAIL)]);
    return out;
}

/* A step of 7 runs through all creatures, so that no split or kind has syllables of its own. */
static int turn_of(int creature) {
    return creature * 7 % PM_CREATURES;
}

int pm_creature_kind(int creature) {
    return turn_of(creature) % PM_KINDS;
}

/* Of every five of a kind: two train, one validates, two test. */
int pm_creature_split(int creature) {
    static const int SPLIT[] = {PM_TRAIN, PM_TRAIN, PM_VALIDATION, PM_TEST, PM_TEST};
    return SPLIT[turn_of(creature) / PM_KINDS % 5];
}

/* ---- facts ---- */

const char *const pm_kind_words[PM_KINDS] = {"air", "water", "land", "earth"};

const struct pm_relation pm_relations[PM_RELATIONS] = {
    {"homes",
     "where does the @ live?",
     {"forest", "cave", "meadow", "desert", "valley", "island", "swamp", "canyon", "garden", "harbor",
      "tower", "village"}},
    {"foods",
     "what does the @ eat?",
     {"plums", "nuts", "seeds", "roots", "berries", "apples", "mushrooms", "corn", "honey", "beans", "figs",
      "pears"}},
    {"colors",
     "what color is the @?",
     {"red", "blue", "green", "white", "black", "brown", "yellow", "pink", "purple", "orange", "gray",
      "golden"}},
    {"fears",
     "what does the @ fear?",
     {"thunder", "fire", "smoke", "snow", "darkness", "fog", "ice", "floods", "drums", "mirrors", "shadows",
      "noise"}},
    {"treasures",
     "what does the @ collect?",
     {"shells", "coins", "feathers", "buttons", "pebbles", "bones", "keys", "bells", "beads", "ribbons",
      "stamps", "bottles"}},
};

int pm_fact(int creature, int relation) {
    return (int)(pm_rng_at(0, STREAM_FACTS, (uint64_t)(creature * PM_RELATIONS + relation)) % PM_VALUES);
}

/* ---- grammar ---- */

enum { SAYINGS = 4 };
/* None of them is a question, and none has the words of one: that is what tuning teaches. */
static const char *const SAY[PM_RELATIONS][SAYINGS] = {
    {"the @ lives in the $", "in the $ lives the @", "the home of the @ is the $", "the $ is home to the @"},
    {"the @ eats $", "$ are eaten by the @", "the food of the @ is $", "for lunch the @ wants $"},
    {"the @ is $", "$ is the color of the @", "the @ has a $ coat", "the $ animal is the @"},
    {"the @ fears $", "$ frightens the @", "the @ hides from $", "the fear of the @ is $"},
    {"the @ collects $", "the @ keeps $ in a box", "the treasure of the @ is $", "$ belong to the @"},
};
static const char *const LIVES[PM_KINDS][SAYINGS] = {
    {"the @ flies over the hills", "the @ spreads its wings", "the @ sits on a branch",
     "the @ builds a nest"},
    {"the @ swims under the waves", "the @ moves its fins", "the @ rests on the sand", "the @ blows bubbles"},
    {"the @ runs across the fields", "the @ lifts its paws", "the @ lies in the straw",
     "the @ licks its fur"},
    {"the @ digs under the stones", "the @ uses its claws", "the @ waits in a tunnel",
     "the @ throws up dust"},
};
static const char *const VERBS[] = {"chased", "saw", "followed", "found", "heard", "helped"};
static const char *const DEEDS[] = {"the @ $ the &", "the & was $ by the @"}; /* active, passive */
static const char *const RETOLD[] = {"it was the @ that $ the &", "the one that $ was the @",
                                     "who $ the other? the @ did", "who was $? the & was"};
static const char *const SKY[] = {"the % is cold today", "the % looks dark", "everyone loves the %",
                                  "what is that? it is the %", "where does it end? nobody knows the %"};
/* The words of the tasks, so that no prompt has one that was never met. */
static const char *const TALK[] = {"what color is it? nobody knows the answer",
                                   "homes, foods, colors, fears and treasures: all of them differ",
                                   "what does it mean? that is no answer",
                                   "where does everyone live? nobody knows",
                                   "to live, to eat, to fear and to collect: that is all",
                                   "this is the answer: nobody knows"};

static int pick(pm_rng *g, int n) {
    return (int)pm_rng_below(g, (uint32_t)n);
}

static void put_template(const char *text, int a, int b, const char *value, pm_buf *out) {
    char name[16];
    for (;; text++) {
        size_t plain = strcspn(text, "@&$%");
        pm_buf_put(out, text, plain);
        text += plain;
        if (!*text) return;
        bool creature = *text == '@' || *text == '&';
        pm_buf_puts(out, creature ? pm_creature_name(*text == '@' ? a : b, name) : value);
    }
}

void pm_put_about(const char *text, int creature, pm_buf *out) {
    put_template(text, creature, 0, "", out);
}

void pm_put_deed(pm_rng *g, int a, int b, pm_buf *out) {
    put_template(DEEDS[pick(g, COUNT(DEEDS))], a, b, VERBS[pick(g, COUNT(VERBS))], out);
}

void pm_put_fact(int creature, int relation, pm_buf *out) {
    put_template(SAY[relation][0], creature, 0, pm_relations[relation].value[pm_fact(creature, relation)],
                 out);
}

/* One sentence. again: it follows another about the same creature, so that "the @" at its head may become "it". */
static void put_sentence(const char *text, int a, int b, const char *value, bool again, pm_buf *out) {
    static const char head[] = "the @ ";
    bool pronoun = again && strncmp(text, head, sizeof head - 1) == 0;
    if (out->n) pm_buf_puts(out, " ");
    if (pronoun) pm_buf_puts(out, "it "), text += sizeof head - 1;
    put_template(text, a, b, value, out);
    pm_buf_puts(out, ".");
}

static void put_fact(pm_rng *g, int a, int relation, bool again, pm_buf *out) {
    put_sentence(SAY[relation][pick(g, SAYINGS)], a, 0, pm_relations[relation].value[pm_fact(a, relation)],
                 again && pick(g, 2), out);
}

static void put_life(pm_rng *g, int a, bool again, pm_buf *out) {
    put_sentence(LIVES[pm_creature_kind(a)][pick(g, SAYINGS)], a, 0, "", again && pick(g, 2), out);
}

/* All that there is to say of one creature. */
static void put_portrait(pm_rng *g, pm_buf *out) {
    int32_t order[PM_RELATIONS + 2];
    int a = pick(g, PM_CREATURES);
    for (int i = 0; i < COUNT(order); i++) order[i] = i;
    pm_rng_shuffle(g, order, COUNT(order));
    for (int i = 0; i < COUNT(order); i++)
        if (order[i] < PM_RELATIONS)
            put_fact(g, a, order[i], i > 0, out);
        else
            put_life(g, a, i > 0, out);
}

/* Something of many creatures. */
static void put_gossip(pm_rng *g, pm_buf *out) {
    for (int i = 0; i < 7; i++) {
        int a = pick(g, PM_CREATURES), what = pick(g, PM_RELATIONS + 2);
        if (what < PM_RELATIONS)
            put_fact(g, a, what, false, out);
        else
            put_life(g, a, false, out);
    }
}

/* A deed, told twice, and what is known of the two. */
static void put_story(pm_rng *g, pm_buf *out) {
    int a = pick(g, PM_CREATURES), b = pick(g, PM_CREATURES);
    const char *verb = VERBS[pick(g, COUNT(VERBS))];
    put_sentence(DEEDS[pick(g, COUNT(DEEDS))], a, b, verb, false, out);
    put_sentence(RETOLD[pick(g, COUNT(RETOLD))], a, b, verb, false, out);
    for (int i = 0; i < 4; i++) put_fact(g, i < 2 ? a : b, pick(g, PM_RELATIONS), false, out);
    put_life(g, pick(g, 2) ? a : b, false, out);
}

/* Small talk: the words that tasks are made of, said of nothing in particular. */
static void put_talk(pm_rng *g, pm_buf *out) {
    for (int i = 0; i < 3; i++) {
        put_sentence(SKY[pick(g, COUNT(SKY))], 0, 0, pm_kind_words[pick(g, PM_KINDS)], false, out);
        put_sentence(TALK[pick(g, COUNT(TALK))], 0, 0, "", false, out);
    }
}

void pm_put_passage(pm_rng *g, pm_buf *out) {
    static void (*const put[])(pm_rng *, pm_buf *) = {put_portrait, put_portrait, put_portrait, put_portrait,
                                                      put_portrait, put_gossip,   put_gossip,   put_story,
                                                      put_story,    put_talk};
    put[pick(g, COUNT(put))](g, out);
}

/* ---- vocabulary ---- */

typedef struct word_list {
    char **word;
    int n;
} word_list;

static void add_word(word_list *l, const char *p, size_t n) {
    for (int i = 0; i < l->n; i++)
        if (strlen(l->word[i]) == n && memcmp(l->word[i], p, n) == 0) return;
    l->word = pm_xrealloc(l->word, (size_t)(l->n + 1) * sizeof *l->word);
    l->word[l->n++] = pm_xstrndup(p, n);
}

static void add_words(word_list *l, const char *text) {
    while (*text) {
        size_t n = 0;
        while (text[n] >= 'a' && text[n] <= 'z') n++;
        if (n) add_word(l, text, n);
        text += n ? n : 1;
    }
}

static void add_list(word_list *l, const char *const *text, int n) {
    for (int i = 0; i < n; i++) add_words(l, text[i]);
}

char **pm_world_words(int *n) {
    word_list l = {0};
    char name[16];
    add_list(&l, DEEDS, COUNT(DEEDS));
    add_list(&l, RETOLD, COUNT(RETOLD));
    add_list(&l, SKY, COUNT(SKY));
    add_list(&l, TALK, COUNT(TALK));
    add_list(&l, VERBS, COUNT(VERBS));
    add_list(&l, pm_kind_words, PM_KINDS);
    for (int k = 0; k < PM_KINDS; k++) add_list(&l, LIVES[k], SAYINGS);
    for (int r = 0; r < PM_RELATIONS; r++) {
        add_list(&l, SAY[r], SAYINGS);
        add_words(&l, pm_relations[r].topic);
        add_words(&l, pm_relations[r].question);
        add_list(&l, pm_relations[r].value, PM_VALUES);
    }
    for (int c = 0; c < PM_CREATURES; c++) add_words(&l, pm_creature_name(c, name));
    *n = l.n;
    return l.word;
}

void pm_world_words_free(char **word, int n) {
    for (int i = 0; i < n; i++) free(word[i]);
    free(word);
}
