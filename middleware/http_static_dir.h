/* A directory with its options, ready to serve. */
#ifndef CW_HTTP_STATIC_DIR_H
#define CW_HTTP_STATIC_DIR_H

#include "http_static_names.h"
#include "http_static_open.h"

#include <causeway/hash.h>
#include <causeway/middleware/http_static.h>

enum { CW_STATIC_INDEX_MAX = 8 };

struct cw_http_dir {
    struct cw_beneath *beneath;
    struct cw_http_static_options options; /* the defaults filled in; index and fallback are ours */
    const char *index[CW_STATIC_INDEX_MAX + 1]; /* NULL at the end */
    struct cw_hash_seed seed;                   /* of boundaries */
    char *texts;                                /* what index and fallback point into */
    char cache_control[64];                     /* "": none */
};

/* A file that was found. */
struct cw_static_found {
    int fd;
    struct cw_static_version version;
    const char *coding; /* Content-Encoding; NULL: as it is */
};

/* A path with something behind it; gone with the exchange. NULL: no memory. */
const char *cw_static_join(struct cw_http_exchange *http, const char *path, const char *behind);

enum { CW_STATIC_FOLDER = 1 };

/* Looks for what a path names, that is allowed already.
 *
 * returns  0: a file, found->fd is the caller's; CW_STATIC_FOLDER: a directory, nothing is open; or as cw_beneath_open */
int cw_static_find(struct cw_http_dir *dir, const char *path, struct cw_static_found *found);

/* Answers with a file that was found, and closes it.
 *
 * path     that it was found by
 * fresh    it stands for others: it is asked for again each time
 * returns  0, or an enum cw_error when nothing has been answered */
int cw_static_reply(struct cw_http_exchange *http, struct cw_http_dir *dir, const char *path,
                    struct cw_static_found *found, bool fresh);

/* Answers with the page of a directory's names. path: as for cw_beneath_open.
 *
 * returns  as cw_static_reply */
int cw_static_list(struct cw_http_exchange *http, struct cw_http_dir *dir, const char *path);

#endif
