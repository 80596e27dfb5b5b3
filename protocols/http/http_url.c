/* URLs of requests to other services (RFC 3986, RFC 9110 §4.2). */
#include "http_url.h"

#include "http_bytes.h"

#include <causeway/address.h>
#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <causeway/span.h>

#include <stdio.h>
#include <stdlib.h>

enum { SUN_PATH_MAX = 107 };

/* ---- characters (RFC 3986 §2, §3.3) ---- */

static bool is_letter(uint8_t c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_url_char(uint8_t c)
{
    return is_letter(c) || is_digit(c) || (c != 0 && strchr("-._~!$&'()*+,;=:@/?%", c));
}

static int refuse(const char **why, const char *sentence)
{
    *why = sentence;
    return CW_EINVAL;
}

static int check_chars(struct cw_span text, const char **why)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (c >= 0x80) {
            return refuse(why, "only ASCII is allowed: encode the path as %XX and the name as xn--");
        }
        if (c == '%' && (text.len - i < 3 || cw_http_hex(text.data + i + 1) < 0)) {
            return refuse(why, "behind a percent sign come two hexadecimal digits");
        }
        if (!is_url_char(c)) {
            return refuse(why, c == ' ' ? "a space has to be written as %20"
                                        : "a character has to be encoded as %XX");
        }
    }
    return CW_OK;
}

/* ---- parsing ---- */

static struct cw_span take_until(struct cw_span *rest, const char *ends)
{
    struct cw_span taken = {rest->data, 0};

    while (taken.len < rest->len &&
           (rest->data[taken.len] == 0 || !strchr(ends, rest->data[taken.len]))) {
        taken.len++;
    }
    rest->data += taken.len;
    rest->len -= taken.len;
    return taken;
}

static bool has_byte(struct cw_span span, uint8_t byte)
{
    return span.len > 0 && memchr(span.data, byte, span.len) != NULL;
}

static int parse_port(struct cw_span text, struct cw_http_url *url, const char **why)
{
    uint64_t port = url->scheme == CW_SCHEME_HTTPS ? 443 : 80;

    /* RFC 3986 §3.2.3: an empty port is the default one. */
    if (text.len > 0 && (cw_span_to_u64(text, 65535, &port) < 0 || port == 0)) {
        return refuse(why, "a port is a number from 1 to 65535");
    }
    url->port = (uint16_t)port;
    return CW_OK;
}

static int check_name(struct cw_span host, const char **why)
{
    uint8_t before = '.';

    if (host.len == 0) {
        return refuse(why, "there is no host");
    }
    if (host.len > CW_URL_HOST_MAX) {
        return refuse(why, "the host is longer than 253 characters");
    }
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = host.data[i];

        if (c >= 0x80) {
            return refuse(why, "the host is not ASCII: write it as xn--");
        }
        if (!is_letter(c) && !is_digit(c) && c != '-' && c != '_' && (c != '.' || before == '.')) {
            return refuse(why,
                          "a host is a name of letters, digits, hyphens and single dots, an IPv4 "
                          "address, or an IPv6 address in brackets");
        }
        before = c;
    }
    return CW_OK;
}

static int check_ipv6(struct cw_span host, const char **why)
{
    char text[CW_ADDRESS_TEXT_MAX];
    struct cw_address address;

    if (has_byte(host, '%')) {
        return refuse(why, "the interface of an IPv6 address cannot be told in a URL");
    }
    if (cw_span_to_text(host, text, sizeof text) < 0 || !strchr(text, ':') ||
        cw_address_parse(text, &address) < 0) {
        return refuse(why, "what stands in brackets is no IPv6 address");
    }
    return CW_OK;
}

static int parse_authority(struct cw_span authority, struct cw_http_url *url, const char **why)
{
    struct cw_span rest = authority;

    if (has_byte(authority, '@')) {
        return refuse(why, "name and password do not belong in a URL: send a field Authorization");
    }
    if (url->scheme == CW_SCHEME_UNIX) {
        url->host = authority;
        return authority.len > 0 && !has_byte(authority, ':')
                   ? check_chars(authority, why)
                   : refuse(why,
                            "the path of the socket stands before the first slash: %2Frun%2Fx.sock");
    }
    url->is_ipv6 = rest.len > 0 && rest.data[0] == '[';
    if (url->is_ipv6) {
        rest.data++;
        rest.len--;
        url->host = take_until(&rest, "]");
        if (rest.len == 0) {
            return refuse(why, "a bracket is not closed");
        }
        rest.data++;
        rest.len--;
    } else {
        url->host = take_until(&rest, ":");
    }
    if (rest.len > 0 && rest.data[0] != ':') {
        return refuse(why, "behind an address in brackets comes a port or nothing");
    }
    if (rest.len > 0) {
        rest.data++;
        rest.len--;
    }
    if (parse_port(rest, url, why) < 0) {
        return CW_EINVAL;
    }
    return url->is_ipv6 ? check_ipv6(url->host, why) : check_name(url->host, why);
}

