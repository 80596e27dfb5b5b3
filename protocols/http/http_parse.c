/* Heads of requests and answers: their first lines, and what the fields say together about the message (RFC 9112 §3 to §6,
 * §9). The fields themselves are read in http_parse_fields.c. */
#include "http_parse_impl.h"
#include "http_target.h"

#include <string.h>

/* ---- a message under judgement ---- */

struct message {
    const uint8_t *data;
    size_t len;
    struct cw_http_head *head;
    uint32_t repeated;
    const char **why;
};

static int refuse(const struct message *message, int status, const char *why)
{
    *message->why = why;
    return status;
}

static const struct cw_http_line *first_of(const struct message *message, enum cw_http_known known)
{
    const struct cw_http_head *head = message->head;

    return head->first[known] == 0 ? NULL : &head->fields[head->first[known] - 1];
}

static bool came_again(const struct message *message, enum cw_http_known known)
{
    return (message->repeated & UINT32_C(1) << known) != 0;
}

/* ---- lists over all fields of a kind ---- */

struct elements {
    const struct message *message;
    size_t field; /* the next one to look at */
    enum cw_http_known known;
    struct cw_span rest;
};

static struct elements elements_of(const struct message *message, enum cw_http_known known)
{
    uint16_t first = message->head->first[known];

    return (struct elements){
        .message = message,
        .field = first == 0 ? message->head->field_count : (size_t)first - 1,
        .known = known,
    };
}

static bool next_field(struct elements *list)
{
    const struct cw_http_head *head = list->message->head;

    while (list->field < head->field_count) {
        const struct cw_http_line *field = &head->fields[list->field++];

        if (field->known == list->known && field->value_len > 0) {
            list->rest = cw_span_of(list->message->data + field->value, field->value_len);
            return true;
        }
    }
    return false;
}

/* The next element that is not empty. The lists that are looked at here are of tokens: no quoted commas. */
static bool next_element(struct elements *list, struct cw_span *element)
{
    do {
        if (list->rest.len == 0 && !next_field(list)) {
            return false;
        }
        const uint8_t *comma = memchr(list->rest.data, ',', list->rest.len);
        size_t len = comma == NULL ? list->rest.len : (size_t)(comma - list->rest.data);
        size_t used = comma == NULL ? len : len + 1;

        *element = cw_http_trimmed(list->rest.data, list->rest.data + len);
        list->rest = cw_span_of(list->rest.data + used, list->rest.len - used);
    } while (element->len == 0);
    return true;
}

#define SPAN_IS(span, text) cw_http_is((span).data, (span).len, text, sizeof text - 1)

/* ---- the request line ---- */

static uint8_t method_of(const uint8_t *method, size_t len)
{
    static const struct {
        char text[8];
        uint8_t known;
    } methods[] = {
        {"GET", CW_METHOD_GET},         {"POST", CW_METHOD_POST},       {"HEAD", CW_METHOD_HEAD},
        {"PUT", CW_METHOD_PUT},         {"DELETE", CW_METHOD_DELETE},   {"PATCH", CW_METHOD_PATCH},
        {"OPTIONS", CW_METHOD_OPTIONS}, {"CONNECT", CW_METHOD_CONNECT}, {"TRACE", CW_METHOD_TRACE},
    };
    char text[8] = {0};

    if (len >= sizeof text) {
        return CW_METHOD_OTHER;
    }
    for (size_t i = 0; i < len; i++) {
        text[i] = (char)method[i];
    }
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (memcmp(methods[i].text, text, sizeof text) == 0) {
            return methods[i].known;
        }
    }
    return CW_METHOD_OTHER;
}

/* Empty lines before the first one are passed over (RFC 9112 §2.2). */
static size_t skip_empty_lines(const struct message *message)
{
    size_t at = 0;

    while (at + 1 < message->len && message->data[at] == '\r' && message->data[at + 1] == '\n') {
        at += 2;
    }
    return at;
}

/* 11 for all of 1.1 to 1.9. 0: none of ours. */
static uint8_t version_of(const uint8_t *version)
{
    if (version[5] != '1') {
        return 0;
    }
    return version[7] == '0' ? 10 : 11;
}

