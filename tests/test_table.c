/* test_table.c - one small report in every format, byte for byte; csv and json read back; LaTeX compiled where there is one. */
#include "table.h"

#include "check.h"
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <unistd.h>

/* Two rows with everything that a cell can hold, and text that every format has to escape. */
static pm_report *sample(void) {
    static const pm_column c[] = {
        {"method", "method", NULL, NULL, PM_COL_TEXT, 0, 0},
        {"acc_percent", "acc", NULL, "right items", PM_COL_PERCENT, 2, 1},
        {"n", "items", NULL, NULL, PM_COL_INTEGER, 0, 0},
        {"peak_bytes", "peak", NULL, NULL, PM_COL_BYTES, 1, -1},
        {"wall_s", "wall", NULL, NULL, PM_COL_SECONDS, 3, -1},
        {"lr", "rate", "1/step", NULL, PM_COL_REAL, -3, 0},
    };
    pm_report *r = pm_report_new("A report");
    pm_table *t = pm_report_add(r, "one", "Table 1: a_b & 50%");
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) pm_table_add_column(t, &c[i]);
    int row = pm_table_add_row(t);
    pm_cell_print(pm_table_at(t, row, 0), "lora, \"r=%d\"", 8);
    *pm_table_at(t, row, 1) = (pm_cell){.value = 71.255, .low = 70.1, .high = 72.349};
    pm_cell_note(pm_table_at(t, row, 1), "ab");
    pm_table_at(t, row, 2)->value = 1234567;
    pm_table_at(t, row, 3)->value = 1572864;
    pm_table_at(t, row, 4)->value = -0.0001;
    pm_table_at(t, row, 5)->value = 0.00012345;
    row = pm_table_add_row(t);
    pm_cell_print(pm_table_at(t, row, 0), "<b>|x_1\033\n");
    pm_table_add_note(t, "A note of %d%%.", 95);
    t = pm_report_add(r, "two", "Second");
    pm_table_add_column(t, &c[2]);
    pm_table_at(t, pm_table_add_row(t), 0)->value = -1000;
    return r;
}

static char *print(void (*format)(const pm_report *, pm_buf *)) {
    pm_report *r = sample();
    pm_buf b = {0};
    format(r, &b);
    pm_report_free(r);
    return pm_buf_take(&b);
}

static void text_is_aligned(void) {
    char *s = print(pm_print_text);
    CHECK_EQ_STR(s, "Table 1: a_b & 50%\n"
                    "\n"
                    "method                       acc (%)      items  peak (MiB)  wall (s)  rate (1/step)\n"
                    "------------------------------------------------------------------------------------\n"
                    "lora, \"r=8\"  71.25 [70.10, 72.35] ab  1,234,567         1.5     0.000       0.000123\n"
                    "<b>|x_1\?\?                          -          -           -         -              -\n"
                    "\n"
                    "  A note of 95%.\n"
                    "  acc: right items\n"
                    "\n\n"
                    "Second\n"
                    "\n"
                    " items\n"
                    "------\n"
                    "-1,000\n"
                    "\n");
    free(s);
}

static void md_escapes(void) {
    char *s = print(pm_print_md);
    CHECK_EQ_STR(
        s, "## A report\n"
           "\n"
           "### Table 1: a\\_b &amp; 50%\n"
           "\n"
           "| method | acc (%) | items | peak (MiB) | wall (s) | rate (1/step) |\n"
           "| --- | ---: | ---: | ---: | ---: | ---: |\n"
           "| lora, \"r=8\" | 71.25 \\[70.10, 72.35\\] <sup>ab</sup> | 1,234,567 | 1.5 | 0.000 | 0.000123 |\n"
           "| &lt;b\\>\\|x\\_1   | - | - | - | - | - |\n"
           "\n"
           "- A note of 95%.\n"
           "- *acc*: right items\n"
           "\n"
           "### Second\n"
           "\n"
           "| items |\n"
           "| ---: |\n"
           "| -1,000 |\n"
           "\n");
    free(s);
}

