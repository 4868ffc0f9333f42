/* unpack.c - gzip, bzip2 and zip, read with zlib and libbz2; see unpack.h.
 *
 * Ref: PKWARE APPNOTE 6.3.3, sections 4.3.7 (local header), 4.3.12 (central directory), 4.3.16 (end record).
 * An archive is hostile until checked: offsets and lengths are bounded by the file, the output by the length the directory
 * states, and the CRC must match. Deviations: no encryption, no zip64, methods stored and deflated only.
 */
#include "unpack.h"
#include "weights.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#ifdef PM_HAVE_BZ2
#include <bzlib.h>
#endif

/* Where unpacked bytes go: a buffer or a file, and how many more may come. */
typedef struct sink {
    pm_buf *buf;
    FILE *file;
    size_t left;
    const char *path;
} sink;

static pm_status put(sink *s, const void *p, size_t n, pm_err *e) {
    if (n > s->left) return pm_fail(e, PM_EFORMAT, "%s: unpacks to more bytes than it may", s->path);
    s->left -= n;
    if (s->buf) return pm_buf_put(s->buf, p, n), PM_OK;
    if (fwrite(p, 1, n, s->file) == n) return PM_OK;
    pm_fail(e, PM_EIO, "write %s: %s", s->path, strerror(errno));
    return pm_hint(e, "free some space, or set PEFTMETER_CACHE to a folder on another disk");
}

/* ---- zip ---- */

enum {
    END_SIZE = 22,
    END_MAX = END_SIZE + 65535,
    CENTRAL_SIZE = 46,
    LOCAL_SIZE = 30,
    STORED = 0,
    DEFLATED = 8
};

typedef struct zip_member {
    unsigned flags, method;
    uint32_t crc;
    size_t packed, size, offset;
} zip_member;

