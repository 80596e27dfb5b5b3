/* Lines are built from left to right: each function writes at `to` and returns where it has stopped. The caller has made
 * room for the worst case, so none of them looks for the end. */
#include "access_line.h"

#include <causeway/error.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <time.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum {
    FIXED_BYTES =
        512, /* of a line, beside what its texts take: names of members, numbers, an address */
    SHORT_MAX = 256,  /* bytes of the short texts */
    ESCAPED_MOST = 6, /* what one byte becomes at most */
    NO_ANSWER = 499,  /* what tools know for "the client went first" */
    WORD = 8,
    WIDE = 16,
};

/* ---- the moment ---- */

void cw_access_set_time(struct cw_access_common *common, int64_t second, unsigned ms)
{
    time_t time = (time_t)second;
    struct tm parts;

    common->ms = ms < 1000 ? ms : 999;
    if (common->second == second && common->iso[0] != '\0') {
        return;
    }
    common->second = second;
    gmtime_r(&time, &parts);
    strftime(common->iso, sizeof common->iso, "%Y-%m-%dT%H:%M:%S", &parts);
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    /* By hand: strftime's %b is the locale's. */
    strftime(common->combined, sizeof common->combined, "%d/xxx/%Y:%H:%M:%S +0000", &parts);
    memcpy(common->combined + 3, months[parts.tm_mon], 3);
}

/* ---- pieces ---- */

static uint8_t *put_bytes(uint8_t *to, const void *data, size_t len)
{
    memcpy(to, data, len);
    return to + len;
}

/* A constant, without its terminator. */
#define PUT(to, text) put_bytes(to, text, sizeof(text) - 1)

static uint8_t *put_u64(uint8_t *to, uint64_t number)
{
    uint8_t *end = to + 1;

    for (uint64_t rest = number; rest >= 10; rest /= 10) {
        end++;
    }
    for (uint8_t *at = end; at > to; number /= 10) {
        *--at = (uint8_t)('0' + number % 10);
    }
    return end;
}

/* The three digits that statuses have. */
static uint8_t *put_status(uint8_t *to, int status)
{
    unsigned number = status == 0 ? NO_ANSWER : (unsigned)status % 1000;

    to[0] = (uint8_t)('0' + number / 100);
    to[1] = (uint8_t)('0' + number / 10 % 10);
    to[2] = (uint8_t)('0' + number % 10);
    return to + 3;
}

/* One byte of an address, without leading zeros. */
static uint8_t *put_octet(uint8_t *to, unsigned octet)
{
    if (octet >= 100) {
        *to++ = (uint8_t)('0' + octet / 100);
    }
    if (octet >= 10) {
        *to++ = (uint8_t)('0' + octet / 10 % 10);
    }
    *to++ = (uint8_t)('0' + octet % 10);
    return to;
}

static uint8_t *print_address(uint8_t *to, const struct cw_address *address)
{
    char text[INET6_ADDRSTRLEN];

    switch (address->family) {
    case CW_IPV4:
        for (int i = 0; i < 4; i++) {
            to = put_octet(to, address->ip[i]);
            *to++ = '.';
        }
        return to - 1;
    case CW_IPV6:
        inet_ntop(AF_INET6, address->ip, text, sizeof text);
        return put_bytes(to, text, strlen(text));
    case CW_UNIX:
        return PUT(to, "unix");
    default:
        return PUT(to, "-");
    }
}

/* Connections ask several times in a row, and proxies for everybody. */
static bool is_same_client(const struct cw_access_common *common, const struct cw_address *address)
{
    return common->client_len > 0 && common->client.family == address->family &&
           memcmp(common->client.ip, address->ip, sizeof address->ip) == 0;
}

