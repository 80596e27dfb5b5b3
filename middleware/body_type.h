/* What readers of bodies ask first: is it of their kind? */
#ifndef CW_BODY_TYPE_H
#define CW_BODY_TYPE_H

#include <causeway/http.h>

struct cw_body_kind {
    const char *type;   /* told in Accept and in the sentence: `application/json` */
    const char *suffix; /* also any type that ends so: `+json`. NULL: none */
    bool text;          /* a charset must be UTF-8 */
};

/* Whether the body is of that kind, sent as it is (no Content-Encoding). False: it has been answered with 415. */
bool cw_body_is_of(struct cw_http_exchange *http, const struct cw_body_kind *kind);

/* Whether there is a body to come, as far as the head tells: a length above 0, or chunks. */
bool cw_body_is_sent(const struct cw_http_exchange *http);

/* Answers 413, told in bytes. */
void cw_body_refuse_size(struct cw_http_exchange *http, uint64_t max);

#endif