static int parse_scheme(struct cw_span *rest, struct cw_http_url *url, const char **why)
{
    static const char *const names[] = {"http", "https", "http+unix"};
    struct cw_span left = *rest;
    struct cw_span scheme = take_until(&left, ":/?#");

    if (left.len < 3 || memcmp(left.data, "://", 3) != 0) {
        return refuse(why, "a URL begins with http://, https:// or http+unix://");
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (cw_http_equal(scheme, names[i])) {
            url->scheme = (enum cw_http_scheme)i;
            *rest = cw_span_of(left.data + 3, left.len - 3);
            return CW_OK;
        }
    }
    return refuse(why, "only http, https and http+unix are known");
}

int cw_http_url_parse(struct cw_span text, struct cw_http_url *url, const char **why)
{
    struct cw_span rest = text;
    struct cw_span authority;

    memset(url, 0, sizeof *url);
    if (text.len > CW_URL_MAX) {
        return refuse(why, "it is longer than 16384 bytes");
    }
    if (parse_scheme(&rest, url, why) < 0) {
        return CW_EINVAL;
    }
    authority = take_until(&rest, "/?#");
    url->path = take_until(&rest, "?#");
    url->query = take_until(&rest, "#");
    if (rest.len > 0) {
        rest.data++;
        rest.len--;
    }
    if (check_chars(url->path, why) < 0 || check_chars(url->query, why) < 0 ||
        check_chars(rest, why) < 0) {
        return CW_EINVAL;
    }
    return parse_authority(authority, url, why);
}

/* ---- printing ---- */

/* Text that is counted also where it has no room any more. */
struct text {
    char *to;
    size_t cap;
    size_t len;
};

static void put(struct text *text, uint8_t c)
{
    if (text->len < text->cap) {
        text->to[text->len] = (char)c;
    }
    text->len++;
}

static void put_span(struct text *text, struct cw_span span)
{
    for (size_t i = 0; i < span.len; i++) {
        put(text, span.data[i]);
    }
}

static void put_text(struct text *text, const char *words)
{
    put_span(text, cw_span_text(words));
}

static size_t finish(struct text *text)
{
    if (text->cap > 0) {
        text->to[text->len < text->cap ? text->len : text->cap - 1] = 0;
    }
    return text->len;
}

static void put_host(struct text *text, const struct cw_http_url *url)
{
    put_text(text, url->is_ipv6 ? "[" : "");
    for (size_t i = 0; i < url->host.len; i++) {
        /* A path of a unix socket knows upper and lower case. */
        put(text,
            url->scheme == CW_SCHEME_UNIX ? url->host.data[i] : cw_http_lower(url->host.data[i]));
    }
    put_text(text, url->is_ipv6 ? "]" : "");
}

static void put_port(struct text *text, const struct cw_http_url *url)
{
    char port[8];

    snprintf(port, sizeof port, ":%u", url->port);
    put_text(text, port);
}

static void put_authority(struct text *text, const struct cw_http_url *url)
{
    put_host(text, url);
    if (url->scheme != CW_SCHEME_UNIX && url->port != (url->scheme == CW_SCHEME_HTTPS ? 443 : 80)) {
        put_port(text, url);
    }
}

static void put_origin(struct text *text, const struct cw_http_url *url)
{
    static const char *const schemes[] = {"http://", "https://", "http+unix://"};

    put_text(text, schemes[url->scheme]);
    put_authority(text, url);
}

size_t cw_http_url_print(const struct cw_http_url *url, char *buffer, size_t cap)
{
    struct text text = {buffer, cap, 0};

    put_origin(&text, url);
    put_text(&text, url->path.len == 0 ? "/" : "");
    put_span(&text, url->path);
    put_span(&text, url->query);
    return finish(&text);
}

size_t cw_http_url_authority(const struct cw_http_url *url, char *buffer, size_t cap)
{
    struct text text = {buffer, cap, 0};

    if (url->scheme == CW_SCHEME_UNIX) {
        put_text(&text, "localhost");
    } else {
        put_authority(&text, url);
    }
    return finish(&text);
}

static int print_unix(const struct cw_http_url *url, char *buffer)
{
    uint8_t path[CW_URL_MAX];
    ptrdiff_t len =
        url->host.len <= sizeof path ? cw_http_decode(url->host, false, path) : CW_EINVAL;

    if (len < 2 || len > SUN_PATH_MAX || path[0] != '/' || memchr(path, 0, (size_t)len)) {
        return CW_EINVAL;
    }
    snprintf(buffer, CW_URL_CONNECT_MAX, "unix:%.*s", (int)len, (const char *)path);
    return CW_OK;
}

int cw_http_url_connect(const struct cw_http_url *url, char buffer[CW_URL_CONNECT_MAX])
{
    struct text text = {buffer, CW_URL_CONNECT_MAX, 0};

    if (url->scheme == CW_SCHEME_UNIX) {
        return print_unix(url, buffer);
    }
    put_host(&text, url);
    put_port(&text, url);
    return finish(&text) < CW_URL_CONNECT_MAX ? CW_OK : CW_EINVAL;
}

/* ---- comparing ---- */

