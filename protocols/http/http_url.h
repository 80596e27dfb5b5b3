/* URLs of requests to other services: taken apart, judged, resolved against another one. Pure functions. */
#ifndef CW_HTTP_URL_H
#define CW_HTTP_URL_H

#include <causeway/types.h>

enum cw_http_scheme { CW_SCHEME_HTTP, CW_SCHEME_HTTPS, CW_SCHEME_UNIX };

enum {
    CW_URL_MAX = 16384,       /* bytes of a URL */
    CW_URL_HOST_MAX = 253,    /* bytes of a name (RFC 1035 §2.3.4, as text) */
    CW_URL_CONNECT_MAX = 272, /* of what cw_connect is told, with the terminator */
};

/* A URL taken apart: views of its text. */
struct cw_http_url {
    enum cw_http_scheme scheme;
    struct cw_span host; /* without brackets; of http+unix the path, still encoded */
    bool is_ipv6;
    uint16_t port;        /* never 0, but for http+unix */
    struct cw_span path;  /* may be empty */
    struct cw_span query; /* with its question mark; may be empty */
};

/* Takes an absolute URL apart: http, https, http+unix. Userinfo, other schemes, ports out of range, bytes that RFC 3986 does
 * not allow (spaces, controls, everything above ASCII) and half escapes are refused. A fragment is judged and left aside.
 *
 * returns  0, or CW_EINVAL with *why set to a sentence */
int cw_http_url_parse(struct cw_span text, struct cw_http_url *url, const char **why);

/* Prints it again, the host in lower case, without a default port and without a fragment.
 *
 * returns  the length without the terminator; more than cap - 1: it has not all been written */
size_t cw_http_url_print(const struct cw_http_url *url, char *buffer, size_t cap);

/* What Host says: `host`, `host:port`, `[::1]:port`; `localhost` for a unix socket. As above. */
size_t cw_http_url_authority(const struct cw_http_url *url, char *buffer, size_t cap);

/* What cw_connect is told: `host:port`, `[::1]:port`, `unix:/path`.
 *
 * returns  0, or CW_EINVAL: the path of the socket is not absolute, holds a zero byte or is too long */
int cw_http_url_connect(const struct cw_http_url *url, char buffer[CW_URL_CONNECT_MAX]);

/* Whether both lead to the same scheme, host and port. */
bool cw_http_url_same_origin(const struct cw_http_url *a, const struct cw_http_url *b);

/* Resolves a reference (RFC 3986 §5.2), of a Location field for example: absolute, `//host/…`, `/path`, `path`, `?query` or
 * empty. Bytes that should have been encoded are: spaces, quotes, all above ASCII.
 *
 * buffer   of CW_URL_MAX + 1 bytes; ends with a zero byte
 * returns  the length; CW_EINVAL: control characters; CW_ETOOBIG: longer than CW_URL_MAX */
ptrdiff_t cw_http_url_resolve(const struct cw_http_url *base, struct cw_span reference,
                              char *buffer);

#endif
