/* Uploads: bodies of type multipart/form-data (RFC 7578), what a browser sends for a form with files.
 *
 * ```text
 * static void save(struct cw_http_exchange *http, struct cw_http_upload *upload, void *user)
 * {
 *     const struct cw_http_file *photo = cw_http_upload_file(upload, "photo");
 *
 *     if (photo == NULL || cw_http_upload_keep(upload, photo, "photos/new.jpg") != 0) {
 *         cw_http_reply_error(http, 400, "No photo");
 *         return;
 *     }
 *     cw_http_replyf(http, 201, "text/plain", "%s: %llu bytes\n", photo->filename, (unsigned long long)photo->size);
 * }
 *
 * static void upload(struct cw_http_exchange *http, void *user)
 * {
 *     cw_http_read_upload(http, &(struct cw_http_upload_options){.directory = "photos"}, save, NULL);
 * }
 *
 * cw_http_route_with(server, "POST /photos", upload, NULL,
 *                    &(struct cw_http_route_options){.stream = true, .body_max_bytes = 104857600});
 * ```
 *
 * The body is never in memory as a whole: it goes piece by piece into files, or to hooks (cw_http_read_multipart). What is not
 * whole, or breaks a rule or a limit, is answered with 400, 413 or 415, and its files go. */
#ifndef CAUSEWAY_MIDDLEWARE_HTTP_MULTIPART_H
#define CAUSEWAY_MIDDLEWARE_HTTP_MULTIPART_H

#include <causeway/http.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cw_http_upload;

/* Bounds of a body in parts. Zero means the default in every member. The route's own limit, body_max_bytes, comes first. */
struct cw_http_multipart_limits {
    uint64_t parts_max;          /* above: 413. 0: 100 */
    uint64_t part_max_bytes;     /* of one part; above: 413. 0: as bytes_max */
    uint64_t bytes_max;          /* of all parts together; above: 413. 0: 1073741824 */
    uint64_t head_max_bytes;     /* of a part's fields; above: 413. 0: 4096; at most 65536 */
    uint64_t name_max_bytes;     /* of a part's name; above: 413. 0: 256 */
    uint64_t filename_max_bytes; /* of the name that the client gives a file; above: 413. 0: 255 */
};

/* ---- the whole upload at once ---- */

/* Where an upload goes, and how much of it. Zero means the default in every member. */
struct cw_http_upload_options {
    const char *directory;     /* where files are written, under no name of the client's, for this
                              user alone (0600). Borrowed until the upload is whole. NULL: into
                              memory */
    uint64_t files_max;        /* each on disk holds a descriptor; above: 413. 0: 10 */
    uint64_t memory_max_bytes; /* fields, and files without a directory; above: 413. 0: 1048576 */
    struct cw_http_multipart_limits limits;

    /* So many bytes of fields and files have come; cw_http_body_length is what it will be, about. NULL: not told. */
    void (*on_progress)(struct cw_http_exchange *http, uint64_t bytes, void *user);
};

/* A file of an upload. The texts end with a zero byte and are UTF-8; what they say is the client's. */
struct cw_http_file {
    const char *name;     /* of the form's field */
    const char *filename; /* to show: what stands behind its last slash or backslash, without
                             control characters. Never a path to open, and never "." or ".." */
    const char *type;     /* what the client takes it for */
    uint64_t size;
    struct cw_span data; /* in memory; ends with a zero byte that does not count. data NULL: on disk */
    int fd;              /* on disk, open at its start; not yours to close. -1: in memory */
};

/* Called once, when the upload is whole: answer now, or later. */
typedef void (*cw_http_upload_fn)(struct cw_http_exchange *http, struct cw_http_upload *upload,
                                  void *user);

/* Reads the body of a route that streams, as a form with files, then calls fn. Fields and files are good until the exchange is
 * done; files that were not kept are removed then. Whatever is wrong with the body has been answered, and fn is not called.
 *
 * A field without a chosen file (a browser sends an empty one without a name) counts as not there.
 *
 * options  copied; NULL: the defaults
 * user     for fn and on_progress
 * returns  0; below 0 it has been answered: CW_EINVAL: not multipart/form-data, or its boundary is none (400, 415); CW_ESTATE:
 *          not a route that streams, or read already (500); CW_ENOMEM (500)
 * thread   loop thread */
