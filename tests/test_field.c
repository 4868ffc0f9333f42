/* test_field.c - settings tables: what is read, what is refused, what is printed back. */
#include "field.h"

#include "check.h"
#include <stdlib.h>

typedef struct cfg {
    int rank, mode, any;
    double lr, wide;
    bool on;
    char name[PM_FIELD_STR];
} cfg;

static const pm_field fields[] = {
    {"rank", PM_FIELD_INT, offsetof(cfg, rank), "8", 1, 1024, NULL, "rank of the update", "r"},
    {"mode", PM_FIELD_ENUM, offsetof(cfg, mode), "bf16", 0, 0, "fp32|bf16", "number format", NULL},
    {"any", PM_FIELD_INT, offsetof(cfg, any), "-3", 0, 0, NULL, "any int", NULL},
    {"lr", PM_FIELD_REAL, offsetof(cfg, lr), "1e-3", 0, 1, NULL, "learning rate", NULL},
    {"wide", PM_FIELD_REAL, offsetof(cfg, wide), "-.5", 0, 0, NULL, "any real", NULL},
    {"on", PM_FIELD_BOOL, offsetof(cfg, on), "true", 0, 0, NULL, "a switch", NULL},
    {"name", PM_FIELD_STRING, offsetof(cfg, name), "", 0, 0, NULL, "a word", NULL},
    {NULL, PM_FIELD_INT, 0, NULL, 0, 0, NULL, NULL, NULL},
};

static cfg fresh(void) {
    cfg c;
    memset(&c, 0, sizeof c);
    pm_fields_defaults(fields, &c);
    return c;
}

static void field_defaults(void) {
    cfg c = fresh();
    CHECK_EQ_INT(c.rank, 8);
    CHECK_EQ_INT(c.mode, 1);
    CHECK_EQ_INT(c.any, -3);
    CHECK_NEAR(c.lr, 1e-3, 0);
    CHECK_NEAR(c.wide, -0.5, 0);
    CHECK(c.on);
    CHECK_EQ_STR(c.name, "");
}

static void field_reads_good_values(void) {
    static const struct {
        const char *key, *value, *back;
    } good[] = {
        {"rank", "1", "1"},
        {"rank", "+1024", "1024"},
        {"any", "-2147483648", "-2147483648"},
        {"any", "2147483647", "2147483647"},
        {"any", "007", "7"},
        {"lr", "1e-3", "0.001"},
        {"lr", "1", "1"},
        {"lr", ".25", "0.25"},
        {"lr", "0.1", "0.1"},
        {"wide", "-1.5E+10", "-1.5e+10"},
        {"wide", "2.2250738585072014e-308", "2.2250738585072014e-308"},
        {"wide", "0.30000000000000004", "0.30000000000000004"},
        {"wide", "3.", "3"},
        {"on", "false", "false"},
        {"on", "yes", "true"},
        {"on", "0", "false"},
        {"on", "True", "true"},
        {"on", "no", "false"},
        {"on", "1", "true"},
        {"mode", "fp32", "fp32"},
        {"mode", "bf16", "bf16"},
        {"name", "q_proj,v_proj", "q_proj,v_proj"},
        {"name", "", ""},
        {"name", "na\xc3\xafve", "na\xc3\xafve"},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cfg c = fresh();
        pm_err e = {0};
        char back[PM_FIELD_STR];
        CHECK_OK(pm_field_set(fields, &c, "method.", good[i].key, good[i].value, &e));
        pm_field_get(pm_field_find(fields, good[i].key), &c, back, sizeof back);
        CHECK_EQ_STR(back, good[i].back);
    }
}

