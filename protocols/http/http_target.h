/* The target of a request, and who is behind a proxy: pure functions. */
#ifndef CW_HTTP_TARGET_H
#define CW_HTTP_TARGET_H

#include "http_parse.h"

#include <causeway/address.h>

enum cw_http_form { CW_FORM_ORIGIN, CW_FORM_ABSOLUTE, CW_FORM_AUTHORITY, CW_FORM_ASTERISK };

/* A target taken apart. Views of the target, of the memory that was given, or of constants. */
struct cw_http_target {
    enum cw_http_form form;
    struct cw_span
        path; /* decoded and normalised; ends with a zero byte that does not count. "*" for asterisk-form; empty for
                                   authority-form */
    struct cw_span query;     /* without the question mark; data NULL: none */
    struct cw_span authority; /* absolute- and authority-form: host[:port]; data NULL: none */
    bool is_https;            /* absolute-form with that scheme */
};

/* What cw_http_parse_target may write. */
#define CW_HTTP_TARGET_ROOM(target_len) ((target_len) + 1)

/* Takes a target apart (RFC 9112 §3.2; RFC 3986 §5.2.4, §6.2.2): `.` and `..` are resolved, also when they are encoded;
 * several slashes count as one; escapes are decoded but for `%2F`, which is always written so. Fragments, characters that RFC 3986 does not allow (`|`, `{`,
 * quotes and bytes above 127 are let pass as browsers send some of them; space, `<`, `>`, `#`, `\` are not), half escapes, zero
 * bytes, paths that climb above the root, userinfo, forms that the method does not go with: 400.
 *
 * room     CW_HTTP_TARGET_ROOM bytes that live as long as the result
 * returns  0, or 400 with *why set */
int cw_http_parse_target(enum cw_http_method_known method, struct cw_span raw, uint8_t *room,
                         struct cw_http_target *target, const char **why);

/* Takes `host[:port]` apart and judges it (RFC 3986 §3.2.2): a name, an IPv4 address, or an IPv6 address in brackets.
 *
 * port     0: none; may be NULL
 * returns  0, or CW_EINVAL */
int cw_http_parse_authority(struct cw_span authority, struct cw_span *host, uint16_t *port);

/* What proxies say of a request. data NULL: the field is not there. Fields that come several times are given one behind the
 * other (`next`). */
struct cw_http_hop_fields {
    const struct cw_span *forwarded; /* RFC 7239 */
    size_t forwarded_count;
    const struct cw_span *for_list; /* X-Forwarded-For */
    size_t for_count;
    struct cw_span proto; /* X-Forwarded-Proto; of several the last, as for the next */
    struct cw_span host;  /* X-Forwarded-Host */
};

/* Who is behind. */
struct cw_http_origin {
    struct cw_address client;
    struct cw_span host; /* without the port; data NULL: not told */
    uint16_t port;       /* beside it; 0: none */
    bool is_https;
    bool told_scheme;
};

/* Walks back from the peer, a trusted proxy, to the last address that is not trusted. Forwarded counts before the X- fields,
 * which are then not looked at. An element that is not an address (`unknown`, `_hidden`, rubbish) ends the walk at the hop before
 * it. Host and scheme are those that the hop next to the client told (RFC 7239 §5.3, §5.4), judged as a Host field is. */
void cw_http_find_origin(const struct cw_http_hop_fields *fields, const struct cw_address *peer,
                         bool (*trusts)(const struct cw_address *address, void *user), void *user,
                         struct cw_http_origin *origin);

#endif
