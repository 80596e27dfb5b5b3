/* Answers that leave compressed, for clients that can read them so.
 *
 * ```text
 * cw_http_use(server, cw_http_compress(NULL));
 * ```
 *
 * gzip always, brotli where the library was there when Causeway was built. What the client likes best is chosen by its
 * Accept-Encoding; a client that does not say what it takes gets the answer as it is. An answer in pieces leaves in the same
 * pieces: each can be read in full when it arrives.
 *
 * Left as they are: answers without a body, with Content-Encoding, Content-Range, `Cache-Control: no-transform` or a digest
 * (RFC 9530), event streams, types that do not get smaller, and small ones. All others carry `Vary: Accept-Encoding`, compressed
 * or not, and a compressed one a weak ETag in place of a strong one.
 *
 * Do not compress pages that hold a secret beside text that a stranger can choose: the length tells about the secret (BREACH).
 * `Cache-Control: no-transform` keeps an answer as it is. */
#ifndef CAUSEWAY_MIDDLEWARE_HTTP_COMPRESS_H
#define CAUSEWAY_MIDDLEWARE_HTTP_COMPRESS_H

#include <causeway/http_middleware.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is compressed, and how much work that may be. Zero means the default in every member. */
struct cw_http_compress_options {
    uint64_t min_bytes;    /* shorter bodies are left; one of unknown length is long. 0: 1024 */
    uint64_t gzip_level;   /* 1 to 9; CW_OFF: no gzip. 0: 6 */
    uint64_t brotli_level; /* 1 to 11; CW_OFF: no brotli. 0: 4 */
    uint64_t streams_max;  /* at once on each loop; above, answers leave as they are. At the default
                              levels one takes 0.3 MiB for gzip and 1.3 MiB for brotli, and its
                              longest piece. 0: 64 */
    uint64_t kept_max; /* of gzip's memory, for the next answers of the loop. 0: 8; at most 1024;
                              CW_OFF */

    /* Whether a media type is worth it. NULL: cw_http_type_compresses. */
    bool (*compresses)(struct cw_span type);
};

/* Makes the middleware, for cw_http_use, which takes it over.
 *
 * options  copied; NULL: the defaults
 * returns  NULL: memory ran out, or an option is not allowed (logged); cw_http_use keeps that as an error
 * thread   any */
struct cw_http_middleware *cw_http_compress(const struct cw_http_compress_options *options);

/* Whether this build has brotli.
 *
 * thread   any */
bool cw_http_compress_has_brotli(void);

#ifdef __cplusplus
}
#endif

#endif
