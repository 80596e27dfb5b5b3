#include "http_settings.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <causeway/span.h>
#include <stdio.h>

#define YEAR_MS (365ull * 24 * 3600 * 1000)
#define TERABYTE (1ull << 40)
#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define AT(member) offsetof(struct cw_http_options, member)

enum { TEXT_MAX = 1024 }; /* of server_name, of a site's name */

/* What a member may say beside a number, and what is meant by it. */
enum lift {
    LIFT_NEVER,
    LIFT_LIMIT, /* CW_NO_LIMIT; CW_OFF is as good */
    LIFT_TIME,  /* CW_OFF; CW_NO_LIMIT is as good */
    LIFT_OFF,   /* CW_OFF, which does not lift it but stops what it is about */
};

struct rule {
    const char *name;
    size_t offset;
    uint64_t standard;
    uint64_t max;
    enum lift lift;
};

#define RULE(member, standard, max, lift)                                                          \
    {                                                                                              \
#member, AT(member), standard, max, lift                                                   \
    }

static const struct rule rules[] = {
    RULE(head_max_bytes, 16384, CW_HTTP_HEAD_MAX, LIFT_NEVER),
    RULE(fields_max, 100, CW_HTTP_FIELDS_MAX, LIFT_NEVER),
    RULE(target_max_bytes, 8192, CW_HTTP_HEAD_MAX, LIFT_NEVER),
    RULE(body_max_bytes, 1048576, INT64_MAX, LIFT_LIMIT),
    RULE(head_ms, 10000, YEAR_MS, LIFT_TIME),
    RULE(body_ms, 30000, YEAR_MS, LIFT_TIME),
    RULE(body_rate_min, 100, TERABYTE, LIFT_TIME),
    RULE(keep_alive_ms, 60000, YEAR_MS, LIFT_OFF),
    RULE(requests_max, 100000, INT64_MAX, LIFT_LIMIT),
    RULE(response_ms, 60000, YEAR_MS, LIFT_TIME),
    RULE(discard_max_bytes, 65536, TERABYTE, LIFT_OFF),
    RULE(bodies_max_bytes, 268435456, TERABYTE, LIFT_LIMIT),
};

static const size_t texts[] = {AT(site), AT(cors_origin), AT(server_name)};

static int complain(struct cw_complaint *complaint, int code, const char *member, const char *what)
{
    snprintf(complaint->text, sizeof complaint->text, "%s: %s", member, what);
    return code;
}

/* ---- numbers ---- */

static bool lift(const struct rule *rule, uint64_t *value)
{
    if (*value != CW_NO_LIMIT && *value != CW_OFF) {
        return false;
    }
    switch (rule->lift) {
    case LIFT_LIMIT:
        *value = CW_NO_LIMIT;
        return true;
    case LIFT_TIME:
        *value = CW_OFF;
        return true;
    case LIFT_OFF:
        return *value == CW_OFF;
    case LIFT_NEVER:
    default:
        return false;
    }
}

static int check_number(const struct rule *rule, uint64_t *value, struct cw_complaint *complaint)
{
    static const char *const also[] = {"", ", or CW_NO_LIMIT,", ", or CW_OFF,", ", or CW_OFF,"};

    if (*value == 0) {
        *value = rule->standard;
    }
    if (lift(rule, value) || *value <= rule->max) {
        return CW_OK;
    }
    snprintf(complaint->text, sizeof complaint->text, "%s: at most %llu%s is allowed", rule->name,
             (unsigned long long)rule->max, also[rule->lift]);
    return CW_EINVAL;
}

/* A short head leaves no room for the usual target. */
static int check_numbers(struct cw_http_options *options, struct cw_complaint *complaint)
{
    bool target_given = options->target_max_bytes != 0;

    for (size_t i = 0; i < COUNT(rules); i++) {
        int error = check_number(&rules[i], (uint64_t *)(void *)((char *)options + rules[i].offset),
                                 complaint);

        if (error < 0) {
            return error;
        }
    }
    if (options->target_max_bytes > options->head_max_bytes) {
        if (target_given) {
            return complain(complaint, CW_EINVAL, "target_max_bytes", "is above head_max_bytes");
        }
        options->target_max_bytes = options->head_max_bytes;
    }
    return CW_OK;
}

