/* The target of a request: its form, its path, its query, its authority. */
#include "http/http_target.h"

#include "http/http_bytes.h"

#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <causeway/span.h>

enum { REFUSED = 400 };

static int refuse(const char **why, const char *sentence)
{
    *why = sentence;
    return REFUSED;
}

/* ---- the path ---- */

/* A path on its way out. It ends in a slash whenever a segment begins. */
struct writer {
    uint8_t *path;
    size_t path_len;
};

/* Decodes one segment behind what is written. An encoded slash is no separator (RFC 3986 §2.2): it stays. */
static const char *decode_segment(struct writer *out, struct cw_span segment)
{
    uint8_t *to = out->path + out->path_len;

    for (size_t i = 0; i < segment.len; i++) {
        if (segment.data[i] != '%') {
            *to++ = segment.data[i];
            continue;
        }
        int byte = segment.len - i > 2 ? cw_http_hex(segment.data + i + 1) : -1;
        if (byte < 0) {
            return "a % in the path is not followed by two hexadecimal digits";
        }
        if (byte == 0) {
            return "the path holds a zero byte";
        }
        i += 2;
        if (byte == '/') {
            *to++ = '%';
            *to++ = '2';
            *to++ = 'F';
        } else {
            *to++ = (uint8_t)byte;
        }
    }
    out->path_len = (size_t)(to - out->path);
    return NULL;
}

static size_t parent_of(const uint8_t *path, size_t len)
{
    do {
        len--;
    } while (path[len - 1] != '/');
    return len;
}

/* RFC 3986 §5.2.4 would leave `..` out at the root; a client that climbs above it wants something else. */
static const char *climb(struct writer *out)
{
    if (out->path_len == 1) {
        return "the path climbs above the root";
    }
    out->path_len = parent_of(out->path, out->path_len);
    return NULL;
}

static const char *add_segment(struct writer *out, struct cw_span segment, bool more)
{
    size_t start = out->path_len;
    const char *wrong = decode_segment(out, segment);

    if (wrong != NULL) {
        return wrong;
    }
    /* RFC 3986 §6.2.2: dots count as dots also when they were encoded, so they are judged decoded. */
    struct cw_span decoded = cw_span_of(out->path + start, out->path_len - start);
    if (cw_span_equal(decoded, cw_span_text(".")) || cw_span_equal(decoded, cw_span_text(".."))) {
        out->path_len = start;
        return decoded.len == 2 ? climb(out) : NULL;
    }
    if (more) {
        out->path[out->path_len++] = '/';
    }
    return NULL;
}

/* The long way, for paths with escapes, dots or empty segments. */
static const char *normalise(struct cw_span raw, uint8_t *room, struct cw_http_target *target)
{
    struct writer out = {.path = room};

    out.path[out.path_len++] = '/';
    for (size_t at = 1; at < raw.len; at++) {
        const uint8_t *slash = memchr(raw.data + at, '/', raw.len - at);
        size_t end = slash != NULL ? (size_t)(slash - raw.data) : raw.len;
        /* Several slashes count as one: most file systems see them so, and a rule for `/a/` must hold for `//a/`. */
        if (end > at) {
            struct cw_span segment = cw_span_of(raw.data + at, end - at);
            const char *wrong = add_segment(&out, segment, slash != NULL);
            if (wrong != NULL) {
                return wrong;
            }
        }
        at = end;
    }
    out.path[out.path_len] = '\0';
    target->path = cw_span_of(out.path, out.path_len);
    return NULL;
}

/* How far a path goes, and whether it may be taken as it stands. */
static size_t scan_path(struct cw_span raw, bool *is_normal)
{
    *is_normal = true;
    for (size_t i = 0; i < raw.len; i++) {
        uint8_t byte = raw.data[i];

        if (cw_http_byte_is(byte, CW_BYTE_PLAIN)) {
            continue;
        }
        if (byte == '/' || byte == '.') {
            *is_normal = *is_normal && (i == 0 || raw.data[i - 1] != '/');
        } else if (byte == '%') {
            *is_normal = false;
        } else {
            return i;
        }
    }
    return raw.len;
}

static int take_path_and_query(struct cw_span raw, uint8_t *room, struct cw_http_target *target,
                               const char **why)
{
    bool is_normal;
    size_t len = scan_path(raw, &is_normal);

    if (len < raw.len) {
        struct cw_span query = cw_span_of(raw.data + len + 1, raw.len - len - 1);

        if (raw.data[len] != '?') {
            return refuse(why, raw.data[len] == '#' ? "the target has a fragment"
                                                    : "the path holds a byte that must be encoded");
        }
        /* Escapes of the query are judged by those who decode it: `?q=100%` is sent by browsers. */
        if (!cw_http_all_are(query, CW_BYTE_QUERY)) {
            return refuse(why, "the query holds a byte that must be encoded");
        }
        target->query = query;
    }
    if (is_normal) {
        memcpy(room, raw.data, len);
        room[len] = '\0';
        target->path = cw_span_of(room, len);
        return 0;
    }
    *why = normalise(cw_span_of(raw.data, len), room, target);
    return *why == NULL ? 0 : REFUSED;
}

/* ---- the forms ---- */

static size_t scheme_len(struct cw_span raw, bool *is_https)
{
    static const char *const schemes[] = {"http://", "https://"};

    for (size_t i = 0; i < 2; i++) {
        size_t len = strlen(schemes[i]);

        if (raw.len >= len && cw_http_equal(cw_span_of(raw.data, len), schemes[i])) {
            *is_https = i == 1;
            return len;
        }
    }
    return 0;
}