static void csv_is_one_table_of_plain_numbers(void) {
    char *s = print(pm_print_csv);
    CHECK_EQ_STR(
        s, "method,acc_percent,acc_percent_low,acc_percent_high,acc_percent_note,n,peak_bytes,wall_s,lr\r\n"
           "\"lora, \"\"r=8\"\"\",71.25,70.10,72.35,ab,1234567,1572864,0.000,0.000123\r\n"
           "\"<b>|x_1\033\n\",,,,,,,,\r\n");
    free(s);
}

static const cJSON *at(const cJSON *j, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(j, key);
}

static void json_says_null_for_what_is_missing(void) {
    char *s = print(pm_print_json);
    cJSON *j = cJSON_Parse(s);
    const cJSON *tables = at(j, "tables"), *t = cJSON_GetArrayItem(tables, 0), *rows = at(t, "rows"),
                *first = cJSON_GetArrayItem(rows, 0), *second = cJSON_GetArrayItem(rows, 1),
                *column = cJSON_GetArrayItem(at(t, "columns"), 1),
                *bytes = cJSON_GetArrayItem(at(t, "columns"), 3);
    CHECK(j != NULL);
    CHECK_EQ_INT(cJSON_GetArraySize(tables), 2);
    CHECK_EQ_INT(cJSON_GetArraySize(rows), 2);
    CHECK_EQ_STR(at(first, "method")->valuestring, "lora, \"r=8\"");
    CHECK_NEAR(at(first, "acc_percent")->valuedouble, 71.25, 0);
    CHECK_NEAR(at(first, "acc_percent_low")->valuedouble, 70.10, 0);
    CHECK_NEAR(at(first, "acc_percent_high")->valuedouble, 72.35, 0);
    CHECK_EQ_STR(at(first, "acc_percent_note")->valuestring, "ab");
    CHECK_NEAR(at(first, "peak_bytes")->valuedouble, 1572864, 0);
    CHECK(cJSON_IsNull(at(second, "acc_percent")) && cJSON_IsNull(at(second, "n")) &&
          cJSON_IsNull(at(second, "acc_percent_note")));
    CHECK_EQ_STR(at(column, "definition")->valuestring, "right items");
    CHECK_EQ_STR(at(column, "unit")->valuestring, "%");
    CHECK_EQ_STR(at(bytes, "unit")->valuestring, "bytes");
    CHECK_EQ_STR(cJSON_GetArrayItem(at(t, "notes"), 0)->valuestring, "A note of 95%.");
    cJSON_Delete(j);
    free(s);
}

static void latex_has_booktabs_and_escapes(void) {
    static const char *const want[] = {
        "\\toprule\nmethod & acc (\\%) & items & peak (MiB) & wall (s) & rate (1/step) \\\\\n\\midrule\n",
        "lora, \\textquotedbl{}r=8\\textquotedbl{} & 71.25 {[}70.10, 72.35{]}\\,\\textsuperscript{ab} & "
        "1,234,567 & 1.5 & 0.000 & 0.000123 \\\\\n",
        "\\textless{}b\\textgreater{}\\textbar{}x\\_1   & -- & -- & -- & -- & -- \\\\\n\\bottomrule\n",
        "\\caption{Table 1: a\\_b \\& 50\\%}\n\\label{tab:one}\n",
        "A note of 95\\%.\\par\n",
        "\\emph{acc}: right items\\par\n",
        "\\label{tab:two}\n"};
    char *s = print(pm_print_latex);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        if (!strstr(s, want[i])) CHECK_FAIL_("LaTeX without \"%s\":\n%s", want[i], s);
    free(s);
}

/* Alone, and \input into a document that has loaded booktabs. */
static void latex_compiles(void) {
    char dir[] = P_tmpdir "/peftmeter-table-XXXXXX", command[512];
    if (!mkdtemp(dir)) abort();
    char *s = print(pm_print_latex);
    snprintf(command, sizeof command, "%s/alone.tex", dir);
    FILE *f = fopen(command, "w");
    if (!f) abort();
    fputs(s, f);
    fclose(f);
    free(s);
    snprintf(command, sizeof command, "%s/whole.tex", dir);
    f = fopen(command, "w");
    if (!f) abort();
    fputs("\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs,graphicx}\\begin{document}"
          "\\input{alone}after\\end{document}\n",
          f);
    fclose(f);
    for (int i = 0; i < 2; i++) {
        snprintf(command, sizeof command,
                 "cd %s && pdflatex -halt-on-error -interaction=batchmode %s.tex >/dev/null 2>&1 && test -s "
                 "%s.pdf && ! grep -q '^!' %s.log",
                 dir, i ? "whole" : "alone", i ? "whole" : "alone", i ? "whole" : "alone");
        if (system(command) != 0) CHECK_FAIL_("%s", command);
    }
    snprintf(command, sizeof command, "rm -rf %s", dir);
    CHECK_EQ_INT(system(command), 0);
}