/* ---- texts ---- */

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == ',' || byte == '\t';
}

/* The next of a list whose elements are parted by spaces or commas. */
static bool next_word(struct cw_span *rest, struct cw_span *word)
{
    size_t len = 0;

    while (rest->len > 0 && is_blank(rest->data[0])) {
        *rest = cw_span_of(rest->data + 1, rest->len - 1);
    }
    while (len < rest->len && !is_blank(rest->data[len])) {
        len++;
    }
    *word = cw_span_of(rest->data, len);
    *rest = cw_span_of(rest->data + len, rest->len - len);
    return len > 0;
}

/* As browsers write one: `https://site.example:8443`, nothing behind it (RFC 6454 §6.1). */
static bool is_origin(struct cw_span word)
{
    const uint8_t *mark = memmem(word.data, word.len, "://", 3);
    size_t before = mark ? (size_t)(mark - word.data) : 0;

    if (before == 0 || before + 3 == word.len) {
        return false;
    }
    for (size_t i = 0; i < word.len; i++) {
        bool in_mark = i >= before && i < before + 3;

        if (word.data[i] <= ' ' || word.data[i] >= 0x7f ||
            (!in_mark && strchr("/?#@\\\"", word.data[i]))) {
            return false;
        }
    }
    return true;
}

static int check_origins(const char *text, struct cw_complaint *complaint)
{
    struct cw_span rest = cw_span_text(text);
    struct cw_span word;
    size_t count = 0;

    if (strcmp(text, "*") == 0) {
        return CW_OK;
    }
    for (; next_word(&rest, &word); count++) {
        if (!is_origin(word)) {
            snprintf(complaint->text, sizeof complaint->text,
                     "cors_origin: %.*s is no origin; * alone, or https://name, with :port if it "
                     "has one and nothing behind it",
                     (int)(word.len < 64 ? word.len : 64), (const char *)word.data);
            return CW_EINVAL;
        }
    }
    return count > 0 ? CW_OK
                     : complain(complaint, CW_EINVAL, "cors_origin", "is empty; NULL is none");
}

/* What may stand in a field (RFC 9110 §5.5), and is worth to. */
static int check_word(const char *member, const char *text, struct cw_complaint *complaint)
{
    size_t len = strnlen(text, TEXT_MAX + 1);

    if (len == 0) {
        return complain(complaint, CW_EINVAL, member, "is empty; NULL is none");
    }
    if (len > TEXT_MAX) {
        return complain(complaint, CW_EINVAL, member, "is longer than 1024 bytes");
    }
    if (text[0] == ' ' || text[len - 1] == ' ') {
        return complain(complaint, CW_EINVAL, member, "has a space at its end");
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            return complain(complaint, CW_EINVAL, member, "holds a control character");
        }
    }
    return CW_OK;
}

static int check_texts(const struct cw_http_options *options, struct cw_complaint *complaint)
{
    int error = options->site ? check_word("site", options->site, complaint) : CW_OK;

    if (error == CW_OK && options->server_name) {
        error = check_word("server_name", options->server_name, complaint);
    }
    if (error == CW_OK && options->cors_origin) {
        error = check_origins(options->cors_origin, complaint);
    }
    return error;
}

static const char **text_at(struct cw_http_options *options, size_t index)
{
    return (const char **)(void *)((char *)options + texts[index]);
}

/* Ours, and const only for those who read it. */
static void free_text(const char *text)
{
    void *memory;

    memcpy(&memory, &text, sizeof memory);
    cw_release(memory);
}