static uint8_t *put_client(uint8_t *to, struct cw_access_common *common,
                           const struct cw_address *address)
{
    if (!is_same_client(common, address)) {
        uint8_t *text = (uint8_t *)common->client_text;

        common->client = *address;
        common->client_len = (uint8_t)(print_address(text, address) - text);
    }
    /* All of it, for that is one copy of known size; what follows is written over the rest. */
    memcpy(to, common->client_text, sizeof common->client_text);
    return to + common->client_len;
}

static uint8_t hex_digit(unsigned value)
{
    return (uint8_t) "0123456789abcdef"[value & 15U];
}

/* ---- texts that the client chose ---- */

static bool is_plain(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

static uint64_t zeros_in(uint64_t word)
{
    return (word - 0x0101010101010101U) & ~word & 0x8080808080808080U;
}

/* Whether all eight bytes are plain: nearly always, so that texts are copied by words. */
static bool is_plain_word(const uint8_t *data)
{
    uint64_t word;

    memcpy(&word, data, WORD);
    uint64_t controls = (word - 0x2020202020202020U) & ~word & 0x8080808080808080U;
    uint64_t high = word & 0x8080808080808080U;
    return (controls | high | zeros_in(word ^ 0x2222222222222222U) |
            zeros_in(word ^ 0x5c5c5c5c5c5c5c5cU) | zeros_in(word ^ 0x7f7f7f7f7f7f7f7fU)) == 0;
}

#ifdef __SSE2__
static bool is_plain_wide(const uint8_t *data)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)data);
    /* Signed: bytes above 127 are below the space, too. */
    __m128i odd = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));

    odd = _mm_or_si128(odd, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')));
    odd = _mm_or_si128(odd, _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\')));
    odd = _mm_or_si128(odd, _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)));
    return _mm_movemask_epi8(odd) == 0;
}
#else
static bool is_plain_wide(const uint8_t *data)
{
    return is_plain_word(data) && is_plain_word(data + WORD);
}
#endif

/* Length of the character of UTF-8 that begins here; 0: none does, or one that steers terminals (U+0080 to U+009F). */
static size_t character_at(const uint8_t *data, size_t len)
{
    static const uint32_t least[] = {0, 0, 0xa0, 0x800, 0x10000};
    size_t size = data[0] >= 0xf0 ? 4 : data[0] >= 0xe0 ? 3 : 2;

    if (data[0] < 0xc2 || data[0] > 0xf4 || size > len) {
        return 0;
    }
    uint32_t point = data[0] & (0x7fU >> size);
    for (size_t i = 1; i < size; i++) {
        if ((data[i] & 0xc0U) != 0x80) {
            return 0;
        }
        point = point << 6 | (data[i] & 0x3fU);
    }
    bool surrogate = point >= 0xd800 && point < 0xe000;
    return point < least[size] || surrogate || point > 0x10ffff ? 0 : size;
}

/* What stands for the byte at *at, and steps over it. */
static uint8_t *put_json_special(uint8_t *to, const uint8_t **at, size_t len)
{
    uint8_t byte = **at;
    size_t size = byte < 0x80 ? 0 : character_at(*at, len);

    if (size > 0) {
        to = put_bytes(to, *at, size);
        *at += size;
        return to;
    }
    ++*at;
    if (byte >= 0x80) {
        return PUT(to, "\\ufffd");
    }
    if (byte == '"' || byte == '\\') {
        *to++ = '\\';
        *to++ = byte;
        return to;
    }
    to = PUT(to, "\\u00");
    *to++ = hex_digit(byte >> 4);
    *to++ = hex_digit(byte);
    return to;
}

static uint8_t *put_quoted_special(uint8_t *to, const uint8_t **at)
{
    uint8_t byte = *(*at)++;

    *to++ = '\\';
    if (byte == '"' || byte == '\\') {
        *to++ = byte;
        return to;
    }
    *to++ = 'x';
    *to++ = hex_digit(byte >> 4);
    *to++ = hex_digit(byte);
    return to;
}

static size_t cut(size_t len, size_t max)
{
    return len < max ? len : max;
}

