/* Options: defaults, what is allowed, copies; and the keys that a configuration file may set them with. */
#include "ws_impl.h"

#include <causeway/config.h>
#include <causeway/log.h>
#include <causeway/span.h>
#include <stdio.h>

#define YEAR_MS (365ull * 24 * 3600 * 1000)
#define TERABYTE (1ull << 40)
#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define AT(member) offsetof(struct cw_websocket_options, member)

enum {
    TEXT_MAX = 1024,
    TARGET_MAX = 8192,
    FIELDS_MAX = 1000,
    FIELDS_BYTES = 65536,
};

static const char separators[] = " \t,";

/* What a member may say beside a number. */
enum lift {
    LIFT_NEVER,
    LIFT_LIMIT, /* CW_NO_LIMIT; CW_OFF is as good */
    LIFT_TIME,  /* CW_OFF; CW_NO_LIMIT is as good */
};

struct rule {
    const char *name;
    size_t offset;
    uint64_t standard;
    uint64_t least;
    uint64_t most;
    enum lift lift;
};

#define RULE(member, standard, least, most, lift)                                                  \
    {                                                                                              \
#member, AT(member), standard, least, most, lift                                           \
    }

static const struct rule rules[] = {
    RULE(message_max_bytes, 1048576, 1, INT64_MAX, LIFT_LIMIT),
    RULE(messages_max_bytes, 268435456, 1, TERABYTE, LIFT_LIMIT),
    RULE(pings_per_second_max, 100, 1, 1u << 30, LIFT_LIMIT),
    RULE(ping_interval_ms, 30000, 1, YEAR_MS, LIFT_TIME),
    RULE(pong_timeout_ms, 10000, 1, YEAR_MS, LIFT_TIME),
    RULE(deflate.above_bytes, 128, 1, TERABYTE, LIFT_LIMIT),
    RULE(deflate.level, 1, 1, 9, LIFT_NEVER),
    RULE(deflate.window_bits, 15, 8, 15, LIFT_NEVER),
    RULE(deflate.peer_window_bits, 15, 8, 15, LIFT_NEVER),
    RULE(head_max_bytes, 16384, 1, 1048576, LIFT_NEVER),
};

static int complain(struct cw_complaint *complaint, int code, const char *member, const char *what)
{
    snprintf(complaint->text, sizeof complaint->text, "%s: %s", member, what);
    return code;
}

static int out_of_memory(struct cw_complaint *complaint)
{
    return complain(complaint, CW_ENOMEM, "options", cw_strerror(CW_ENOMEM));
}

/* ---- numbers ---- */

static bool lift(const struct rule *rule, uint64_t *value)
{
    if (rule->lift == LIFT_NEVER || (*value != CW_NO_LIMIT && *value != CW_OFF)) {
        return false;
    }
    *value = rule->lift == LIFT_LIMIT ? CW_NO_LIMIT : CW_OFF;
    return true;
}

static int check_number(const struct rule *rule, uint64_t *value, struct cw_complaint *complaint)
{
    static const char *const also[] = {"", ", or CW_NO_LIMIT,", ", or CW_OFF,"};

    if (*value == 0) {
        *value = rule->standard;
    }
    if (lift(rule, value) || (*value >= rule->least && *value <= rule->most)) {
        return CW_OK;
    }
    if (rule->least > 1) {
        snprintf(complaint->text, sizeof complaint->text, "%s: %llu to %llu is allowed", rule->name,
                 (unsigned long long)rule->least, (unsigned long long)rule->most);
    } else {
        snprintf(complaint->text, sizeof complaint->text, "%s: at most %llu%s is allowed",
                 rule->name, (unsigned long long)rule->most, also[rule->lift]);
    }
    return CW_EINVAL;
}

