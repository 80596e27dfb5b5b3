/* What HTTP fields say: parse and print them. Pure functions on borrowed bytes, for handlers, middleware and clients.
 *
 * thread   any, all of them */
#ifndef CAUSEWAY_HTTP_FIELDS_H
#define CAUSEWAY_HTTP_FIELDS_H

#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- words ---- */

/* The usual words of a status code ("Not Found"); "Unknown" for others. */
const char *cw_http_status_text(int status);

/* Whether all bytes may stand in a token (RFC 9110 §5.6.2), and there is one at least. */
bool cw_http_is_token(struct cw_span span);

/* Whether the bytes may be a field's value (RFC 9110 §5.5): no control characters but tabs, no white space at the ends. */
bool cw_http_is_value(struct cw_span span);

/* Compares without regard to the case of ASCII letters. */
bool cw_http_equal(struct cw_span span, const char *text);

/* The next element of a comma-separated list (RFC 9110 §5.6.1), trimmed; quoted commas are no separators; empty elements are
 * passed over.
 *
 * rest     in: the list; out: what is behind the element
 * returns  false: no more */
bool cw_http_list_next(struct cw_span *rest, struct cw_span *element);

/* Whether a comma-separated list has this token, whatever its case. */
bool cw_http_list_has(struct cw_span list, const char *token);

/* The value of a parameter behind an element (`text/html; charset=utf-8`), unquoted into buffer and ended with a zero byte.
 *
 * returns  its length; CW_ENOTFOUND; CW_EINVAL: malformed, or there twice; CW_ETOOBIG: does not fit */
ptrdiff_t cw_http_parameter(struct cw_span element, const char *name, char *buffer, size_t cap);

/* An element without its parameters, trimmed: `text/html`. */
struct cw_span cw_http_without_parameters(struct cw_span element);

/* ---- times ---- */

enum { CW_HTTP_DATE_SIZE = 30 }; /* with the terminator */

/* Prints a time as IMF-fixdate (RFC 9110 §5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`. Years 1 to 9999; others are bounded. */
void cw_http_print_date(int64_t unix_s, char buffer[CW_HTTP_DATE_SIZE]);

/* Reads one in any of the three forms (two-digit years: RFC 9110 §5.6.7, relative to now_s).
 *
 * returns  0, CW_EINVAL */
int cw_http_parse_date(struct cw_span span, int64_t now_s, int64_t *unix_s);

/* ---- what the client would like (RFC 9110 §12) ---- */

/* How much a field like Accept (media types with wildcards and parameters), Accept-Encoding, Accept-Language (by prefix) or
 * Accept-Charset wants an offer: 0 (not at all) to 1000. `field` picks the rules by its name. value.data NULL (no field):
 * 1000. A malformed element counts as not there. */
int cw_http_quality(const char *field, struct cw_span value, const char *offer);

/* The offer that is wanted most, the first of equals.
 *
 * offers   ends with NULL
 * returns  its index; CW_ENOTFOUND: none is wanted (406, or take the first) */
int cw_http_negotiate(const char *field, struct cw_span value, const char *const *offers);

/* ---- validators and conditions (RFC 9110 §8.8, §13) ---- */

/* What is known of the state that an answer would show. */
struct cw_http_validators {
    const char *etag;   /* with quotes, `W/` if weak. NULL: none */
    int64_t modified_s; /* since 1970. INT64_MIN: not known */
    bool exists;        /* for `*` */
};

/* What fields of a request ask; data NULL: not there. */
struct cw_http_conditions {
    struct cw_span if_match;
    struct cw_span if_none_match;
    struct cw_span if_modified_since;
    struct cw_span if_unmodified_since;
    struct cw_span if_range;
    struct cw_span range;
};

/* Judges the preconditions in the order of RFC 9110 §13.2.2.
 *
 * reads    the method is GET or HEAD
 * now_s    the clock, for dates
 * returns  0: go on; 304; 412 */
int cw_http_judge(const struct cw_http_conditions *conditions,
                  const struct cw_http_validators *state, bool reads, int64_t now_s);

/* A run of bytes of something that is `size` long. */
struct cw_http_range {
    uint64_t first;
    uint64_t len; /* above 0 */
};

/* Reads the ranges a GET asks for (RFC 9110 §14.2), If-Range judged first: ranges in bytes, put into the order they were asked
 * in; overlapping ones or more than max of them are served as the whole.
 *
 * returns  how many; 0: serve the whole; CW_EINVAL: none can be satisfied: 416, whose Content-Range tells the size */
int cw_http_ranges(const struct cw_http_conditions *conditions,
                   const struct cw_http_validators *state, uint64_t size,
                   struct cw_http_range *ranges, size_t max);

/* Whether an ETag field's list holds this tag, by weak or strong comparison (RFC 9110 §8.8.3.2). `*` is not looked for. */
bool cw_http_etag_in(struct cw_span list, const char *etag, bool weak);

/* ---- URL encoding, forms, cookies ---- */

/* Decodes %XX; with `form`, `+` is a space too.
 *
 * to       of span.len bytes at least; may be span.data itself
 * returns  the length; CW_EINVAL: half an escape */
ptrdiff_t cw_http_decode(struct cw_span span, bool form, uint8_t *to);

/* Encodes all but unreserved characters (RFC 3986 §2.3), for a path segment or a query's value. Ends with a zero byte.
 *
 * returns  the length; CW_ETOOBIG: does not fit */
ptrdiff_t cw_http_encode(struct cw_span span, char *buffer, size_t cap);

/* The next `name=value` of a query or an urlencoded form, not decoded yet.
 *
 * rest     in: the form; out: what is behind the pair
 * returns  false: no more */
bool cw_http_form_next(struct cw_span *rest, struct cw_span *name, struct cw_span *value);

/* The next `name=value` of a Cookie field (RFC 6265 §4.2.1; quotes around a value are taken off). False: no more. */
bool cw_http_cookie_next(struct cw_span *rest, struct cw_span *name, struct cw_span *value);

/* ---- origins (RFC 6454) ---- */

/* What cw_http_origin_find answers. */
enum cw_http_origin_found {
    CW_HTTP_ORIGIN_NOT_LISTED = 0,
    CW_HTTP_ORIGIN_LISTED = 1,
    CW_HTTP_ORIGIN_ANY = 2, /* the list is "*" */
};

/* Whether an origin, as browsers write it, is one of a list: "*", or origins parted by spaces or commas. Scheme, host and port
 * are compared; the list may have capitals and the scheme's own port. NULL: an empty list. */
enum cw_http_origin_found cw_http_origin_find(const char *list, struct cw_span origin);

/* What is wrong with a list; NULL: nothing. *word: where. */
const char *cw_http_origins_fault(const char *list, struct cw_span *word);

/* ---- types ---- */

/* The media type for a file's name, by its ending; "application/octet-stream" for others. Text types carry a charset. */
const char *cw_http_type_of(const char *filename);

/* Whether bytes of this type are worth compressing: text, JSON, XML, SVG, scripts, wasm and their kin. */
bool cw_http_type_compresses(struct cw_span type);

#ifdef __cplusplus
}
#endif

#endif