/* Bytes up to the first that is not plain; *at moves to it, or to the end. */
static uint8_t *put_plain(uint8_t *to, const uint8_t **at, const uint8_t *end)
{
    const uint8_t *from = *at;

    for (; end - from >= WIDE && is_plain_wide(from); from += WIDE) {
        to = put_bytes(to, from, WIDE);
    }
    if (end - from >= WORD && is_plain_word(from)) {
        to = put_bytes(to, from, WORD);
        from += WORD;
    }
    while (from < end && is_plain(*from)) {
        *to++ = *from++;
    }
    *at = from;
    return to;
}

static uint8_t *put_text(uint8_t *to, struct cw_span text, size_t max, bool json)
{
    const uint8_t *at = text.data;
    const uint8_t *end = at + cut(text.len, max);

    while (at < end) {
        to = put_plain(to, &at, end);
        if (at < end) {
            to = json ? put_json_special(to, &at, (size_t)(end - at)) : put_quoted_special(to, &at);
        }
    }
    return text.len > max ? PUT(to, "...") : to;
}

/* ---- combined ---- */

static uint8_t *put_quoted(uint8_t *to, struct cw_span text, size_t max)
{
    *to++ = '"';
    to = text.data ? put_text(to, text, max, false) : PUT(to, "-");
    *to++ = '"';
    return to;
}

/* Between spaces: what is empty or has spaces of its own would move the columns behind it. */
static uint8_t *put_user(uint8_t *to, struct cw_span user)
{
    if (user.len == 0) {
        return PUT(to, "-");
    }
    uint8_t *from = to;
    to = put_text(to, user, SHORT_MAX, false);
    for (; from < to; from++) {
        *from = *from == ' ' ? '_' : *from;
    }
    return to;
}

static uint8_t *put_request_line(uint8_t *to, const struct cw_access_entry *entry, size_t text_max)
{
    if (!entry->method.data) {
        return PUT(to, "\"-\"");
    }
    if (cw_span_equal(entry->method, cw_span_text("GET"))) {
        to = PUT(to, "\"GET ");
    } else {
        *to++ = '"';
        to = put_text(to, entry->method, SHORT_MAX, false);
        *to++ = ' ';
    }
    to = put_text(to, entry->target, text_max, false);
    to = entry->version == 10 ? PUT(to, " HTTP/1.0") : PUT(to, " HTTP/1.1");
    *to++ = '"';
    return to;
}

static uint8_t *put_combined(uint8_t *to, const struct cw_access_entry *entry,
                             const struct cw_access_style *style, struct cw_access_common *common)
{
    to = put_client(to, common, entry->client);
    to = PUT(to, " - ");
    to = put_user(to, entry->user);
    to = PUT(to, " [");
    to = put_bytes(to, common->combined, sizeof common->combined - 1);
    to = PUT(to, "] ");
    to = put_request_line(to, entry, style->text_max);
    *to++ = ' ';
    to = put_status(to, entry->status);
    *to++ = ' ';
    to = put_u64(to, entry->bytes_out);
    *to++ = ' ';
    to = put_quoted(to, entry->referer, style->text_max);
    *to++ = ' ';
    return put_quoted(to, entry->agent, style->text_max);
}

static uint8_t *put_extension(uint8_t *to, const struct cw_access_entry *entry)
{
    *to++ = ' ';
    to = put_u64(to, entry->took_us);
    *to++ = ' ';
    to = put_quoted(to, entry->id, SHORT_MAX);
    *to++ = ' ';
    return put_quoted(to, entry->route, SHORT_MAX);
}

/* ---- JSON ---- */

/* name: `,"name":"` */
static uint8_t *put_member(uint8_t *to, const char *name, struct cw_span value, size_t max)
{
    if (!value.data) {
        return to;
    }
    to = put_bytes(to, name, strlen(name));
    to = put_text(to, value, max, true);
    *to++ = '"';
    return to;
}