static int check_pieces(struct cw_websocket_options *options, struct cw_complaint *complaint)
{
    uint64_t above = options->stream_above_bytes;

    if (above == CW_NO_LIMIT || above == CW_OFF) {
        options->stream_above_bytes = 0;
    } else if (above > INT64_MAX) {
        return complain(complaint, CW_EINVAL, "stream_above_bytes",
                        "at most 9223372036854775807; 0 is none");
    }
    if (options->out_high_bytes > TERABYTE) {
        return complain(complaint, CW_EINVAL, "out_high_bytes",
                        "at most 1099511627776; 0 is the server's");
    }
    if (options->stream_above_bytes != 0 && options->message_max_bytes == 0) {
        options->message_max_bytes = CW_NO_LIMIT;
    }
    return CW_OK;
}

/* Below it a message may have any size, and above it none that is allowed. */
static int check_against(const struct cw_websocket_options *options, bool sum_given,
                         struct cw_complaint *complaint)
{
    bool streams = options->stream_above_bytes != 0;
    uint64_t whole = streams ? options->stream_above_bytes : options->message_max_bytes;

    if (streams && options->stream_above_bytes > options->message_max_bytes) {
        return complain(complaint, CW_EINVAL, "stream_above_bytes", "is above message_max_bytes");
    }
    if (sum_given && whole != CW_NO_LIMIT && whole > options->messages_max_bytes) {
        return complain(complaint, CW_EINVAL, "messages_max_bytes",
                        streams ? "is below stream_above_bytes" : "is below message_max_bytes");
    }
    return CW_OK;
}

/* The largest message has to fit under the default of the sum. */
static void raise_sum(struct cw_websocket_options *options)
{
    uint64_t whole =
        options->stream_above_bytes != 0 ? options->stream_above_bytes : options->message_max_bytes;

    if (whole != CW_NO_LIMIT && whole > options->messages_max_bytes) {
        options->messages_max_bytes = whole;
    }
}

static int check_numbers(struct cw_websocket_options *options, struct cw_complaint *complaint)
{
    bool sum_given = options->messages_max_bytes != 0;
    int error = check_pieces(options, complaint);

    for (size_t i = 0; i < COUNT(rules) && error == CW_OK; i++) {
        error = check_number(&rules[i], (uint64_t *)(void *)((char *)options + rules[i].offset),
                             complaint);
    }
    if (error < 0) {
        return error;
    }
    error = check_against(options, sum_given, complaint);
    if (error == CW_OK && !sum_given) {
        raise_sum(options);
    }
    return error;
}

/* ---- subprotocols ---- */

bool cw_ws_next_word(struct cw_span *rest, struct cw_span *word)
{
    size_t len = 0;

    while (rest->len > 0 && memchr(separators, rest->data[0], sizeof separators - 1)) {
        *rest = cw_span_of(rest->data + 1, rest->len - 1);
    }
    while (len < rest->len && !memchr(separators, rest->data[len], sizeof separators - 1)) {
        len++;
    }
    *word = cw_span_of(rest->data, len);
    *rest = cw_span_of(rest->data + len, rest->len - len);
    return len > 0;
}

static bool has_word(struct cw_span list, struct cw_span wanted)
{
    struct cw_span word;

    while (cw_ws_next_word(&list, &word)) {
        if (cw_span_equal(word, wanted)) {
            return true;
        }
    }
    return false;
}

/* RFC 6455 §4.1: tokens, each of them once. */
static int check_subprotocols(const char *text, struct cw_complaint *complaint)
{
    struct cw_span whole = cw_span_of(text, strnlen(text, TEXT_MAX + 1));
    struct cw_span rest = whole;
    struct cw_span word;
    size_t count = 0;

    if (whole.len > TEXT_MAX) {
        return complain(complaint, CW_EINVAL, "subprotocols", "is longer than 1024 bytes");
    }
    for (; cw_ws_next_word(&rest, &word); count++) {
        struct cw_span before = cw_span_of(whole.data, (size_t)(word.data - whole.data));
        const char *fault = !cw_http_is_token(word)  ? "is no token (RFC 9110 §5.6.2)"
                            : has_word(before, word) ? "stands there twice"
                                                     : NULL;

        if (fault) {
            snprintf(complaint->text, sizeof complaint->text, "subprotocols: %.*s %s",
                     (int)(word.len < 64 ? word.len : 64), (const char *)word.data, fault);
            return CW_EINVAL;
        }
    }
    return count > 0 ? CW_OK
                     : complain(complaint, CW_EINVAL, "subprotocols", "is empty; NULL is none");
}

