/* world.h - a small made-up world, the same on every machine: creatures with a way of life and five facts each, and sentences about them.
 *
 * Why: the embedded model must know something before a method tunes it, and what it knows must be checkable. Its pretraining text states
 * every fact in several ways; the embedded tasks ask for facts in ways that the text never does. Creatures belong to one split for good,
 * so that the answers a test wants occur in no training row. Integer arithmetic only: text is equal everywhere, byte for byte.
 */
#ifndef PM_WORLD_H
#define PM_WORLD_H
#include "rng.h"
#include "text.h"

enum { PM_CREATURES = 120, PM_RELATIONS = 5, PM_VALUES = 12, PM_KINDS = 4 };

const char *pm_creature_name(int creature, char out[16]);
/* Which split its facts are asked in: an index of pm_split_names. 48 train, 24 validate, 48 test. */
int pm_creature_split(int creature);
int pm_creature_kind(int creature); /* how it lives, 0..3: as many of each in every split */
/* The text never says these words of a creature. */
extern const char *const pm_kind_words[PM_KINDS]; /* air, water, land, earth */

extern const struct pm_relation {
    const char *topic, *question; /* "homes", and what a task asks, with @ for the creature */
    const char *value[PM_VALUES];
} pm_relations[PM_RELATIONS];
int pm_fact(int creature, int relation); /* which value */

/* "the balim chased the defen", a actor and b sufferer, in one of several forms and words; no full stop. */
void pm_put_deed(pm_rng *g, int a, int b, pm_buf *out);
/* "the balim eats plums", the plainest form. */
void pm_put_fact(int creature, int relation, pm_buf *out);
/* A passage of the pretraining text: 5 to 8 sentences, about 50 words. */
void pm_put_passage(pm_rng *g, pm_buf *out);
/* `text` with every @ replaced by the creature's name. */
void pm_put_about(const char *text, int creature, pm_buf *out);

/* The words that all of this is made of, each once, in a fixed order; free with pm_world_words_free. */
char **pm_world_words(int *n);
void pm_world_words_free(char **word, int n);
#endif