static uint8_t *put_moment(uint8_t *to, const struct cw_access_common *common)
{
    to = PUT(to, "{\"time\":\"");
    to = put_bytes(to, common->iso, sizeof common->iso - 1);
    *to++ = '.';
    *to++ = (uint8_t)('0' + common->ms / 100);
    *to++ = (uint8_t)('0' + common->ms / 10 % 10);
    *to++ = (uint8_t)('0' + common->ms % 10);
    return PUT(to, "Z\"");
}

static uint8_t *put_figures(uint8_t *to, const struct cw_access_entry *entry)
{
    to = PUT(to, ",\"status\":");
    to = put_status(to, entry->status);
    if (entry->refused) {
        return to;
    }
    to = PUT(to, ",\"bytes\":");
    to = put_u64(to, entry->bytes_out);
    to = PUT(to, ",\"bytes_in\":");
    to = put_u64(to, entry->bytes_in);
    to = PUT(to, ",\"took_us\":");
    return put_u64(to, entry->took_us);
}

static struct cw_span version_of(const struct cw_access_entry *entry)
{
    if (entry->version == 0) {
        return (struct cw_span){NULL, 0};
    }
    return cw_span_text(entry->version == 10 ? "1.0" : "1.1");
}

static uint8_t *put_json(uint8_t *to, const struct cw_access_entry *entry,
                         const struct cw_access_style *style, struct cw_access_common *common)
{
    to = put_moment(to, common);
    to = PUT(to, ",\"client\":\"");
    to = put_client(to, common, entry->client);
    *to++ = '"';
    to = put_member(to, ",\"user\":\"", entry->user, SHORT_MAX);
    to = put_member(to, ",\"method\":\"", entry->method, SHORT_MAX);
    to = put_member(to, ",\"target\":\"", entry->target, style->text_max);
    to = put_member(to, ",\"version\":\"", version_of(entry), SHORT_MAX);
    to = put_member(to, ",\"host\":\"", entry->host, SHORT_MAX);
    to = put_figures(to, entry);
    to = put_member(to, ",\"referer\":\"", entry->referer, style->text_max);
    to = put_member(to, ",\"user_agent\":\"", entry->agent, style->text_max);
    to = put_member(to, ",\"request_id\":\"", entry->id, SHORT_MAX);
    to = put_member(to, ",\"route\":\"", entry->route, SHORT_MAX);
    if (entry->code != 0) {
        to = put_member(to, ",\"error\":\"", cw_span_text(cw_error_name(entry->code)), SHORT_MAX);
    }
    *to++ = '}';
    return to;
}

/* ---- the line ---- */

size_t cw_access_line_max(const struct cw_access_entry *entry, const struct cw_access_style *style)
{
    size_t max = style->text_max;
    size_t shorts = cut(entry->user.len, SHORT_MAX) + cut(entry->method.len, SHORT_MAX) +
                    cut(entry->host.len, SHORT_MAX) + cut(entry->id.len, SHORT_MAX) +
                    cut(entry->route.len, SHORT_MAX);
    size_t longs =
        cut(entry->target.len, max) + cut(entry->referer.len, max) + cut(entry->agent.len, max);

    return FIXED_BYTES + (shorts + longs) * ESCAPED_MOST;
}

size_t cw_access_line_most(const struct cw_access_style *style)
{
    return FIXED_BYTES + (5 * SHORT_MAX + 3 * style->text_max) * ESCAPED_MOST;
}

size_t cw_access_line(const struct cw_access_entry *entry, const struct cw_access_style *style,
                      struct cw_access_common *common, uint8_t *to)
{
    uint8_t *at;

    if (style->format == CW_ACCESS_LOG_JSON) {
        at = put_json(to, entry, style, common);
    } else {
        at = put_combined(to, entry, style, common);
        if (style->format == CW_ACCESS_LOG_EXTENDED) {
            at = put_extension(at, entry);
        }
    }
    *at++ = '\n';
    return (size_t)(at - to);
}