bool cw_http_url_same_origin(const struct cw_http_url *a, const struct cw_http_url *b)
{
    if (a->scheme != b->scheme || a->port != b->port || a->host.len != b->host.len) {
        return false;
    }
    for (size_t i = 0; i < a->host.len; i++) {
        uint8_t x = a->host.data[i];
        uint8_t y = b->host.data[i];

        if (a->scheme == CW_SCHEME_UNIX ? x != y : cw_http_lower(x) != cw_http_lower(y)) {
            return false;
        }
    }
    return true;
}

/* ---- references (RFC 3986 §5.2) ---- */

/* A path that is put together segment by segment, and loses its last one for each `..`. */
struct path {
    struct text *text;
    size_t root; /* where the path begins */
};

static void drop_segment(struct path *path)
{
    struct text *text = path->text;

    while (text->len > path->root && text->to[text->len - 1] != '/') {
        text->len--;
    }
    if (text->len > path->root) {
        text->len--; /* its slash */
    }
}

/* Adds the segments of an absolute path; `.` and `..` are taken out (§5.2.4). */
static void put_path(struct path *path, struct cw_span rest)
{
    while (rest.len > 0) {
        struct cw_span segment;
        bool last;

        rest.data++; /* the slash */
        rest.len--;
        segment = take_until(&rest, "/");
        last = rest.len == 0;
        if (cw_span_equal(segment, cw_span_text(".."))) {
            drop_segment(path);
        } else if (!cw_span_equal(segment, cw_span_text("."))) {
            put(path->text, '/');
            put_span(path->text, segment);
            continue;
        }
        if (last) {
            put(path->text, '/');
        }
    }
}

/* The base's path up to its last slash, and the reference behind it (§5.2.3), through `merged`. */
static struct cw_span merge(struct cw_span base, struct cw_span reference, uint8_t *merged)
{
    size_t keep = base.len;

    while (keep > 0 && base.data[keep - 1] != '/') {
        keep--;
    }
    if (keep == 0) {
        merged[keep++] = '/';
    } else {
        memcpy(merged, base.data, keep);
    }
    memcpy(merged + keep, reference.data, reference.len);
    return cw_span_of(merged, keep + reference.len);
}

/* A reference as it comes in the wild: what has to be encoded is, percent signs stay. */
static ptrdiff_t clean(struct cw_span reference, uint8_t *to)
{
    struct text text = {(char *)to, CW_URL_MAX, 0};
    struct cw_span rest = reference;
    struct cw_span kept = take_until(&rest, "#");
    char escape[4];

    for (size_t i = 0; i < kept.len; i++) {
        uint8_t c = kept.data[i];

        if (c < 0x20 || c == 0x7f) {
            return CW_EINVAL;
        }
        if (is_url_char(c) || c == '[' || c == ']') {
            put(&text, c);
        } else {
            snprintf(escape, sizeof escape, "%%%02X", c);
            put_text(&text, escape);
        }
    }
    return text.len < text.cap ? (ptrdiff_t)text.len : CW_ETOOBIG;
}

static bool has_scheme(struct cw_span reference)
{
    struct cw_span rest = reference;
    struct cw_span scheme = take_until(&rest, ":/?");

    return scheme.len > 0 && is_letter(scheme.data[0]) && rest.len > 0 && rest.data[0] == ':';
}

static void resolve_path(const struct cw_http_url *base, struct cw_span reference,
                         struct text *text, uint8_t *room)
{
    struct path path = {text, text->len};
    struct cw_span own = take_until(&reference, "?");

    if (own.len == 0) {
        put_text(text, base->path.len == 0 ? "/" : "");
        put_span(text, base->path);
        put_span(text, reference.len > 0 ? reference : base->query);
        return;
    }
    put_path(&path, own.data[0] == '/' ? own : merge(base->path, own, room));
    put_span(text, reference);
}

static bool is_too_long(const struct cw_http_url *base, size_t reference)
{
    char none[1];

    return cw_http_url_print(base, none, sizeof none) + reference > CW_URL_MAX;
}

ptrdiff_t cw_http_url_resolve(const struct cw_http_url *base, struct cw_span reference, char *buffer)
{
    static const char *const schemes[] = {"http:", "https:", "http+unix:"};
    uint8_t cleaned[CW_URL_MAX];
    uint8_t room[CW_URL_MAX + 1];
    struct text text = {buffer, CW_URL_MAX + 1, 0};
    ptrdiff_t len = clean(reference, cleaned);
    struct cw_span own = cw_span_of(cleaned, len > 0 ? (size_t)len : 0);

    if (len < 0) {
        return len;
    }
    if (is_too_long(base, own.len)) {
        return CW_ETOOBIG;
    }
    if (has_scheme(own)) {
        put_span(&text, own);
    } else if (cw_span_starts_with(own, "//")) {
        put_text(&text, schemes[base->scheme]);
        put_span(&text, own);
    } else {
        put_origin(&text, base);
        resolve_path(base, own, &text, room);
    }
    return (ptrdiff_t)finish(&text);
}