static int check_origins(const char *text, struct cw_complaint *complaint)
{
    struct cw_span word;
    const char *fault = cw_http_origins_fault(text, &word);

    if (!fault) {
        return CW_OK;
    }
    snprintf(complaint->text, sizeof complaint->text, "origins: %.*s %s",
             (int)(word.len < 64 ? word.len : 64), (const char *)word.data, fault);
    return CW_EINVAL;
}

/* ---- texts of a client ---- */

/* As it stands in a request line (RFC 9112 §3.2.1). */
static int check_target(const char *text, struct cw_complaint *complaint)
{
    size_t len = strnlen(text, TARGET_MAX + 1);

    if (text[0] != '/') {
        return complain(complaint, CW_EINVAL, "target", "does not begin with a slash");
    }
    if (len > TARGET_MAX) {
        return complain(complaint, CW_EINVAL, "target", "is longer than 8192 bytes");
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] >= 0x7f || text[i] == '#') {
            return complain(complaint, CW_EINVAL, "target",
                            "holds a byte that has to be written as %XX, or a fragment");
        }
    }
    return CW_OK;
}

static int check_host(const char *text, struct cw_complaint *complaint)
{
    size_t len = strnlen(text, TEXT_MAX + 1);

    if (len == 0 || len > TEXT_MAX || !cw_http_is_value(cw_span_of(text, len)) ||
        strpbrk(text, " \t,/?#@\\\"")) {
        return complain(complaint, CW_EINVAL, "host", "is no host[:port]; NULL is the address");
    }
    return CW_OK;
}

bool cw_ws_is_own_field(struct cw_span name)
{
    static const char *const own[] = {"Host",
                                      "Upgrade",
                                      "Connection",
                                      "Keep-Alive",
                                      "Proxy-Connection",
                                      "Content-Length",
                                      "Transfer-Encoding",
                                      "Trailer",
                                      "TE",
                                      "Expect",
                                      "Sec-WebSocket-Key",
                                      "Sec-WebSocket-Version",
                                      "Sec-WebSocket-Protocol",
                                      "Sec-WebSocket-Extensions",
                                      "Sec-WebSocket-Accept"};

    for (size_t i = 0; i < COUNT(own); i++) {
        if (cw_http_equal(name, own[i])) {
            return true;
        }
    }
    return false;
}

static int check_field(const struct cw_http_pair *field, struct cw_complaint *complaint)
{
    struct cw_span name = cw_span_text(field->name);
    const char *fault = !cw_http_is_token(name)    ? "is no field's name"
                        : cw_ws_is_own_field(name) ? "is the handshake's own"
                        : !field->value || !cw_http_is_value(cw_span_text(field->value))
                            ? "has a value that is none"
                            : NULL;

    if (!fault) {
        return CW_OK;
    }
    snprintf(complaint->text, sizeof complaint->text, "fields: %.64s %s", field->name, fault);
    return CW_EINVAL;
}

/* size: of all texts with their ends. */
static int check_fields(const struct cw_http_pair *fields, size_t *count, size_t *size,
                        struct cw_complaint *complaint)
{
    *size = 0;
    for (*count = 0; fields[*count].name; (*count)++) {
        int error = *count < FIELDS_MAX ? check_field(&fields[*count], complaint) : CW_EINVAL;

        if (error == CW_OK) {
            *size += strlen(fields[*count].name) + strlen(fields[*count].value) + 2;
        }
        if (*count == FIELDS_MAX || *size > FIELDS_BYTES) {
            return complain(complaint, CW_EINVAL, "fields",
                            "more than 1000, or more than 65536 bytes");
        }
        if (error < 0) {
            return error;
        }
    }
    return CW_OK;
}

/* ---- all that are judged ---- */