static size_t authority_len(struct cw_span raw)
{
    size_t len = 0;

    while (len < raw.len && raw.data[len] != '/' && raw.data[len] != '?' && raw.data[len] != '#') {
        len++;
    }
    return len;
}

/* RFC 9112 §3.2.2. What other schemes mean is not ours to say. */
static int take_absolute(enum cw_http_method_known method, struct cw_span raw, uint8_t *room,
                         struct cw_http_target *target, const char **why)
{
    struct cw_span host;
    size_t skip = scheme_len(raw, &target->is_https);

    if (skip == 0) {
        return refuse(why, "the target is neither a path nor an http or https URL");
    }
    raw = cw_span_of(raw.data + skip, raw.len - skip);
    target->form = CW_FORM_ABSOLUTE;
    target->authority = cw_span_of(raw.data, authority_len(raw));
    if (cw_http_parse_authority(target->authority, &host, NULL) != CW_OK) {
        return refuse(why, "the target's host is not a host");
    }
    raw = cw_span_of(raw.data + target->authority.len, raw.len - target->authority.len);
    if (raw.len == 0 || raw.data[0] != '/') {
        /* An empty path is the root (RFC 9110 §4.2.3), but for OPTIONS of the server as a whole (RFC 9112 §3.2.4). */
        bool is_whole = raw.len == 0 && method == CW_METHOD_OPTIONS;
        int code = take_path_and_query(raw, room, target, why);
        target->path = cw_span_text(is_whole ? "*" : "/");
        return code;
    }
    return take_path_and_query(raw, room, target, why);
}

/* RFC 9110 §9.3.6: CONNECT names a host and a port, and no default stands in for the port. */
static int take_authority(struct cw_span raw, struct cw_http_target *target, const char **why)
{
    struct cw_span host;
    uint16_t port = 0;

    target->form = CW_FORM_AUTHORITY;
    target->authority = raw;
    target->path = cw_span_text("");
    if (cw_http_parse_authority(raw, &host, &port) != CW_OK || port == 0) {
        return refuse(why, "CONNECT needs a target of the form host:port");
    }
    return 0;
}

int cw_http_parse_target(enum cw_http_method_known method, struct cw_span raw, uint8_t *room,
                         struct cw_http_target *target, const char **why)
{
    *target = (struct cw_http_target){.form = CW_FORM_ORIGIN};
    if (method == CW_METHOD_CONNECT) {
        return take_authority(raw, target, why);
    }
    if (raw.len > 0 && raw.data[0] == '/') {
        return take_path_and_query(raw, room, target, why);
    }
    if (cw_span_equal(raw, cw_span_text("*"))) {
        target->form = CW_FORM_ASTERISK;
        target->path = cw_span_text("*");
        return method == CW_METHOD_OPTIONS ? 0 : refuse(why, "only OPTIONS has the target *");
    }
    return take_absolute(method, raw, room, target, why);
}

/* ---- host and port ---- */

/* How many bytes a name or an IPv4 address has, up to the colon or the end; 0: it is none. */
static size_t name_len(struct cw_span text)
{
    size_t len = 0;

    while (len < text.len && cw_http_byte_is(text.data[len], CW_BYTE_NAME)) {
        len++;
    }
    while (len < text.len && text.data[len] != ':') {
        if (cw_http_byte_is(text.data[len], CW_BYTE_NAME)) {
            len++;
        } else if (text.data[len] == '%' && text.len - len > 2 &&
                   cw_http_hex(text.data + len + 1) > 0) {
            len += 3;
        } else {
            return 0;
        }
    }
    return len;
}

/* The same of an IPv6 address, its brackets included. No zone identifiers (`%eth0`): they mean something on the client's machine
 * only (RFC 6874 §4). */
static size_t bracketed_len(struct cw_span text)
{
    char copy[CW_ADDRESS_TEXT_MAX];
    struct cw_address address;
    const uint8_t *end = memchr(text.data, ']', text.len);
    size_t len = end != NULL ? (size_t)(end - text.data) + 1 : 0;
    bool is_address = len > 0 && memchr(text.data, '%', len) == NULL &&
                      cw_span_to_text(cw_span_of(text.data, len), copy, sizeof copy) == CW_OK &&
                      cw_address_parse(copy, &address) == CW_OK;

    return is_address ? len : 0;
}

/* RFC 3986 §3.2.3: the digits may be missing. Port 0 is nobody's. */
static int parse_port(struct cw_span digits, uint16_t *port)
{
    uint64_t number = 0;

    if (digits.len > 0 && (cw_span_to_u64(digits, UINT16_MAX, &number) != CW_OK || number == 0)) {
        return CW_EINVAL;
    }
    *port = (uint16_t)number;
    return CW_OK;
}

int cw_http_parse_authority(struct cw_span authority, struct cw_span *host, uint16_t *port)
{
    uint16_t unused;
    bool bracketed = authority.len > 0 && authority.data[0] == '[';
    size_t len = bracketed ? bracketed_len(authority) : name_len(authority);

    if (len == 0) {
        return CW_EINVAL;
    }
    *host = cw_span_of(authority.data, len);
    port = port != NULL ? port : &unused;
    *port = 0;
    if (len == authority.len) {
        return CW_OK;
    }
    return authority.data[len] == ':'
               ? parse_port(cw_span_of(authority.data + len + 1, authority.len - len - 1), port)
               : CW_EINVAL;
}
