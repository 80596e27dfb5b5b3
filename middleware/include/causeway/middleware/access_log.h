/* One line for each request, for people and for programs that count.
 *
 * ```text
 * cw_http_use(server, cw_access_log(NULL)); // combined format, to standard output
 * ```
 *
 * Add it first: what other middleware answers is then logged too. Lines are gathered by each loop and written by a thread of
 * the log's own, within a second; no loop waits for a disk or a pipe. Whatever the client chose is escaped: a line stays one
 * line, and what stands between quotes stays there. Field values that carry secrets (Authorization, Cookie) are not logged.
 *
 * ```text
 * combined  192.0.2.7 - ada [21/Nov/2026:11:15:02 +0000] "GET /list?page=2 HTTP/1.1" 200 5120 "https://a.example/" "curl/8.5"
 * extended  the same, then microseconds, request id and route: … 812 "9f0c…" "GET /list"
 * json      {"time":"2026-11-21T11:15:02.481Z","client":"192.0.2.7","user":"ada","method":"GET","target":"/list?page=2",
 *           "version":"1.1","host":"a.example","status":200,"bytes":5120,"bytes_in":0,"took_us":812,"referer":"…",
 *           "user_agent":"…","request_id":"…","route":"GET /list"}
 * ```
 *
 * `client` is cw_http_client, `user` what cw_http_user_of says, `bytes` the answer's body. A request that was never answered has
 * the status 499, and in JSON `error` (`CW_ECLOSED`: its peer went first). A head that was refused has no request line. */
#ifndef CAUSEWAY_MIDDLEWARE_ACCESS_LOG_H
#define CAUSEWAY_MIDDLEWARE_ACCESS_LOG_H

#include <causeway/http_middleware.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a line looks; see above. */
enum cw_access_log_format {
    CW_ACCESS_LOG_COMBINED = 0,
    CW_ACCESS_LOG_EXTENDED = 1,
    CW_ACCESS_LOG_JSON = 2, /* members that have no value are left out */
};

/* Takes whole lines with their ends. Runs on the log's own thread, never twice at once. It may block: lines wait then. */
typedef void (*cw_access_log_fn)(struct cw_span lines, void *user);

/* Where lines go and what is in them. Zero means the default in every member. */
struct cw_access_log_options {
    enum cw_access_log_format format;
    const char *
        path; /* a file to append to, made if it is missing (0640). One that was moved away is begun anew within
                          flush_ms. NULL: standard output. Copied */
    cw_access_log_fn write; /* instead of a file */
    void *write_user;       /* of write; outlives the server */
    bool (*skip)(struct cw_http_exchange *http, const struct cw_http_outcome *outcome,
                 void *user); /* true: no line for this one (health checks, say). NULL: all have one */
    void *skip_user;          /* of skip; outlives the server */
    bool without_query; /* leaves the query out of the target: it may hold what nobody should read */
    uint64_t flush_ms;  /* a line waits at most so long for others. 0: 1000 */
    uint64_t text_max_bytes; /* of target, Referer and User-Agent, each; the rest is cut, and `...` says so. 0: 1024;
                                 at most 2048 */
    uint64_t waiting_max_bytes; /* for the file, pipe or function, of all loops; above, lines are lost and their number is
                                    logged. 0: 4194304; at least 65536 */
    uint64_t stop_ms; /* for what still waits when the server goes, then it is lost; a call of write under way is waited
                          for. 0: 5000 */
};

/* Makes the middleware, for cw_http_use, which takes it over. For a server it logs refused heads too.
 *
 * options  copied; NULL: the defaults
 * returns  NULL: memory ran out, or a member is not allowed (logged); cw_http_use keeps that as an error. A file that cannot
 *          be opened stops the server's start
 * thread   any */
struct cw_http_middleware *cw_access_log(const struct cw_access_log_options *options);

#ifdef __cplusplus
}
#endif

#endif