static int check_texts(const struct cw_websocket_options *options, struct cw_complaint *complaint)
{
    int error = CW_OK;

    if (options->subprotocols) {
        error = check_subprotocols(options->subprotocols, complaint);
    } else if (options->subprotocol_required && !options->on_handshake) {
        error = complain(complaint, CW_EINVAL, "subprotocol_required",
                         "there are no subprotocols; name them, or choose in on_handshake");
    }
    if (error == CW_OK && options->origins) {
        error = check_origins(options->origins, complaint);
    }
    if (error == CW_OK && options->host) {
        error = check_host(options->host, complaint);
    }
    if (error == CW_OK && options->target) {
        error = check_target(options->target, complaint);
    }
    return error;
}

const char *cw_ws_foreign_member(const struct cw_websocket_options *options, enum cw_role role)
{
    if (role == CW_CLIENT) {
        return options->origins        ? "origins"
               : options->on_handshake ? "on_handshake"
               : options->http         ? "http"
                                       : NULL;
    }
    return options->host         ? "host"
           : options->target     ? "target"
           : options->fields     ? "fields"
           : options->on_request ? "on_request"
                                 : NULL;
}

/* ---- copies: what they were given may be gone when the call returns ---- */

/* The requests of bare connections: `http` of the options points to the first member. */
struct requests {
    struct cw_http_options options;
    struct cw_service_ref *service;
};

/* Ours, and const only for those who read it. */
static void *ours(const void *memory)
{
    void *own;

    memcpy(&own, &memory, sizeof own);
    return own;
}

struct cw_service_ref *cw_ws_requests(const struct cw_websocket_options *options)
{
    return ((struct requests *)ours(options->http))->service;
}

static int copy_http(struct cw_websocket_options *options, struct cw_complaint *complaint)
{
    struct cw_service service = cw_http_service(options->http, NULL, NULL);
    struct cw_complaint inner;
    struct requests *requests = cw_alloc(sizeof *requests);

    options->http = NULL;
    if (!requests) {
        return out_of_memory(complaint);
    }
    requests->service = cw_service_new(&service, &inner);
    if (!requests->service) {
        cw_release(requests);
        snprintf(complaint->text, sizeof complaint->text, "http.%.*s",
                 (int)sizeof complaint->text - 8, inner.text);
        return CW_EINVAL;
    }
    memcpy(&requests->options, cw_service_options(requests->service), sizeof requests->options);
    options->http = &requests->options;
    return CW_OK;
}

static char *put(char **room, const char *text)
{
    char *copy = *room;
    size_t size = strlen(text) + 1;

    memcpy(copy, text, size);
    *room += size;
    return copy;
}

/* One block: the list, and the texts behind it. */
static int copy_fields(struct cw_websocket_options *options, struct cw_complaint *complaint)
{
    const struct cw_http_pair *fields = options->fields;
    struct cw_http_pair *copy;
    size_t count;
    size_t size;
    char *room;
    int error;

    options->fields = NULL;
    error = check_fields(fields, &count, &size, complaint);
    if (error < 0) {
        return error;
    }
    copy = cw_alloc((count + 1) * sizeof *copy + size);
    if (!copy) {
        return out_of_memory(complaint);
    }
    room = (char *)(copy + count + 1);
    for (size_t i = 0; i < count; i++) {
        copy[i].name = put(&room, fields[i].name);
        copy[i].value = put(&room, fields[i].value);
    }
    copy[count] = (struct cw_http_pair){NULL, NULL};
    options->fields = copy;
    return CW_OK;
}

static const size_t texts[] = {AT(subprotocols), AT(origins), AT(host), AT(target)};

static const char **text_at(struct cw_websocket_options *options, size_t index)
{
    return (const char **)(void *)((char *)options + texts[index]);
}

static int copy_texts(struct cw_websocket_options *options, struct cw_complaint *complaint)
{
    const char *given[COUNT(texts)];

    for (size_t i = 0; i < COUNT(texts); i++) {
        given[i] = *text_at(options, i);
        *text_at(options, i) = NULL;
    }
    for (size_t i = 0; i < COUNT(texts); i++) {
        char *copy = given[i] ? cw_alloc(strlen(given[i]) + 1) : NULL;

        if (given[i] && !copy) {
            return out_of_memory(complaint);
        }
        if (copy) {
            memcpy(copy, given[i], strlen(given[i]) + 1);
        }
        *text_at(options, i) = copy;
    }
    return CW_OK;
}