static void check_number(pm_column_kind kind, int digits, double value, bool data, const char *want) {
    const pm_column c = {.kind = kind, .digits = digits};
    char out[PM_NUMBER];
    pm_column_number(&c, value, data, out);
    CHECK_EQ_STR(out, want);
}

static void numbers_read_the_same_everywhere(void) {
    check_number(PM_COL_REAL, 2, -0.001, false, "0.00");
    check_number(PM_COL_REAL, 2, -0.006, false, "-0.01");
    check_number(PM_COL_REAL, 1, 1234567.89, false, "1,234,567.9");
    check_number(PM_COL_REAL, 1, 1234567.89, true, "1234567.9");
    check_number(PM_COL_REAL, 0, -123456, false, "-123,456");
    check_number(PM_COL_REAL, 0, 999, false, "999");
    check_number(PM_COL_REAL, 0, 1000, false, "1,000");
    check_number(PM_COL_REAL, -3, 0.001, false, "0.001");
    check_number(PM_COL_REAL, 2, 1e300, false, "1.000e+300");
    check_number(PM_COL_REAL, 2, (double)INFINITY, false, "");
    check_number(PM_COL_INTEGER, 5, 12, true, "12");
    check_number(PM_COL_BYTES, 2, 1048576, false, "1.00");
    check_number(PM_COL_BYTES, 2, 1048576, true, "1048576");
    check_number(PM_COL_REAL, 9, -1e29, false, "-99,999,999,999,999,991,433,150,857,216.000000000");
}

static void formats_are_listed_once(void) {
    for (const pm_format *f = pm_formats; f->name; f++) {
        char *s = print(f->print);
        CHECK(strlen(s) > 20);
        free(s);
        for (const pm_format *g = pm_formats; g < f; g++) CHECK(strcmp(f->name, g->name) != 0);
    }
}

/* A value whose interval is not known says so in every format; one that needs none says nothing. */
static void a_lacking_interval_is_marked(void) {
    static const pm_column c = {"acc", "acc", NULL, NULL, PM_COL_PERCENT, 2, 1};
    static const char *const want[][2] = {
        {"text", "50.00 [-]\n"},        {"md", "50.00 \\[-\\]"},
        {"latex", "50.00 {[}--{]}"},    {"csv", "50.00,,"},
        {"json", "\"acc_low\":\tnull"}, {"html", "50.00 <span class=\"interval\">[-]</span>"}};
    for (const pm_format *f = pm_formats; f->name; f++) {
        pm_report *r = pm_report_new("A report");
        pm_table *t = pm_report_add(r, "one", "One");
        pm_buf marked = {0}, plain = {0};
        pm_table_add_column(t, &c);
        pm_table_at(t, pm_table_add_row(t), 0)->value = 50;
        f->print(r, &plain);
        pm_table_at(t, 0, 0)->lacks_interval = true;
        f->print(r, &marked);
        int i = 0;
        while (strcmp(want[i][0], f->name) != 0) i++;
        if (!strstr(marked.p, want[i][1]) || strstr(plain.p, want[i][1]))
            CHECK_FAIL_("%s: %s", f->name, marked.p);
        pm_buf_free(&marked), pm_buf_free(&plain);
        pm_report_free(r);
    }
}

int main(void) {
    RUN(text_is_aligned);
    RUN(md_escapes);
    RUN(csv_is_one_table_of_plain_numbers);
    RUN(json_says_null_for_what_is_missing);
    RUN(latex_has_booktabs_and_escapes);
    if (system("command -v pdflatex >/dev/null 2>&1") == 0)
        RUN(latex_compiles);
    else
        SKIP("latex_compiles", "there is no pdflatex");
    RUN(numbers_read_the_same_everywhere);
    RUN(formats_are_listed_once);
    RUN(a_lacking_interval_is_marked);
    return check_done();
}