/* RFC 9112 §3: method SP request-target SP HTTP-version. Returns the status of a refusal; *line_end: where its CR stands. */
static int read_request_line(const struct message *message, size_t *line_end)
{
    struct cw_http_head *head = message->head;
    size_t begin = skip_empty_lines(message);
    const uint8_t *line = message->data + begin;
    const uint8_t *cr = memchr(line, '\r', message->len - begin);
    size_t len = cr == NULL ? 0 : (size_t)(cr - line);
    size_t method = 0;

    if (!cw_http_ends_with_version(line, len)) {
        return refuse(message, 400, "not a request line: no version at its end");
    }
    while (cw_http_byte_is(line[method], CW_BYTE_TOKEN)) {
        method++;
    }
    size_t target = method + 1;
    size_t target_end = len - CW_VERSION_LEN - 1;
    if (method == 0 || line[method] != ' ' || target >= target_end) {
        return refuse(message, 400, "not a request line: no method, or no target");
    }
    if (memchr(line + target, ' ', target_end - target) != NULL ||
        memchr(line + target, '\t', target_end - target) != NULL) {
        return refuse(message, 400, "white space in the target, or more than one space beside it");
    }
    head->method = (uint32_t)begin;
    head->method_len = (uint32_t)method;
    head->known_method = method_of(line, method);
    head->target = (uint32_t)(begin + target);
    head->target_len = (uint32_t)(target_end - target);
    head->version = version_of(line + target_end + 1);
    *line_end = begin + len;
    return head->version == 0 ? refuse(message, 505, "a version of HTTP other than 1.x") : 0;
}

/* ---- the status line ---- */

/* RFC 9112 §4: HTTP-version SP status-code SP [ reason ]. Some servers leave out the last space, too. */
static int read_status_line(const struct message *message, size_t *line_end)
{
    size_t begin = skip_empty_lines(message);
    const uint8_t *line = message->data + begin;
    const uint8_t *cr = memchr(line, '\r', message->len - begin);
    size_t len = cr == NULL ? 0 : (size_t)(cr - line);
    const uint8_t *code = line + CW_VERSION_LEN + 1;

    if (len < CW_VERSION_LEN + 4 || memcmp(line, "HTTP/", 5) != 0 || line[6] != '.' ||
        !cw_http_is_digit(line[5]) || !cw_http_is_digit(line[7]) || code[-1] != ' ' ||
        !cw_http_all_digits(code, 3) || (len > CW_VERSION_LEN + 4 && code[3] != ' ')) {
        return refuse(message, -1, "not a status line");
    }
    message->head->status =
        (uint16_t)((code[0] - '0') * 100 + (code[1] - '0') * 10 + code[2] - '0');
    message->head->version = version_of(line);
    *line_end = begin + len;
    if (message->head->status < 100) {
        return refuse(message, -1, "a status below 100");
    }
    return message->head->version == 0 ? refuse(message, -1, "a version of HTTP other than 1.x")
                                       : 0;
}

/* ---- Host ---- */

/* Most hosts: a name without escapes, and perhaps a port that is surely below 65536. */
static bool is_plain_host(struct cw_span host)
{
    size_t len = 0;

    while (len < host.len && cw_http_byte_is(host.data[len], CW_BYTE_NAME)) {
        len++;
    }
    size_t port = host.len - len;
    if (port == 0) {
        return true;
    }
    return len > 0 && port >= 2 && port <= 5 && host.data[len] == ':' &&
           host.data[len + 1] != '0' && cw_http_all_digits(host.data + len + 1, port - 1);
}

/* RFC 9110 §7.2: uri-host [ ":" port ]. It may be empty: the target's authority may be. */
static bool is_host(struct cw_span host)
{
    struct cw_span name;

    return is_plain_host(host) || cw_http_parse_authority(host, &name, NULL) == 0;
}

/* RFC 9112 §3.2. */
static int judge_host(const struct message *message)
{
    const struct cw_http_line *host = first_of(message, CW_KNOWN_HOST);

    if (host == NULL) {
        return message->head->version == 10 ? 0 : refuse(message, 400, "no Host");
    }
    if (came_again(message, CW_KNOWN_HOST)) {
        return refuse(message, 400, "more than one Host");
    }
    return is_host(cw_span_of(message->data + host->value, host->value_len))
               ? 0
               : refuse(message, 400, "a malformed Host");
}

