/* test_unpack.c - zip, gzip and bzip2 against archives made by other programs (python3's zipfile, gzip, bzip2 when present) and against every
 * single-byte damage of a small archive: an error or the right bytes, never a crash. */
#include "check.h"
#include "fetch.h"
#include "scratch.h"
#include "unpack.h"
#include <stdlib.h>
#include <unistd.h>

static pm_err e;
static char dir[] = P_tmpdir "/pm_unpack_XXXXXX";

static bool run(const char *command) {
    char line[1024];
    snprintf(line, sizeof line, "cd %s && (%s) >/dev/null 2>&1", dir, command);
    return system(line) == 0;
}

static void write_file(const char *name, const char *p, size_t n) {
    FILE *f = fopen(path_in(dir, name), "wb");
    CHECK(f && fwrite(p, 1, n, f) == n);
    if (f) fclose(f);
}

/* 100,000 bytes that neither store nor compress trivially. */
static char text[100000];
static void make_text(void) {
    unsigned x = 1;
    for (size_t i = 0; i < sizeof text; i++)
        x = x * 1664525u + 1013904223u, text[i] = (char)('a' + (x >> 24) % 7);
    write_file("text", text, sizeof text);
    write_file("small", text, 100);
}

static bool is_text(const pm_buf *b) {
    return b->n == sizeof text && memcmp(b->p, text, b->n) == 0 && b->p[b->n] == 0;
}

static void zip_reads_stored_and_deflated_members(void) {
    if (!run("python3 -c \"import zipfile as z; a=z.ZipFile('a.zip','w'); a.write('small'); "
             "a.write('text','in/text',z.ZIP_DEFLATED); a.comment=b'hi'\"")) {
        SKIP("zip_reads_stored_and_deflated_members", "no python3");
        return;
    }
    pm_buf b = {0};
    CHECK_OK(pm_file_read(path_in(dir, "a.zip"), "in/text", &b, &e));
    CHECK(is_text(&b));
    pm_buf_free(&b);
    CHECK_OK(pm_file_read(path_in(dir, "a.zip"), "small", &b, &e));
    CHECK_EQ_INT(b.n, 100);
    pm_buf_free(&b);
    CHECK_OK(pm_zip_extract(path_in(dir, "a.zip"), "in/text", path_in(dir, "out"), &e));
    CHECK(run("cmp text out"));
    CHECK_EQ_INT(pm_file_read(path_in(dir, "a.zip"), "absent", &b, &e), PM_EFORMAT);
    CHECK(strstr(e.msg, "absent"));
    CHECK_EQ_INT(pm_file_read(path_in(dir, "text"), "absent", &b, &e), PM_EFORMAT);
    CHECK_EQ_INT(pm_zip_extract(path_in(dir, "a.zip"), "in/text", path_in(dir, "no/such/folder"), &e),
                 PM_EIO);
}

/* Every byte of a small archive flipped, and every truncation: the member is right or refused. */
static void zip_survives_every_damage(void) {
    if (!run("python3 -c \"import zipfile as z; a=z.ZipFile('d.zip','w',z.ZIP_DEFLATED); "
             "a.write('small')\"")) {
        SKIP("zip_survives_every_damage", "no python3");
        return;
    }
    pm_buf zip = {0}, b = {0};
    CHECK_OK(pm_file_read(path_in(dir, "d.zip"), NULL, &zip, &e));
    int right = 0, refused = 0, wrong = 0;
    for (size_t i = 0; i < zip.n; i++) {
        char *copy = malloc(zip.n);
        memcpy(copy, zip.p, zip.n);
        copy[i] = (char)~copy[i];
        write_file("x.zip", copy, zip.n);
        free(copy);
        if (pm_file_read(path_in(dir, "x.zip"), "small", &b, &e))
            refused++;
        else if (b.n == 100 && memcmp(b.p, text, 100) == 0)
            right++;
        else
            wrong++;
        pm_buf_free(&b);
    }
    CHECK_EQ_INT(wrong, 0);
    CHECK(refused > 50 && right > 0); /* dates and attributes do not matter, the rest does */
    for (size_t n = 1; n < zip.n; n++) {
        write_file("x.zip", zip.p, n);
        CHECK(pm_file_read(path_in(dir, "x.zip"), "small", &b, &e) != PM_OK);
    }
    pm_buf_free(&zip);
}

static void streams_decompress(const char *make, const char *name) {
    pm_buf b = {0};
    if (!run(make)) {
        SKIP(name, "the program that compresses is missing");
        return;
    }
    CHECK_OK(pm_file_read(path_in(dir, name), NULL, &b, &e));
    CHECK(is_text(&b));
    pm_buf_free(&b);
    char cut[256];
    snprintf(cut, sizeof cut, "head -c 20000 %s > cut_%s", name, name);
    CHECK(run(cut));
    snprintf(cut, sizeof cut, "cut_%s", name);
    CHECK_EQ_INT(pm_file_read(path_in(dir, cut), NULL, &b, &e), PM_EFORMAT);
    snprintf(cut, sizeof cut, "cp text plain_%s", name);
    CHECK(run(cut));
    snprintf(cut, sizeof cut, "plain_%s", name);
    CHECK_EQ_INT(pm_file_read(path_in(dir, cut), NULL, &b, &e), PM_EFORMAT);
}

static void gzip_decompresses(void) {
    streams_decompress("gzip -c text > text.gz", "text.gz");
}

static void gzip_reads_concatenated_streams(void) {
    pm_buf b = {0};
    if (!run("head -c 60000 text | gzip -c > two.gz && tail -c +60001 text | gzip -c >> two.gz")) return;
    CHECK_OK(pm_file_read(path_in(dir, "two.gz"), NULL, &b, &e));
    CHECK(is_text(&b));
    pm_buf_free(&b);
}

static void bzip2_decompresses(void) {
#ifdef PM_HAVE_BZ2
    streams_decompress("bzip2 -c text > text.bz2", "text.bz2");
#else
    SKIP("bzip2_decompresses", "built without libbz2");
#endif
}

static void plain_files_come_as_they_are(void) {
    pm_buf b = {0};
    CHECK_OK(pm_file_read(path_in(dir, "text"), NULL, &b, &e));
    CHECK(is_text(&b));
    pm_buf_free(&b);
    CHECK_EQ_INT(pm_file_read(path_in(dir, "absent"), NULL, &b, &e), PM_EIO);
}

static void paths_stay_inside(void) {
    CHECK(pm_path_is_inside("a/b.json") && pm_path_is_inside("a..b/c"));
    static const char *const outside[] = {"", "/etc/passwd", "..", "a/../b", "a/..", "../a", "a//b", "a/"};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) CHECK(!pm_path_is_inside(outside[i]));
}

int main(void) {
    if (!mkdtemp(dir)) {
        SKIP("test_unpack", "no temporary folder");
        return check_done();
    }
    make_text();
    RUN(zip_reads_stored_and_deflated_members);
    RUN(zip_survives_every_damage);
    RUN(gzip_decompresses);
    RUN(gzip_reads_concatenated_streams);
    RUN(bzip2_decompresses);
    RUN(plain_files_come_as_they_are);
    RUN(paths_stay_inside);
    char line[64];
    snprintf(line, sizeof line, "rm -rf %s", dir);
    return system(line) != 0 || check_done();
}