void cw_ws_release_options(void *memory)
{
    struct cw_websocket_options *options = memory;
    struct requests *requests = ours(options->http);

    for (size_t i = 0; i < COUNT(texts); i++) {
        cw_release(ours(*text_at(options, i)));
    }
    cw_release(ours(options->fields));
    if (requests) {
        cw_service_free(requests->service);
    }
    cw_release(requests);
}

/* Without SHA-1 each handshake would fail: that is told before there is one. It is also at hand then, when many come at once. */
static int check_digest(struct cw_complaint *complaint)
{
    char accept[CW_WS_ACCEPT_TEXT];
    int error = cw_ws_accept_key(cw_span_text("dGhlIHNhbXBsZSBub25jZQ=="), accept);

    return error < 0 ? complain(complaint, error, "handshake", "this build has no SHA-1") : CW_OK;
}

int cw_ws_check_options(void *memory, struct cw_complaint *complaint)
{
    struct cw_websocket_options *options = memory;
    struct cw_websocket_options given = *options;
    int error = check_numbers(options, complaint);

    error = error < 0 ? error : check_texts(options, complaint);
    error = error < 0 ? error : check_digest(complaint);
    if (error < 0) {
        return error;
    }
    /* From here on what is in these members is ours, to be released. */
    options->http = NULL;
    options->fields = NULL;
    error = copy_texts(options, complaint);
    if (error == CW_OK && given.fields) {
        options->fields = given.fields;
        error = copy_fields(options, complaint);
    }
    if (error == CW_OK) {
        options->http = given.http;
        error = copy_http(options, complaint);
    }
    if (error < 0) {
        cw_ws_release_options(options);
    }
    return error;
}

/* ---- the section `websocket` of a configuration file ---- */

#define NUMBER(name, what, member, low, top)                                                       \
    {                                                                                              \
        .key = name, .kind = what, .offset = AT(member), .least = low, .most = top                 \
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
#define SWITCH(name, member)                                                                       \
    {                                                                                              \
        .key = name, .kind = CW_SETTING_SWITCH, .offset = AT(member)                               \
    }
#define TEXT(name, member)                                                                         \
    {                                                                                              \
        .key = name, .kind = CW_SETTING_TEXT, .offset = AT(member)                                 \
    }

const struct cw_setting cw_ws_settings[] = {
    OFF("ping_interval", CW_SETTING_DURATION, ping_interval_ms, YEAR_MS),
    OFF("pong_timeout", CW_SETTING_DURATION, pong_timeout_ms, YEAR_MS),
    UNLIMITED("max_frame_size", CW_SETTING_BYTES, message_max_bytes, TERABYTE),
    NUMBER("stream_above", CW_SETTING_BYTES, stream_above_bytes, 1, TERABYTE),
    NUMBER("buffer_size", CW_SETTING_BYTES, out_high_bytes, 1, TERABYTE),
    UNLIMITED("max_messages_size", CW_SETTING_BYTES, messages_max_bytes, TERABYTE),
    UNLIMITED("max_pings_per_second", CW_SETTING_COUNT, pings_per_second_max, 1u << 30),
    SWITCH("compression", compress),
    NUMBER("compression_threshold", CW_SETTING_BYTES, deflate.above_bytes, 1, TERABYTE),
    NUMBER("compression_level", CW_SETTING_COUNT, deflate.level, 1, 9),
    NUMBER("compression_window", CW_SETTING_COUNT, deflate.window_bits, 8, 15),
    NUMBER("compression_peer_window", CW_SETTING_COUNT, deflate.peer_window_bits, 8, 15),
    SWITCH("compression_keep", deflate.keep_context),
    SWITCH("compression_keep_peer", deflate.keep_peer_context),
    TEXT("origins", origins),
    TEXT("subprotocols", subprotocols),
    {.key = NULL},
};

/* ---- the public calls ---- */

struct cw_service cw_websocket_service(const struct cw_websocket_options *options,
                                       const struct cw_hooks *hooks, void *user)
{
    return (struct cw_service){&cw_websocket, options, hooks, user};
}