/* ---- how long the body is ---- */

/* There is a Transfer-Encoding that is not `chunked` alone. RFC 9112 §6.1: a coding that is not understood is 501; §6.3: a
 * body of which chunked is not the last coding has no end that can be known, which is 400. */
static int refuse_coding(const struct message *message)
{
    struct elements list = elements_of(message, CW_KNOWN_TRANSFER_ENCODING);
    struct cw_span coding;
    size_t count = 0;
    bool chunked = false;

    while (next_element(&list, &coding)) {
        count++;
        if (chunked) {
            return refuse(message, 400, "a Transfer-Encoding that goes on behind chunked");
        }
        chunked = SPAN_IS(coding, "chunked");
        if (!cw_http_all_are(coding, CW_BYTE_TOKEN)) {
            return refuse(message, 400, "a malformed Transfer-Encoding");
        }
    }
    if (count == 1 && chunked) {
        return refuse(message, 400, "a Transfer-Encoding with empty elements");
    }
    return chunked ? refuse(message, 501, "a transfer coding other than chunked")
                   : refuse(message, 400, "a Transfer-Encoding that does not end with chunked");
}

static int judge_coding(const struct message *message, const struct cw_http_line *coding)
{
    if (first_of(message, CW_KNOWN_CONTENT_LENGTH) != NULL) {
        return refuse(message, 400, "Content-Length beside Transfer-Encoding");
    }
    if (message->head->version == 10) {
        return refuse(message, 400, "Transfer-Encoding in HTTP/1.0");
    }
    message->head->chunked =
        !came_again(message, CW_KNOWN_TRANSFER_ENCODING) &&
        SPAN_IS(cw_span_of(message->data + coding->value, coding->value_len), "chunked");
    return message->head->chunked ? 0 : refuse_coding(message);
}

/* RFC 9112 §6.3. cw_http_read_fields has seen to it that the length is one number of at most 19 digits. */
static int judge_framing(const struct message *message)
{
    const struct cw_http_line *coding = first_of(message, CW_KNOWN_TRANSFER_ENCODING);
    const struct cw_http_line *length = first_of(message, CW_KNOWN_CONTENT_LENGTH);
    uint64_t sum = 0;

    if (coding != NULL) {
        return judge_coding(message, coding);
    }
    if (length == NULL) {
        return 0;
    }
    for (size_t i = 0; i < length->value_len; i++) {
        sum = sum * 10 + message->data[length->value + i] - '0';
    }
    message->head->content_length = sum;
    return sum <= INT64_MAX ? 0 : refuse(message, 400, "a Content-Length above 2^63");
}

/* ---- the connection, and what else is asked ---- */

/* RFC 9112 §9.3. Returns whether the fields name `upgrade`. */
static bool read_connection(const struct message *message)
{
    struct elements list = elements_of(message, CW_KNOWN_CONNECTION);
    struct cw_span option;
    bool close = false;
    bool keep = message->head->version == 11;
    bool upgrade = false;

    if (first_of(message, CW_KNOWN_CONNECTION) == NULL) {
        message->head->keep_alive = keep;
        return false;
    }
    while (next_element(&list, &option)) {
        close |= SPAN_IS(option, "close");
        keep |= SPAN_IS(option, "keep-alive");
        upgrade |= SPAN_IS(option, "upgrade");
    }
    message->head->keep_alive = keep && !close;
    return upgrade;
}

/* RFC 9110 §10.1.1: HTTP/1.0 does not know expectations. */
static int judge_expect(const struct message *message)
{
    struct cw_http_head *head = message->head;
    struct elements list = elements_of(message, CW_KNOWN_EXPECT);
    struct cw_span expectation;

    if (head->version == 10 || first_of(message, CW_KNOWN_EXPECT) == NULL) {
        return 0;
    }
    while (next_element(&list, &expectation)) {
        if (!SPAN_IS(expectation, "100-continue")) {
            return refuse(message, 417, "an Expect other than 100-continue");
        }
        head->expects_continue = head->chunked || head->content_length > 0;
    }
    return 0;
}

