/* JSON within bounds: a scan that takes no memory judges every byte, then cJSON builds the value.
 *
 * cJSON by itself recurses up to its own limit, and takes control characters, bytes that are not UTF-8, `01`
 * and `\u0000` (which ends its C string early). */
#include "utf8.h"

#include <causeway/error.h>
#include <causeway/json.h>
#include <cjson/cJSON.h>

enum {
    BYTES_MAX_DEFAULT = 1048576,
    DEPTH_MAX_DEFAULT = 32,
    DEPTH_MAX_MOST = 512,
    NUMBER_MAX = 63, /* cJSON reads no more characters of a number */
};

struct scan {
    const uint8_t *at;
    const uint8_t *end;
    uint64_t depth_max;
    uint64_t depth;
    uint64_t objects[DEPTH_MAX_MOST / 64]; /* a bit for each level that is open: 1 for an object */
};

static bool done(const struct scan *scan)
{
    return scan->at == scan->end;
}

/* The next byte, or 0 at the end: a zero byte is allowed nowhere, so nobody takes it for one. */
static uint8_t peek(const struct scan *scan)
{
    return done(scan) ? 0 : *scan->at;
}

static bool take(struct scan *scan, uint8_t byte)
{
    if (done(scan) || *scan->at != byte) {
        return false;
    }
    scan->at++;
    return true;
}

static void skip_space(struct scan *scan)
{
    while (!done(scan) &&
           (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\n' || *scan->at == '\r')) {
        scan->at++;
    }
}

/* ---- strings ---- */

static bool between(uint8_t byte, uint8_t low, uint8_t high)
{
    return byte >= low && byte <= high;
}

static bool take_hex(struct scan *scan, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t byte = peek(scan);
        uint32_t digit;
        if (between(byte, '0', '9')) {
            digit = byte - (uint32_t)'0';
        } else if (between(byte, 'a', 'f') || between(byte, 'A', 'F')) {
            digit = (byte | 0x20U) - (uint32_t)'a' + 10;
        } else {
            return false;
        }
        *value = *value << 4 | digit;
        scan->at++;
    }
    return true;
}

static bool take_unicode(struct scan *scan)
{
    uint32_t unit;
    uint32_t second;

    if (!take_hex(scan, &unit) || unit == 0 || (unit >= 0xdc00 && unit <= 0xdfff)) {
        return false;
    }
    if (unit < 0xd800 || unit > 0xdbff) {
        return true;
    }
    return take(scan, '\\') && take(scan, 'u') && take_hex(scan, &second) && second >= 0xdc00 &&
           second <= 0xdfff;
}

static bool take_escape(struct scan *scan)
{
    if (take(scan, 'u')) {
        return take_unicode(scan);
    }
    if (peek(scan) == 0 || strchr("\"\\/bfnrt", peek(scan)) == NULL) {
        return false;
    }
    scan->at++;
    return true;
}

/* The opening quote has been taken. */
static bool take_string(struct scan *scan)
{
    while (!take(scan, '"')) {
        if (take(scan, '\\')) {
            if (!take_escape(scan)) {
                return false;
            }
            continue;
        }
        if (done(scan) || *scan->at < 0x20) {
            return false;
        }
        size_t len = cw_utf8_len(scan->at, (size_t)(scan->end - scan->at));
        if (len == 0) {
            return false;
        }
        scan->at += len;
    }
    return true;
}

/* ---- numbers and words ---- */

static bool take_digits(struct scan *scan)
{
    const uint8_t *start = scan->at;

    while (between(peek(scan), '0', '9')) {
        scan->at++;
    }
    return scan->at > start;
}

static int take_number(struct scan *scan)
{
    const uint8_t *start = scan->at;

    (void)take(scan, '-');
    if (!take(scan, '0') && !take_digits(scan)) {
        return CW_EJSON;
    }
    if (take(scan, '.') && !take_digits(scan)) {
        return CW_EJSON;
    }
    if (take(scan, 'e') || take(scan, 'E')) {
        if (!take(scan, '+')) {
            (void)take(scan, '-');
        }
        if (!take_digits(scan)) {
            return CW_EJSON;
        }
    }
    return scan->at - start > NUMBER_MAX ? CW_ETOOBIG : CW_OK;
}

