/* RFC 6454 §4, §6.1: an origin is scheme, host and port; browsers write the first two in lower case, and no port that is the
 * scheme's own. */
#include <causeway/http_fields.h>
#include <causeway/span.h>

#include <string.h>

enum { PORT_MAX = 65535 };

static const char separators[] = " \t,";

static bool next_word(const char **rest, struct cw_span *word)
{
    *rest += strspn(*rest, separators);
    *word = cw_span_of(*rest, strcspn(*rest, separators));
    *rest += word->len;
    return word->len > 0;
}

static uint8_t lower(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte | 0x20) : byte;
}

static bool starts_with(struct cw_span span, const char *text)
{
    size_t len = strlen(text);
    bool same = span.len >= len;

    for (size_t i = 0; i < len && same; i++) {
        same = lower(span.data[i]) == (uint8_t)text[i];
    }
    return same;
}

static bool ends_with(struct cw_span span, const char *text)
{
    size_t len = strlen(text);

    return span.len >= len && memcmp(span.data + span.len - len, text, len) == 0;
}

static struct cw_span without_own_port(struct cw_span word)
{
    if (starts_with(word, "https://") && ends_with(word, ":443")) {
        word.len -= strlen(":443");
    } else if (starts_with(word, "http://") && ends_with(word, ":80")) {
        word.len -= strlen(":80");
    }
    return word;
}

static bool is_same(struct cw_span word, struct cw_span origin)
{
    bool same;

    word = without_own_port(word);
    same = word.len == origin.len;
    for (size_t i = 0; i < word.len && same; i++) {
        same = lower(word.data[i]) == origin.data[i];
    }
    return same;
}

enum cw_http_origin_found cw_http_origin_find(const char *list, struct cw_span origin)
{
    struct cw_span word;

    if (list && cw_span_equal(cw_span_trim(cw_span_text(list)), cw_span_text("*"))) {
        return CW_HTTP_ORIGIN_ANY;
    }
    while (list && next_word(&list, &word)) {
        if (is_same(word, origin)) {
            return CW_HTTP_ORIGIN_LISTED;
        }
    }
    return CW_HTTP_ORIGIN_NOT_LISTED;
}

/* ---- what may be listed ---- */

static bool is_letter(uint8_t byte)
{
    return lower(byte) >= 'a' && lower(byte) <= 'z';
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* RFC 3986 §3.1. */
static bool is_scheme(struct cw_span span)
{
    bool good = span.len > 0 && is_letter(span.data[0]);

    for (size_t i = 1; i < span.len && good; i++) {
        good = is_letter(span.data[i]) || is_digit(span.data[i]) || strchr("+-.", span.data[i]);
    }
    return good;
}

static bool is_host(struct cw_span span)
{
    bool bracketed = span.len > 2 && span.data[0] == '[' && span.data[span.len - 1] == ']';
    bool good = span.len > 0;

    if (bracketed) {
        span = cw_span_of(span.data + 1, span.len - 2);
    }
    for (size_t i = 0; i < span.len && good; i++) {
        uint8_t byte = span.data[i];
        good = is_letter(byte) || is_digit(byte) || byte == '.' || (byte == ':' && bracketed) ||
               ((byte == '-' || byte == '_') && !bracketed);
    }
    return good;
}

/* Takes `:port` off the end. False: there is one, and it is none. */
static bool cut_port(struct cw_span *host)
{
    const uint8_t *colon = memrchr(host->data, ':', host->len);
    uint64_t port;

    if (!colon || host->data[host->len - 1] == ']') {
        return true;
    }
    struct cw_span digits = cw_span_of(colon + 1, host->len - (size_t)(colon + 1 - host->data));
    host->len = (size_t)(colon - host->data);
    return cw_span_to_u64(digits, PORT_MAX, &port) == 0 && port > 0;
}

static bool is_origin(struct cw_span word)
{
    const uint8_t *mark = memmem(word.data, word.len, "://", 3);

    if (cw_span_equal(word, cw_span_text("null"))) {
        return true;
    }
    if (!mark || !is_scheme(cw_span_of(word.data, (size_t)(mark - word.data)))) {
        return false;
    }
    struct cw_span host = cw_span_of(mark + 3, word.len - (size_t)(mark + 3 - word.data));
    return host.len > 0 && cut_port(&host) && is_host(host);
}

const char *cw_http_origins_fault(const char *list, struct cw_span *word)
{
    size_t count = 0;
    bool any = false;

    for (; next_word(&list, word); count++) {
        bool star = cw_span_equal(*word, cw_span_text("*"));
        if (!star && !is_origin(*word)) {
            return "is no origin: https://name, with :port if it has one and nothing behind it";
        }
        any = any || star;
    }
    *word = cw_span_text("origins");
    if (any && count > 1) {
        return "has \"*\" and more: it stands alone";
    }
    return count == 0 ? "is empty; NULL takes the default" : NULL;
}