/* RFC 9110 §7.8: HTTP/1.0 does not upgrade. */
static void read_options(const struct message *message)
{
    struct cw_http_head *head = message->head;
    bool named = read_connection(message);

    head->upgrade = named && head->version == 11 && head->first[CW_KNOWN_UPGRADE] != 0;
}

/* ---- whole heads ---- */

static void clear(struct cw_http_head *head)
{
    struct cw_http_line *fields = head->fields;
    size_t cap = head->fields_cap;

    *head = (struct cw_http_head){.fields = fields, .fields_cap = cap};
}

int cw_http_parse_request(const uint8_t *data, size_t len, struct cw_http_head *head,
                          const char **why)
{
    struct message message = {.data = data, .len = len, .head = head, .why = why};
    size_t line_end = 0;

    clear(head);
    if (len > UINT32_MAX) {
        return refuse(&message, 431, "a head beyond all measure");
    }
    int status = read_request_line(&message, &line_end);
    if (status == 0) {
        status = cw_http_read_fields(data, line_end + 2, len, head, &message.repeated, why);
    }
    if (status == 0) {
        status = judge_host(&message);
    }
    if (status == 0) {
        status = judge_framing(&message);
    }
    if (status != 0) {
        return status;
    }
    read_options(&message);
    return judge_expect(&message);
}

/* RFC 9112 §6.3, points 1 and 2: answers that have no body, whatever their fields say. */
static bool has_no_body(int status, bool head_request, bool connect)
{
    return head_request || status < 200 || status == 204 || status == 304 ||
           (connect && status < 300);
}

static void settle_body(struct cw_http_head *head, bool none)
{
    if (none) {
        head->chunked = false;
        head->content_length = 0;
        return;
    }
    head->until_end = !head->chunked && head->first[CW_KNOWN_CONTENT_LENGTH] == 0;
    head->keep_alive = head->keep_alive && !head->until_end;
}

int cw_http_parse_response(const uint8_t *data, size_t len, bool head_request, bool connect,
                           struct cw_http_head *head, const char **why)
{
    struct message message = {.data = data, .len = len, .head = head, .why = why};
    size_t line_end = 0;

    clear(head);
    if (len > UINT32_MAX || read_status_line(&message, &line_end) != 0 ||
        cw_http_read_fields(data, line_end + 2, len, head, &message.repeated, why) != 0 ||
        judge_framing(&message) != 0) {
        return -1;
    }
    read_options(&message);
    settle_body(head, has_no_body(head->status, head_request, connect));
    return 0;
}

/* ---- trailers ---- */

/* RFC 9110 §6.5.1: what frames, routes, authenticates, or says what the content is. Known fields are all of that kind. */
static bool may_trail(const uint8_t *data, const struct cw_http_line *field)
{
    static const char *const refused[] = {
        "te",         "trailer",       "cache-control",       "content-encoding",
        "keep-alive", "content-range", "content-disposition", "content-location",
        "if-match",   "if-range",      "if-unmodified-since", "max-forwards",
        "pragma",     "set-cookie",    "proxy-authorization", "proxy-connection",
        "age",        "date",          "proxy-authenticate",  "www-authenticate",
        "expires",    "location",      "retry-after",         "vary",
        "warning",    "via",           "x-forwarded-host",    "x-forwarded-proto",
    };

    if (field->known != CW_KNOWN_COUNT) {
        return false;
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (cw_http_is(data + field->name, field->name_len, refused[i], strlen(refused[i]))) {
            return false;
        }
    }
    return true;
}

int cw_http_parse_trailers(const uint8_t *data, size_t len, struct cw_http_head *head,
                           const char **why)
{
    uint32_t repeated = 0;
    size_t kept = 0;

    clear(head);
    int status = len > UINT32_MAX ? 431 : cw_http_read_fields(data, 0, len, head, &repeated, why);
    if (status != 0) {
        return status;
    }
    for (size_t i = 0; i < head->field_count; i++) {
        if (may_trail(data, &head->fields[i])) {
            head->fields[kept++] = head->fields[i];
        }
    }
    head->field_count = kept;
    memset(head->first, 0, sizeof head->first);
    return 0;
}
