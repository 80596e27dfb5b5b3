/* The pure parts of static files: which paths, which validators, which texts. */
#ifndef CW_HTTP_STATIC_NAMES_H
#define CW_HTTP_STATIC_NAMES_H

#include <causeway/types.h>

/* Whether a path may be looked for at all: without zero bytes, and without names that begin with a dot unless they are
 * allowed. */
bool cw_static_may_ask(struct cw_span path, bool dotfiles);

/* The name behind the last slash. */
const char *cw_static_base(const char *path);

/* What a file was when it was opened. */
struct cw_static_version {
    uint64_t size;
    uint64_t inode;
    int64_t modified_s;
    int64_t modified_ns;
    const char *suffix; /* of a precompressed one, ".gz"; otherwise "" */
};

enum { CW_STATIC_ETAG_SIZE = 112 };

/* Prints the entity tag. Weak while the file is so young that another change would leave no trace: file systems do not
 * count time finely. The tag of a young file is never that of a settled one. */
void cw_static_print_etag(const struct cw_static_version *version, int64_t now_s, int64_t now_ns,
                          char etag[CW_STATIC_ETAG_SIZE]);

/* Whether If-Range may name the time of the last change (RFC 9110 §8.8.2.2). */
bool cw_static_time_is_strong(const struct cw_static_version *version, int64_t now_s);

/* Text that grows. Zero at first. */
struct cw_static_text {
    char *data;
    size_t len;
    size_t cap;
    bool failed; /* memory ran out; data is what there was */
};

void cw_static_put(struct cw_static_text *text, const char *bytes, size_t len);
void cw_static_put_text(struct cw_static_text *text, const char *words);

/* With `&`, `<`, `>` and both quotes as HTML wants them. */
void cw_static_put_html(struct cw_static_text *text, const char *words);

/* A path, or one segment, as it stands in a target: all but unreserved characters and slashes encoded. */
void cw_static_put_path(struct cw_static_text *text, const char *path);

void cw_static_text_release(struct cw_static_text *text);

#endif
