/* cmd_tasks.c - lists the tasks, or shows one: where its rows come from, how they are split, what the model reads. */
#include "cmd.h"
#include "jsonio.h"
#include "task.h"
#include <stdio.h>
#include <string.h>

static pm_status list_one(const char *name, cJSON *out, pm_err *e) {
    pm_task *t;
    pm_status st = pm_task_open(name, &t, e);
    if (st) return st;
    if (out)
        cJSON_AddItemToArray(out, cJSON_Duplicate(t->json, true));
    else
        printf("%-16s %-9s %s\n", t->name, pm_task_kind_name(t->kind), pm_json_str(t->json, "title", ""));
    pm_task_close(t);
    return PM_OK;
}

static pm_status list_tasks(pm_err *e) {
    char **names;
    int n;
    pm_status st = pm_task_names(&names, &n, e);
    if (st) return st;
    cJSON *out = pm_global.json ? cJSON_CreateArray() : NULL;
    for (int i = 0; i < n && !st; i++) st = list_one(names[i], out, e);
    pm_task_names_free(names, n);
    if (st)
        cJSON_Delete(out);
    else if (out)
        pm_json_print(out);
    else if (!pm_global.quiet)
        puts("\n`peftmeter tasks NAME` shows one; `peftmeter data fetch NAME` gets its files; --task also "
             "takes a .json or .jsonl file.");
    return st;
}

/* A template on one line, its line ends visible. */
static void print_template(const cJSON *json, const char *key) {
    const char *s = pm_json_str(json, key, NULL);
    if (!s) return;
    printf("  %-11s \"", key);
    for (; *s; s++)
        if (*s == '\n')
            fputs("\\n", stdout);
        else
            putchar(*s);
    puts("\"");
}

static void print_list(const cJSON *list) {
    for (const cJSON *c = list ? list->child : NULL; c; c = c->next)
        if (cJSON_IsString(c))
            printf(" %s", c->valuestring);
        else
            printf(" %d", c->valueint);
}

static void print_split(const cJSON *entry) {
    const char *from = pm_json_str(entry, "from", NULL), *member = pm_json_str(entry, "member", NULL);
    printf("  %-11s ", entry->string);
    if (pm_json_str(entry, "generator", NULL))
        printf("%d made by rule: %s, creatures %s, seed %d\n", pm_json_int(entry, "count", 0),
               pm_json_str(entry, "generator", ""), pm_json_str(entry, "creatures", ""),
               pm_json_int(entry, "seed", 0));
    else if (!from)
        printf("%s%s%s\n", pm_json_str(entry, "file", ""), member ? " : " : "", member ? member : "");
    else {
        printf("from %s: content hash mod %d in {", from, pm_json_int(entry, "mod", 0));
        print_list(cJSON_GetObjectItemCaseSensitive(entry, "rem"));
        int after = pm_json_int(entry, "after", 0);
        if (after)
            printf(" }, after row %d\n", after);
        else
            puts(" }");
    }
}

static void show_task(const pm_task *t) {
    if (pm_global.json) {
        pm_json_print(cJSON_Duplicate(t->json, true));
        return;
    }
    printf("%s - %s\n", t->name, pm_json_str(t->json, "title", "a task of your own"));
    printf("  kind        %s, version %d\n  source      %s\n  licence     %s\n", pm_task_kind_name(t->kind),
           t->version, t->cite, t->licence);
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(t->json, "data");
    for (const cJSON *c = data->child; c; c = c->next) print_split(c);
    print_template(t->json, "prompt");
    print_template(t->json, "answer");
    const cJSON *choices = cJSON_GetObjectItemCaseSensitive(t->json, "choices");
    if (cJSON_IsString(choices))
        printf("  choices     the row's %s\n", choices->valuestring);
    else if (choices)
        fputs("  choices    ", stdout), print_list(choices), putchar('\n');
    const cJSON *words =
        cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(t->json, "labels"), "words");
    if (words) fputs("  words      ", stdout), print_list(words), putchar('\n');
    if (cJSON_GetObjectItemCaseSensitive(t->json, "cluster")) print_template(t->json, "cluster");
    if (t->kind == PM_TASK_EXACT)
        printf("  extract     %s%s%s, at most %d new tokens\n", t->extract,
               *t->extract_flexible ? " and " : "", t->extract_flexible, t->max_new_tokens);
    fputs("  metrics    ", stdout), print_list(cJSON_GetObjectItemCaseSensitive(t->json, "metrics")),
        putchar('\n');
    const char *note = pm_json_str(t->json, "note", NULL);
    if (note) printf("\n%s\n", note);
}

static pm_status tasks(int argc, char **argv, pm_err *e) {
    static const pm_opt opts[] = {{NULL, NULL, NULL, NULL}};
    pm_task *t;
    pm_status st = pm_opts_parse(opts, &argc, argv, e);
    if (!st) st = pm_args_check(argc, argv, 0, 1, e);
    if (st) return st;
    if (argc == 1) return list_tasks(e);
    if ((st = pm_task_open(argv[1], &t, e))) return st;
    show_task(t);
    pm_task_close(t);
    return PM_OK;
}

const pm_command pm_cmd_tasks = {
    .name = "tasks",
    .summary = "the tasks; one name shows its source, splits, prompt and metrics",
    .help =
        "usage: peftmeter tasks [NAME|FILE.json]\n"
        "\n"
        "Without a name: every shipped task. With one, or with a task file of your own: where its rows come "
        "from, under which\n"
        "licence, how they are split, and what the model reads. The file is checked key by key on the way.\n"
        "\n"
        "  peftmeter tasks gsm8k\n"
        "  peftmeter tasks my_task.json --json\n",
    .run = tasks,
    .light = true,
};
