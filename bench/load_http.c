/* The load program's HTTP: requests, and answers judged without much ado.
 *
 * An answer is parsed once; those behind it that are the same but for Date are only compared. Any other is
 * parsed as the first was.
 *
 * Requests that vary have a number of fixed width that no other request of the run has. */
#include "load_impl.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DATE_LEN = 29 };

static const char body_text[] = "Hello, world!";
static const size_t body_len = sizeof body_text - 1;

static const char small_request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

#define BROWSER(session)                                                                              \
    "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\n" \
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "             \
    "Chrome/120.0.0.0 Safari/537.36\r\n"                                                              \
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"                     \
    "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-GB,en;q=0.9\r\n"                       \
    "Cookie: session=" session "\r\n\r\n"

static const char browser_request[] = BROWSER("4f6b1a2c9d8e");

static const char varied_request[] = "GET /?n=" HTTP_VARIED " HTTP/1.1\r\nHost: localhost\r\n\r\n";

/* The same page for many: what differs is deep in the head. */
static const char varied_browser_request[] = BROWSER(HTTP_VARIED);

const char *http_request(const char *name)
{
    static const struct {
        const char *name;
        const char *request;
    } known[] = {{"small", small_request},
                 {"browser", browser_request},
                 {"varied", varied_request},
                 {"varied-browser", varied_browser_request}};

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(name, known[i].name) == 0)
            return known[i].request;
    }
    return NULL;
}

void http_vary(uint8_t *at, uint32_t index, uint32_t seq)
{
    uint64_t number = (uint64_t)index << 32 | seq;

    for (size_t i = HTTP_VARIED_LEN; i-- > 0; number >>= 4)
        at[i] = (uint8_t) "0123456789abcdef"[number & 15];
}

const char *http_field(const char *head, size_t head_len, const char *name)
{
    size_t name_len = strlen(name);
    const char *end = head + head_len;

    for (const char *line = head; line != NULL && line + name_len < end;) {
        if (strncasecmp(line, name, name_len) == 0)
            return line + name_len + strspn(line + name_len, " ");
        line = memchr(line, '\n', (size_t)(end - line));
        line = line != NULL ? line + 1 : NULL;
    }
    return NULL;
}

static bool remember(struct http_answer *answer, const uint8_t *data, size_t head_len)
{
    const char *head = (const char *)data;
    const char *length = http_field(head, head_len, "Content-Length:");
    const char *date = http_field(head, head_len, "Date:");

    if (head_len > sizeof answer->head || memcmp(head, "HTTP/1.1 200 ", 13) != 0 ||
        length == NULL || strtoul(length, NULL, 10) != body_len)
        return false;
    memcpy(answer->head, head, head_len);
    answer->head_len = head_len;
    answer->wire_len = head_len + body_len;
    answer->date_at = date != NULL ? (size_t)(date - head) : 0;
    return true;
}

static bool is_like(const struct http_answer *answer, const uint8_t *data)
{
    size_t date = answer->date_at;
    size_t behind = date > 0 ? date + DATE_LEN : 0;

    return memcmp(data, answer->head, date) == 0 &&
           memcmp(data + behind, answer->head + behind, answer->head_len - behind) == 0;
}

/* Bytes of the answer at the beginning of data; 0: it is not whole yet; -1: it is wrong. */
static int64_t take(struct http_answer *answer, const uint8_t *data, size_t len)
{
    if (answer->wire_len == 0 || len < answer->wire_len || !is_like(answer, data)) {
        const uint8_t *end = memmem(data, len, "\r\n\r\n", 4);
        if (end == NULL)
            return len < CONN_KEPT_MAX ? 0 : -1;
        if (!remember(answer, data, (size_t)(end + 4 - data)))
            return -1;
        if (len < answer->wire_len)
            return 0;
    }
    bool right = memcmp(data + answer->head_len, body_text, body_len) == 0;
    return right ? (int64_t)answer->wire_len : -1;
}

int64_t http_take_all(struct load *load, struct conn *conn, const uint8_t *data, size_t len)
{
    int64_t completed = 0;

    while (len > 0) {
        int64_t used = take(&load->answer, data, len);
        if (used < 0)
            return -1;
        if (used == 0)
            break;
        data += used;
        len -= (size_t)used;
        load->on_message(load, conn);
        conn->in_seq++;
        completed++;
    }
    return conn_keep(conn, data, len) ? completed : -1;
}
