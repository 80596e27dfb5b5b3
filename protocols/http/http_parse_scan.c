/* Where a head ends. One pass over the bytes; whatever is refused is refused at the first byte that shows it, so the answer
 * does not depend on how the input is cut. */
#include "http_parse_impl.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum first_line {
    FIRST_REQUEST,
    FIRST_STATUS,
    FIRST_NONE,
};

struct search {
    const uint8_t *data;
    size_t end; /* judged up to here in this call */
    const struct cw_http_head_limits *limits;
    struct cw_http_scan *scan;
    enum first_line first;
    const char **why;
};

static ptrdiff_t refuse(const struct search *search, int status, const char *why)
{
    *search->why = why;
    return -status;
}

/* ---- control characters ---- */

static bool is_control(uint8_t byte)
{
    return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}

#ifdef __SSE2__
enum { WIDE = 16 };

static unsigned controls_at(const uint8_t *data)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)data);
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
    __m128i rubout = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), rubout));
}

/* The first control character but tabs, or `end`. */
static size_t find_control(const uint8_t *data, size_t at, size_t end)
{
    for (; end - at >= WIDE; at += WIDE) {
        unsigned found = controls_at(data + at);

        if (found != 0) {
            return at + (size_t)__builtin_ctz(found);
        }
    }
    if (at < end && end >= WIDE) {
        unsigned found = controls_at(data + end - WIDE) >> (WIDE - (end - at));

        return found != 0 ? at + (size_t)__builtin_ctz(found) : end;
    }
    while (at < end && !is_control(data[at])) {
        at++;
    }
    return at;
}
#else
enum { WIDE = 8 };

/* Whether one of eight bytes may be a control character: tabs count, so look closer then. */
static bool may_have_control(const uint8_t *data)
{
    const uint64_t ones = UINT64_MAX / 255;
    uint64_t word;

    memcpy(&word, data, sizeof word);
    uint64_t low = (word - ones * 0x20) & ~word;
    uint64_t rubout = word ^ ones * 0x7f;

    return ((low | ((rubout - ones) & ~rubout)) & ones * 0x80) != 0;
}

/* The first control character but tabs, or `end`. */
static size_t find_control(const uint8_t *data, size_t at, size_t end)
{
    while (at < end) {
        if (end - at >= WIDE && !may_have_control(data + at)) {
            at += WIDE;
            continue;
        }
        if (is_control(data[at])) {
            break;
        }
        at++;
    }
    return at;
}
#endif

/* ---- the first line ---- */

bool cw_http_ends_with_version(const uint8_t *line, size_t len)
{
    const uint8_t *version = line + len - CW_VERSION_LEN;

    return len > CW_VERSION_LEN && version[-1] == ' ' && memcmp(version, "HTTP/", 5) == 0 &&
           cw_http_is_digit(version[5]) && version[6] == '.' && cw_http_is_digit(version[7]);
}

/* What is there of the request line, up to `upto`. */
static ptrdiff_t judge_request_so_far(const struct search *search, size_t upto)
{
    const uint8_t *line = search->data + search->scan->line;
    size_t len = upto - search->scan->line;
    size_t method = 0;

    while (method < len && cw_http_byte_is(line[method], CW_BYTE_TOKEN)) {
        if (++method > CW_METHOD_MAX) {
            return refuse(search, 501, "a method longer than any that is known");
        }
    }
    if (method == len) {
        return 0;
    }
    if (method == 0 || line[method] != ' ') {
        return refuse(search, 400, "not a request line: no method");
    }
    size_t target = method + 1;
    if (len - target > search->limits->target_max &&
        memchr(line + target, ' ', search->limits->target_max + 1) == NULL) {
        return refuse(search, 414, "the target is longer than target_max_bytes");
    }
    return 0;
}

static ptrdiff_t judge_status_so_far(const struct search *search, size_t upto)
{
    const uint8_t *line = search->data + search->scan->line;
    size_t len = upto - search->scan->line;

    return memcmp(line, "HTTP/", len < 5 ? len : 5) == 0
               ? 0
               : refuse(search, 400, "not a status line: it does not begin with HTTP/");
}

static ptrdiff_t judge_so_far(const struct search *search, size_t upto)
{
    if (search->scan->lines != 0 || search->first == FIRST_NONE) {
        return 0;
    }
    return search->first == FIRST_REQUEST ? judge_request_so_far(search, upto)
                                          : judge_status_so_far(search, upto);
}