/* The texts may be gone when the call that set them returns. */
static int copy_texts(struct cw_http_options *options, struct cw_complaint *complaint)
{
    for (size_t i = 0; i < COUNT(texts); i++) {
        const char **text = text_at(options, i);
        size_t size = *text ? strlen(*text) + 1 : 0;
        char *copy = size > 0 ? cw_alloc(size) : NULL;

        if (size > 0 && !copy) {
            while (i-- > 0) {
                free_text(*text_at(options, i));
            }
            return complain(complaint, CW_ENOMEM, "options", "out of memory");
        }
        if (copy) {
            memcpy(copy, *text, size);
        }
        *text = copy;
    }
    return CW_OK;
}

/* ---- shared ---- */

int cw_http_check_options(void *memory, struct cw_complaint *complaint)
{
    struct cw_http_options *options = memory;
    int error = check_numbers(options, complaint);

    if (error == CW_OK && (unsigned)options->forwarded > CW_HTTP_NOT_FORWARDED) {
        error =
            complain(complaint, CW_EINVAL, "forwarded", "no such value of enum cw_http_forwarded");
    }
    if (error == CW_OK) {
        error = check_texts(options, complaint);
    }
    return error == CW_OK ? copy_texts(options, complaint) : error;
}

void cw_http_release_options(void *memory)
{
    for (size_t i = 0; i < COUNT(texts); i++) {
        free_text(*text_at(memory, i));
    }
}

#define NUMBER(name, what, member, top)                                                            \
    {                                                                                              \
        .key = name, .kind = what, .offset = AT(member), .least = 1, .most = top                   \
    }
#define UNLIMITED(name, what, member, top)                                                         \
    {                                                                                              \
        .key = name, .kind = what, .offset = AT(member), .least = 1, .most = top,                  \
        .may_be_unlimited = true                                                                   \
    }
#define OFF(name, what, member, top)                                                               \
    {                                                                                              \
        .key = name, .kind = what, .offset = AT(member), .least = 1, .most = top,                  \
        .may_be_off = true                                                                         \
    }
#define TEXT(name, member)                                                                         \
    {                                                                                              \
        .key = name, .kind = CW_SETTING_TEXT, .offset = AT(member)                                 \
    }

static const char *const forwarded_words[] = {"x-forwarded", "x-forwarded-host", "forwarded",
                                              "none", NULL};

const struct cw_setting cw_http_settings[] = {
    NUMBER("max_header_size", CW_SETTING_BYTES, head_max_bytes, CW_HTTP_HEAD_MAX),
    NUMBER("max_header_fields", CW_SETTING_COUNT, fields_max, CW_HTTP_FIELDS_MAX),
    NUMBER("max_target_size", CW_SETTING_BYTES, target_max_bytes, CW_HTTP_HEAD_MAX),
    UNLIMITED("max_body_size", CW_SETTING_BYTES, body_max_bytes, TERABYTE),
    OFF("max_discard_size", CW_SETTING_BYTES, discard_max_bytes, TERABYTE),
    UNLIMITED("max_requests", CW_SETTING_COUNT, requests_max, 1ull << 32),
    OFF("min_body_rate", CW_SETTING_BYTES, body_rate_min, TERABYTE),
    OFF("header_timeout", CW_SETTING_DURATION, head_ms, YEAR_MS),
    OFF("body_timeout", CW_SETTING_DURATION, body_ms, YEAR_MS),
    OFF("response_timeout", CW_SETTING_DURATION, response_ms, YEAR_MS),
    OFF("keep_alive_timeout", CW_SETTING_DURATION, keep_alive_ms, YEAR_MS),
    UNLIMITED("max_bodies_size", CW_SETTING_BYTES, bodies_max_bytes, TERABYTE),
    {.key = "forwarded",
     .kind = CW_SETTING_CHOICE,
     .offset = AT(forwarded),
     .choices = forwarded_words},
    TEXT("cors_origin", cors_origin),
    TEXT("server_name", server_name),
    TEXT("site", site),
    {.key = NULL},
};