static uint32_t le16(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t le32(const uint8_t *p) {
    return le16(p) | le16(p + 2) << 16;
}

/* The end-of-central-directory record, searched from the back past an archive comment; NULL: this is no zip archive. */
static const uint8_t *find_end(const pm_map *m) {
    if (m->n_bytes < END_SIZE) return NULL;
    size_t low = m->n_bytes > END_MAX ? m->n_bytes - END_MAX : 0;
    for (size_t i = m->n_bytes - END_SIZE + 1; i-- > low;)
        if (le32(m->p + i) == 0x06054b50) return m->p + i;
    return NULL;
}

/* Walks the central directory for `name`. */
static pm_status find_member(const pm_map *m, const char *path, const char *name, zip_member *out,
                             pm_err *e) {
    const uint8_t *end = find_end(m);
    if (!end) return pm_fail(e, PM_EFORMAT, "%s: not a zip archive (no end record)", path);
    size_t at = le32(end + 16), n = le16(end + 10), name_len = strlen(name);
    for (size_t i = 0; i < n; i++) {
        const uint8_t *c = m->p + at;
        if (at > m->n_bytes || m->n_bytes - at < CENTRAL_SIZE || le32(c) != 0x02014b50)
            return pm_fail(e, PM_EFORMAT, "%s: damaged zip directory at entry %zu", path, i);
        size_t len = le16(c + 28), whole = CENTRAL_SIZE + len + le16(c + 30) + le16(c + 32);
        if (m->n_bytes - at < whole)
            return pm_fail(e, PM_EFORMAT, "%s: truncated zip directory at entry %zu", path, i);
        if (len == name_len && memcmp(c + CENTRAL_SIZE, name, len) == 0) {
            *out = (zip_member){le16(c + 8),  le16(c + 10), le32(c + 16),
                                le32(c + 20), le32(c + 24), le32(c + 42)};
            return PM_OK;
        }
        at += whole;
    }
    return pm_fail(e, PM_EFORMAT, "%s: the archive has no member %s", path, name);
}

/* The member's packed bytes inside the mapping. */
static pm_status member_bytes(const pm_map *m, const char *path, const zip_member *z, const uint8_t **p,
                              pm_err *e) {
    if (z->flags & 1) return pm_fail(e, PM_EUNSUPPORTED, "%s: the member is encrypted", path);
    if (z->method != STORED && z->method != DEFLATED)
        return pm_fail(e, PM_EUNSUPPORTED,
                       "%s: zip compression method %u (only stored and deflated are read)", path, z->method);
    if (z->offset > m->n_bytes || m->n_bytes - z->offset < LOCAL_SIZE || le32(m->p + z->offset) != 0x04034b50)
        return pm_fail(e, PM_EFORMAT, "%s: a zip entry points outside the archive", path);
    size_t head = LOCAL_SIZE + le16(m->p + z->offset + 26) + le16(m->p + z->offset + 28);
    size_t left = m->n_bytes - z->offset;
    if (left < head || left - head < z->packed)
        return pm_fail(e, PM_EFORMAT, "%s: the archive is truncated", path);
    *p = m->p + z->offset + head;
    return PM_OK;
}

/* Inflates (window_bits < 0: raw deflate; > 15: gzip) and returns the number of bytes and their CRC. */
static pm_status inflate_to(sink *s, const uint8_t *p, size_t n, int window_bits, size_t *total,
                            uint32_t *crc, pm_err *e) {
    enum { CHUNK = 1 << 16 };
    z_stream z = {.next_in = (z_const Bytef *)(uintptr_t)p};
    PM_ASSERT(inflateInit2(&z, window_bits) == Z_OK, "zlib: no memory");
    uint8_t *out = pm_xalloc(CHUNK);
    int rc = Z_OK;
    pm_status st = PM_OK;
    while (!st && (rc == Z_OK || rc == Z_BUF_ERROR)) {
        uInt room = (uInt)(n < INT_MAX ? n : INT_MAX);
        if (!z.avail_in) z.avail_in = room, n -= room;
        z.next_out = out, z.avail_out = CHUNK;
        rc = inflate(&z, Z_NO_FLUSH);
        size_t got = CHUNK - z.avail_out;
        *crc = (uint32_t)crc32(*crc, out, (uInt)got);
        *total += got;
        st = put(s, out, got, e);
        if (rc == Z_BUF_ERROR && !got && !z.avail_in && !n) break; /* the input ended before the stream did */
        if (rc == Z_STREAM_END && window_bits > 15 && z.avail_in && inflateReset(&z) == Z_OK)
            rc = Z_OK; /* gzip files may be concatenated */
    }
    inflateEnd(&z);
    free(out);
    if (st) return st;
    return rc == Z_STREAM_END ? PM_OK : pm_fail(e, PM_EFORMAT, "%s: damaged compressed data", s->path);
}

static pm_status unzip_to(sink *s, const char *path, const char *member, pm_err *e) {
    pm_map m;
    zip_member z = {0};
    const uint8_t *p = NULL;
    pm_status st = pm_map_open(path, &m, e);
    if (st) return st;
    if ((st = find_member(&m, path, member, &z, e)) || (st = member_bytes(&m, path, &z, &p, e))) goto done;
    size_t total = 0;
    uint32_t crc = 0;
    if (z.size < s->left) s->left = z.size;
    if (z.method == DEFLATED)
        st = inflate_to(s, p, z.packed, -15, &total, &crc, e);
    else {
        total = z.packed;
        crc = (uint32_t)crc32_z(crc, p, z.packed);
        st = put(s, p, z.packed, e);
    }
    if (!st && (total != z.size || crc != z.crc))
        st = pm_fail(e, PM_EFORMAT, "%s: member %s is damaged (%zu bytes of %zu, CRC %08x, want %08x)", path,
                     member, total, z.size, crc, z.crc);
done:
    pm_map_close(&m);
    return st;
}

pm_status pm_zip_extract(const char *zip, const char *member, const char *dest, pm_err *e) {
    FILE *f = fopen(dest, "wb");
    if (!f) return pm_fail(e, PM_EIO, "create %s: %s", dest, strerror(errno));
    sink s = {.file = f, .left = SIZE_MAX, .path = dest};
    pm_status st = unzip_to(&s, zip, member, e);
    if (fclose(f) && !st) st = pm_fail(e, PM_EIO, "write %s: %s", dest, strerror(errno));
    return st;
}

/* ---- bzip2 ---- */

#ifdef PM_HAVE_BZ2
static pm_status bunzip_to(sink *s, pm_map *m, pm_err *e) {
    enum { CHUNK = 1 << 16 };
    bz_stream z = {.next_in = (char *)(uintptr_t)m->p, .avail_in = (unsigned)m->n_bytes};
    if (m->n_bytes > INT_MAX) return pm_fail(e, PM_EFORMAT, "%s: larger than 2 GiB", s->path);
    PM_ASSERT(BZ2_bzDecompressInit(&z, 0, 0) == BZ_OK, "libbz2: no memory");
    char *out = pm_xalloc(CHUNK);
    int rc = BZ_OK;
    pm_status st = PM_OK;
    while (!st && rc == BZ_OK) {
        z.next_out = out, z.avail_out = CHUNK;
        rc = BZ2_bzDecompress(&z);
        size_t got = CHUNK - z.avail_out;
        st = put(s, out, got, e);
        if (rc == BZ_OK && !got && !z.avail_in) break; /* the input ended before the stream did */
    }
    BZ2_bzDecompressEnd(&z);
    free(out);
    if (st) return st;
    return rc == BZ_STREAM_END ? PM_OK : pm_fail(e, PM_EFORMAT, "%s: damaged compressed data", s->path);
}
#else
static pm_status bunzip_to(sink *s, pm_map *m, pm_err *e) {
    (void)m;
    pm_fail(e, PM_EUNSUPPORTED, "%s: this program was built without bzip2", s->path);
    return pm_hint(e, "install libbz2's headers (`make deps`) and build again");
}
#endif

static pm_status plain_to(sink *s, pm_map *m, pm_err *e) {
    return put(s, m->p, m->n_bytes, e);
}

static pm_status gunzip_to(sink *s, pm_map *m, pm_err *e) {
    size_t total = 0;
    uint32_t crc = 0;
    return inflate_to(s, m->p, m->n_bytes, 15 + 16, &total, &crc, e);
}

static pm_status read_map(const char *path, sink *s, pm_err *e) {
    pm_map m;
    pm_status st = pm_map_open(path, &m, e);
    if (st) return st;
    pm_status (*to)(sink *, pm_map *, pm_err *) = pm_path_ends(path, ".bz2")  ? bunzip_to
                                                  : pm_path_ends(path, ".gz") ? gunzip_to
                                                                              : plain_to;
    st = to(s, &m, e);
    pm_map_close(&m);
    return st;
}

pm_status pm_file_read(const char *path, const char *member, pm_buf *out, pm_err *e) {
    sink s = {.buf = out, .left = PM_FILE_MAX, .path = path};
    pm_status st = member ? unzip_to(&s, path, member, e) : read_map(path, &s, e);
    if (st) pm_buf_free(out);
    return st;
}