/* ---- lines ---- */

static bool before_first_line(const struct search *search)
{
    return search->scan->lines == 0 && search->first != FIRST_NONE;
}

/* The line's first byte is there. */
static ptrdiff_t judge_line_begin(const struct search *search)
{
    uint8_t byte = search->data[search->scan->line];

    if (byte != ' ' && byte != '\t') {
        return 0;
    }
    return refuse(search, 400,
                  before_first_line(search) ? "white space before the first line"
                                            : "a line that begins with white space (obs-fold)");
}

static ptrdiff_t judge_whole_line(const struct search *search, size_t end)
{
    struct cw_http_scan *scan = search->scan;
    size_t fields = scan->lines + (search->first == FIRST_NONE);

    if (before_first_line(search)) {
        bool wrong = search->first == FIRST_REQUEST &&
                     !cw_http_ends_with_version(search->data + scan->line, end - scan->line);
        return wrong ? refuse(search, 400, "not a request line: no version at its end") : 0;
    }
    return fields > search->limits->fields_max ? refuse(search, 431, "more fields than fields_max")
                                               : 0;
}

/* A CR stands at `at`, and the byte behind it is there. > 0: the head ends there. */
static ptrdiff_t end_line(const struct search *search, size_t at)
{
    struct cw_http_scan *scan = search->scan;

    if (search->data[at + 1] != '\n') {
        return refuse(search, 400, "a CR without LF");
    }
    if (at == scan->line && !before_first_line(search)) {
        scan->at = scan->line = at + 2;
        return (ptrdiff_t)scan->at;
    }
    if (at == scan->line) {
        scan->skipped++;
    } else {
        ptrdiff_t judged = judge_whole_line(search, at);
        if (judged != 0) {
            return judged;
        }
        scan->lines++;
    }
    scan->at = scan->line = at + 2;
    return 0;
}

static ptrdiff_t judge_control(const struct search *search, size_t at)
{
    uint8_t byte = search->data[at];

    if (byte == '\r') {
        return at + 1 < search->end ? end_line(search, at) : 0;
    }
    return refuse(search, 400, byte == '\n' ? "an LF without CR" : "a control character");
}

/* From scan->at to the end of the line under way. 0: either a line ended, and scan->at has moved behind it, or more is
 * needed. */
static ptrdiff_t scan_line(const struct search *search)
{
    struct cw_http_scan *scan = search->scan;
    ptrdiff_t judged = scan->at == scan->line ? judge_line_begin(search) : 0;

    if (judged != 0) {
        return judged;
    }
    size_t found = find_control(search->data, scan->at, search->end);
    judged = judge_so_far(search, found);
    scan->at = found;
    if (judged != 0 || found == search->end) {
        return judged;
    }
    return judge_control(search, found);
}

static ptrdiff_t scan_lines(const struct search *search)
{
    struct cw_http_scan *scan = search->scan;

    while (scan->at < search->end) {
        size_t line = scan->line;
        ptrdiff_t judged = scan_line(search);

        if (judged != 0) {
            return judged;
        }
        if (scan->line == line) {
            break;
        }
    }
    return 0;
}

/* Bytes beyond head_max are not looked at: they cannot change the answer. */
static ptrdiff_t scan_bounded(struct search *search, size_t len)
{
    size_t max = search->limits->head_max;

    search->end = len < max ? len : max;
    ptrdiff_t judged = scan_lines(search);

    if (judged != 0 || len < max) {
        return judged;
    }
    return refuse(search, 431, "the head is longer than head_max_bytes");
}

ptrdiff_t cw_http_scan_head(const uint8_t *data, size_t len,
                            const struct cw_http_head_limits *limits, struct cw_http_scan *scan,
                            const char **why)
{
    struct search search = {data, 0, limits, scan, FIRST_REQUEST, why};

    return scan_bounded(&search, len);
}

ptrdiff_t cw_http_scan_response(const uint8_t *data, size_t len,
                                const struct cw_http_head_limits *limits, struct cw_http_scan *scan,
                                const char **why)
{
    struct search search = {data, 0, limits, scan, FIRST_STATUS, why};

    return scan_bounded(&search, len);
}

ptrdiff_t cw_http_scan_trailers(const uint8_t *data, size_t len,
                                const struct cw_http_head_limits *limits, struct cw_http_scan *scan,
                                const char **why)
{
    struct search search = {data, 0, limits, scan, FIRST_NONE, why};

    return scan_bounded(&search, len);
}