int cw_http_read_upload(struct cw_http_exchange *http, const struct cw_http_upload_options *options,
                        cw_http_upload_fn fn, void *user);

/* The value of the first field of that name that is no file; data NULL: there is none. Ends with a zero byte that does not
 * count.
 *
 * thread   loop thread */
struct cw_span cw_http_upload_value(const struct cw_http_upload *upload, const char *name);

/* The first file of that name; NULL: there is none.
 *
 * thread   loop thread */
const struct cw_http_file *cw_http_upload_file(const struct cw_http_upload *upload,
                                               const char *name);

/* The next of that name, for those that come several times (`<input type="file" multiple>`); NULL, or data NULL: no more.
 * name NULL: of any name. *at: 0 at first.
 *
 * thread   loop thread */
struct cw_span cw_http_upload_value_next(const struct cw_http_upload *upload, const char *name,
                                         size_t *at);
const struct cw_http_file *cw_http_upload_file_next(const struct cw_http_upload *upload,
                                                    const char *name, size_t *at);

/* Gives a file a name of the application's choice and keeps it, for this user alone (0600; fchmod(file->fd) says otherwise).
 * What is there already is never written over. It can be kept once, and one in memory is written out.
 *
 * path     on the file system of the directory where the upload was written
 * returns  0; CW_ESTATE: kept already; CW_EINVAL: path is there already; CW_ENOPATH, CW_EACCESS, CW_EOS: it cannot be made there
 *          (errno says more)
 * thread   loop thread */
int cw_http_upload_keep(struct cw_http_upload *upload, const struct cw_http_file *file,
                        const char *path);

/* ---- part by part ---- */

/* A part under way. The texts end with a zero byte, are UTF-8 and good until the part has ended. */
struct cw_http_part {
    const char *name;
    const char *filename; /* as in struct cw_http_file; "": no file was chosen. NULL: not a file */
    const char *type;     /* what the client takes it for; "text/plain" where it does not say */
    size_t index;         /* from 0 */
    uint64_t size;        /* bytes of it that have come */
};

/* What on_part may answer beside 0 and a status. */
enum { CW_HTTP_SKIP_PART = 1 };

/* What is called for a body in parts. Absent functions mean "not interested".
 *
 * on_part, on_data and on_part_end answer 0 to go on, or a status (400 to 599) that ends it: it is answered with that, unless
 * the hook has answered already. */
struct cw_http_multipart_hooks {
    /* A part's head is there. Also CW_HTTP_SKIP_PART: its bytes are not wanted. */
    int (*on_part)(struct cw_http_exchange *http, const struct cw_http_part *part, void *user);

    /* A piece of it, good until the hook returns. */
    int (*on_data)(struct cw_http_exchange *http, const struct cw_http_part *part,
                   struct cw_span piece, void *user);

    /* The part is whole; also for one that was skipped. */
    int (*on_part_end)(struct cw_http_exchange *http, const struct cw_http_part *part, void *user);

    /* Called once, whatever happens, and last. code 0: the body is whole: answer now, or later. Otherwise there is nothing to
     * answer, only to free: CW_EPROTO: it broke a rule, CW_ETOOBIG: or a limit, CW_ECLOSED: a hook has ended it, or the peer
     * is gone. */
    void (*on_done)(struct cw_http_exchange *http, int code, void *user);
};

/* Reads the body of a route that streams, part by part. Pieces come as cw_http_read_body has them: cw_http_pause_body makes the
 * peer wait.
 *
 * limits   copied; NULL: the defaults
 * hooks    borrowed until on_done: a constant
 * returns  as cw_http_read_upload; below 0 no hook is called
 * thread   loop thread */
int cw_http_read_multipart(struct cw_http_exchange *http,
                           const struct cw_http_multipart_limits *limits,
                           const struct cw_http_multipart_hooks *hooks, void *user);

#ifdef __cplusplus
}
#endif

#endif