static bool take_word(struct scan *scan, const char *word)
{
    for (; *word != '\0'; word++) {
        if (!take(scan, (uint8_t)*word)) {
            return false;
        }
    }
    return true;
}

static int take_scalar(struct scan *scan)
{
    bool taken;

    switch (peek(scan)) {
    case '"':
        scan->at++;
        taken = take_string(scan);
        break;
    case 't':
        taken = take_word(scan, "true");
        break;
    case 'f':
        taken = take_word(scan, "false");
        break;
    case 'n':
        taken = take_word(scan, "null");
        break;
    default:
        return take_number(scan);
    }
    return taken ? CW_OK : CW_EJSON;
}

/* ---- arrays and objects, without recursion ---- */

static bool in_object(const struct scan *scan)
{
    uint64_t level = scan->depth - 1;

    return scan->depth > 0 && (scan->objects[level / 64] >> level % 64 & 1) != 0;
}

static int open_level(struct scan *scan, bool object)
{
    if (scan->depth == scan->depth_max) {
        return CW_ETOOBIG;
    }
    uint64_t bit = (uint64_t)1 << scan->depth % 64;
    uint64_t *word = &scan->objects[scan->depth / 64];
    *word = object ? *word | bit : *word & ~bit;
    scan->depth++;
    return CW_OK;
}

/* The name of a member and its colon, where an object is open; nothing in an array. */
static bool take_name(struct scan *scan)
{
    if (!in_object(scan)) {
        return true;
    }
    skip_space(scan);
    if (!take(scan, '"') || !take_string(scan)) {
        return false;
    }
    skip_space(scan);
    return take(scan, ':');
}

/* Behind a value: closes what ends here. More is to come when a comma was taken. */
static int take_ends(struct scan *scan)
{
    while (scan->depth > 0) {
        skip_space(scan);
        if (take(scan, ',')) {
            return take_name(scan) ? CW_OK : CW_EJSON;
        }
        if (!take(scan, in_object(scan) ? '}' : ']')) {
            return CW_EJSON;
        }
        scan->depth--;
    }
    return CW_OK;
}

/* One value, or the opening of one that holds others. */
static int take_value(struct scan *scan)
{
    skip_space(scan);
    bool object = peek(scan) == '{';
    if (!object && peek(scan) != '[') {
        int code = take_scalar(scan);
        return code < 0 ? code : take_ends(scan);
    }
    scan->at++;
    int code = open_level(scan, object);
    if (code < 0) {
        return code;
    }
    skip_space(scan);
    if (peek(scan) == (object ? '}' : ']')) {
        return take_ends(scan);
    }
    return take_name(scan) ? CW_OK : CW_EJSON;
}

static int judge(struct scan *scan)
{
    do {
        int code = take_value(scan);
        if (code < 0) {
            return code;
        }
    } while (scan->depth > 0);
    skip_space(scan);
    return done(scan) ? CW_OK : CW_EJSON;
}

/* ---- public ---- */

static uint64_t limit_or(uint64_t limit, uint64_t standard, uint64_t most)
{
    uint64_t chosen = limit == 0 ? standard : limit;

    return chosen < most ? chosen : most;
}

int cw_json_parse(struct cw_span text, const struct cw_json_limits *limits, struct cJSON **json)
{
    struct cw_json_limits given = limits == NULL ? (struct cw_json_limits){0} : *limits;
    struct scan scan = {
        .at = text.data,
        .end = text.data + text.len,
        .depth_max = limit_or(given.depth_max, DEPTH_MAX_DEFAULT, DEPTH_MAX_MOST),
    };

    *json = NULL;
    if (text.len > limit_or(given.bytes_max, BYTES_MAX_DEFAULT, CW_NO_LIMIT)) {
        return CW_ETOOBIG;
    }
    if (text.len == 0) {
        return CW_EJSON;
    }
    int code = judge(&scan);
    if (code < 0) {
        return code;
    }
    /* What has been judged is JSON, so only memory can be missing. */
    *json = cJSON_ParseWithLength((const char *)text.data, text.len);
    return *json == NULL ? CW_ENOMEM : CW_OK;
}

const char *cw_json_text(const struct cJSON *object, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, name);

    return cJSON_IsString(member) ? member->valuestring : NULL;
}