/* Refused: the code, the key in the message, a hint, and the old value untouched. */
static void field_refuses_bad_values(void) {
    static const char *const bad[][2] = {
        {"rank", ""},
        {"rank", "8x"},
        {"rank", " 8"},
        {"rank", "8 "},
        {"rank", "0"},
        {"rank", "1025"},
        {"rank", "8.0"},
        {"rank", "1e2"},
        {"rank", "0x10"},
        {"rank", "--1"},
        {"rank", "99999999999999999999"},
        {"any", "2147483648"},
        {"any", "-2147483649"},
        {"any", "+"},
        {"lr", ""},
        {"lr", "nan"},
        {"lr", "inf"},
        {"lr", "-inf"},
        {"lr", "1e400"},
        {"lr", "0x1p-3"},
        {"lr", "1e-3x"},
        {"lr", "-1e-9"},
        {"lr", "1.0001"},
        {"lr", "1,5"},
        {"lr", "."},
        {"lr", "e5"},
        {"lr", "1e"},
        {"wide", "1e-400"},
        {"wide", "NAN"},
        {"wide", "-1e309"},
        {"wide", " 1"},
        {"on", ""},
        {"on", "2"},
        {"on", "tru"},
        {"on", "on "},
        {"mode", ""},
        {"mode", "fp"},
        {"mode", "fp32|bf16"},
        {"mode", "fp32 "},
        {"mode", "FP32"},
        {"name", "two\nlines"},
        {"name", "esc\x1b[0m"},
    };
    const cfg start = fresh();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cfg c = start;
        pm_err e = {0};
        CHECK_EQ_INT(pm_field_set(fields, &c, "method.", bad[i][0], bad[i][1], &e), PM_EUSAGE);
        CHECK_EQ_INT(e.code, PM_EUSAGE);
        CHECK(strstr(e.msg, "method.") && strstr(e.msg, bad[i][0]));
        CHECK(strstr(e.hint, "expected "));
        CHECK(memcmp(&c, &start, sizeof c) == 0);
    }
}

static void field_refuses_long_strings(void) {
    cfg c = fresh();
    pm_err e = {0};
    char s[PM_FIELD_STR + 1];
    memset(s, 'a', sizeof s);
    s[PM_FIELD_STR] = 0;
    CHECK_EQ_INT(pm_field_set(fields, &c, "", "name", s, &e), PM_EUSAGE);
    s[PM_FIELD_STR - 1] = 0;
    CHECK_OK(pm_field_set(fields, &c, "", "name", s, &e));
    CHECK_EQ_INT(strlen(c.name), PM_FIELD_STR - 1);
}

static void field_unknown_key_suggests(void) {
    cfg c = fresh();
    pm_err e = {0};
    CHECK_EQ_INT(pm_field_set(fields, &c, "method.", "rnak", "4", &e), PM_EUSAGE);
    CHECK_EQ_STR(e.msg, "method.rnak: no such setting");
    CHECK_EQ_STR(e.hint, "did you mean method.rank?");
    CHECK_EQ_INT(pm_field_set(fields, &c, "method.", "temperature", "4", &e), PM_EUSAGE);
    CHECK_EQ_STR(e.hint, "settings here: rank, mode, any, lr, wide, on, name");
}

/* Every double must come back bit for bit from its printed form. */
static void field_reals_round_trip(void) {
    const pm_field *f = pm_field_find(fields, "wide");
    uint64_t bits = 88172645463325252u; /* xorshift64: any walk through the bit patterns does */
    for (int i = 0; i < 20000; i++) {
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
        cfg c = fresh();
        memcpy(&c.wide, &bits, sizeof bits);
        if (!isnormal(c.wide)) continue;
        double want = c.wide;
        char s[64];
        pm_err e = {0};
        pm_field_get(f, &c, s, sizeof s);
        c.wide = 0;
        CHECK_OK(pm_field_set(fields, &c, "", "wide", s, &e));
        CHECK(memcmp(&c.wide, &want, sizeof want) == 0);
    }
}

static void nearest_by_edits(void) {
    static const char *const known[] = {"lora", "dora", "loreft", "wegeft", "full", "svf"};
    static const char *const cases[][2] = {
        {"lora", "lora"},    {"lroa", "lora"},     {"loraa", "lora"}, {"dra", "dora"},
        {"loref", "loreft"}, {"wegfet", "wegeft"}, {"svd", "svf"},    {"ful", "full"},
        {"xyzzy", NULL},     {"", NULL},           {"adapter", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = pm_nearest(cases[i][0], known, 6);
        CHECK_EQ_STR(got ? got : "none", cases[i][1] ? cases[i][1] : "none");
    }
    char huge[5000];
    memset(huge, 'l', sizeof huge - 1);
    huge[sizeof huge - 1] = 0;
    CHECK(pm_nearest(huge, known, 6) == NULL);
    CHECK(pm_nearest("lora", known, 0) == NULL);
}

int main(void) {
    RUN(field_defaults);
    RUN(field_reads_good_values);
    RUN(field_refuses_bad_values);
    RUN(field_refuses_long_strings);
    RUN(field_unknown_key_suggests);
    RUN(field_reals_round_trip);
    RUN(nearest_by_edits);
    return check_done();
}
