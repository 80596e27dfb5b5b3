/* Files of a directory: for browsers, for downloads.
 *
 * ```text
 * cw_http_static(server, "/assets", "public", NULL);
 * ```
 *
 * Nothing outside of the directory is ever reached: the kernel is asked to stay beneath it, whatever is renamed meanwhile.
 * docs/http-files.md tells what is answered. */
#ifndef CAUSEWAY_MIDDLEWARE_HTTP_STATIC_H
#define CAUSEWAY_MIDDLEWARE_HTTP_STATIC_H

#include <causeway/http.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cw_http_dir;

/* How the files of a directory are served. Zero means the default in every member; texts are copied. */
struct cw_http_static_options {
    const char *index; /* files that stand for their directory, the first that is there, parted by
                                spaces or commas; up to 8. "": none. NULL: "index.html" */
    const char *
        fallback; /* a file, by its path beneath the directory, that is served with 200 where no file is: the
                                page of an application that reads the path itself. NULL: none */
    bool symlinks; /* symbolic links are followed, as long as they lead beneath the directory. Without
                                openat2 (Linux below 5.6) they are not */
    bool dotfiles; /* also names that begin with a dot */
    bool list;     /* a directory without an index is shown as a page of its names */
    bool precompressed; /* NAME.br or NAME.gz is sent in place of NAME to who takes that, if it is not older */
    bool immutable; /* with max_age_s: what has a name does not change (RFC 8246) */
    uint64_t max_age_s; /* Cache-Control: max-age. 0: no-cache, it is asked for again each time, mostly answered with
                                304; CW_OFF: no such field */
    uint64_t ranges_max; /* of one request; above: the whole file. 0: 16; at most 64; CW_OFF: none are served */
    uint64_t list_max; /* names on a page. 0: 1000; at most 100000 */

    /* The media type of a file, by its name without folders; NULL: as cw_http_type_of says. Runs on the loops' threads.
     * What it returns is good until its next call on that thread. */
    const char *(*type_of)(const char *name, void *user);
    void *user; /* of type_of */
};

/* Serves the files of a directory at `prefix`: adds the route `GET PREFIX/` with all that follows.
 *
 * prefix     as of a group: begins with a slash. "/" or "": everything that no other route answers
 * directory  is opened now and stays so, also when another takes its name
 * options    copied. NULL: the defaults
 * returns    as cw_http_route; CW_ENOPATH, CW_EACCESS: of the directory; CW_EINVAL: of the options
 * thread     before it runs */
int cw_http_static(struct cw_server *server, const char *prefix, const char *directory,
                   const struct cw_http_static_options *options);

/* The same in a group. A directory or options that are not allowed have the server refuse to start.
 *
 * thread   before it runs */
int cw_http_group_static(struct cw_http_group *group, const char *prefix, const char *directory,
                         const struct cw_http_static_options *options);

/* ---- from handlers ---- */

/* Opens a directory for cw_http_reply_path.
 *
 * options  copied; index, fallback and list are not looked at. NULL: the defaults
 * returns  yours; NULL: it cannot be opened, an option is not allowed (both logged), or memory ran out
 * thread   any */
struct cw_http_dir *cw_http_dir_new(const char *directory,
                                    const struct cw_http_static_options *options);

/* Closes it, once no exchange asks for it any more. NULL is allowed.
 *
 * thread   any */
void cw_http_dir_free(struct cw_http_dir *dir);

/* Answers with one file of the directory, as cw_http_static would: conditions, ranges, types. For a download call
 * cw_http_set_download before it. A Cache-Control that is set already stays.
 *
 * path     beneath the directory, decoded; without a slash at its begin; `..` is nowhere allowed
 * returns  0: answered, with 304, 412 or 416 maybe; CW_ENOTFOUND: nothing there that is served; CW_EACCESS; CW_EDESCRIPTORS,
 *          CW_ENOMEM, CW_EAGAIN, CW_EOS, CW_ETRUNCATED: not now. On an error another answer may follow; where the connection
 *          had to be reset it comes to nothing
 * thread   loop thread */
int cw_http_reply_path(struct cw_http_exchange *http, struct cw_http_dir *dir, const char *path);

#ifdef __cplusplus
}
#endif

#endif
