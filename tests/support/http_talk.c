#include "support/http_talk.h"
#include "support/wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

void rig_ask(struct rig_peer *peer, const char *head, struct cw_span body)
{
    rig_peer_send_text(peer, head);
    if (body.len > 0) {
        rig_peer_send(peer, body.data, body.len);
    }
}

void rig_post(struct rig_peer *peer, const char *target, const char *fields, struct cw_span body)
{
    char head[4096];
    int len =
        snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %zu\r\n\r\n",
                 target, fields, body.len);

    rig_check(len > 0 && (size_t)len < sizeof head);
    rig_ask(peer, head, body);
}

/* ---- answers ---- */

/* Up to and with this text. Returns the length. */
static size_t receive_until(struct rig_peer *peer, char *buffer, size_t cap, const char *end)
{
    size_t len = 0;

    do {
        rig_check(len + 1 < cap);
        rig_peer_receive(peer, buffer + len, 1);
        buffer[++len] = '\0';
    } while (len < strlen(end) || strcmp(buffer + len - strlen(end), end) != 0);
    return len;
}

static uint8_t *make_room(struct rig_answer *answer, size_t len)
{
    answer->body = realloc(answer->body, answer->len + len + 1);
    rig_check(answer->body != NULL);
    answer->body[answer->len + len] = '\0';
    answer->len += len;
    return answer->body + answer->len - len;
}

const char *rig_answer_field(const struct rig_answer *answer, const char *name)
{
    static char value[RIG_HEAD_MAX];
    size_t len = strlen(name);
    const char *line = strstr(answer->head, "\r\n");

    for (; line != NULL; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':') {
            const char *start = line + 3 + len + strspn(line + 3 + len, " ");
            snprintf(value, sizeof value, "%.*s", (int)strcspn(start, "\r"), start);
            return value;
        }
    }
    return NULL;
}

void rig_answer_read_head(struct rig_peer *peer, struct rig_answer *answer)
{
    *answer = (struct rig_answer){.status = 0};
    (void)receive_until(peer, answer->head, sizeof answer->head, "\r\n\r\n");
    rig_check(strncmp(answer->head, "HTTP/1.1 ", 9) == 0);
    answer->status = atoi(answer->head + 9);
    (void)make_room(answer, 0);
    if (answer->status == 100) {
        rig_answer_free(answer);
        rig_answer_read_head(peer, answer);
    }
}

size_t rig_answer_read_chunk(struct rig_peer *peer, struct rig_answer *answer)
{
    char line[64];

    (void)receive_until(peer, line, sizeof line, "\r\n");
    size_t len = strtoul(line, NULL, 16);
    if (len > 0) {
        rig_peer_receive(peer, make_room(answer, len), len);
    }
    rig_peer_expect(peer, "\r\n"); /* trailers are not sent to us */
    answer->chunks++;
    return len;
}

static void read_until_end(struct rig_peer *peer, struct rig_answer *answer)
{
    uint8_t piece[4096];
    ptrdiff_t n;

    while ((n = rig_peer_receive_some(peer, piece, sizeof piece)) > 0) {
        memcpy(make_room(answer, (size_t)n), piece, (size_t)n);
    }
    rig_check(n == 0);
}

void rig_answer_read(struct rig_peer *peer, bool has_body, struct rig_answer *answer)
{
    rig_answer_read_head(peer, answer);
    if (!has_body || answer->status == 204 || answer->status == 304) {
        return;
    }
    const char *length = rig_answer_field(answer, "Content-Length");
    if (length != NULL) {
        size_t len = strtoul(length, NULL, 10);
        rig_peer_receive(peer, make_room(answer, len), len);
    } else if (rig_answer_field(answer, "Transfer-Encoding") != NULL) {
        while (rig_answer_read_chunk(peer, answer) > 0) {}
    } else {
        read_until_end(peer, answer);
    }
}

void rig_answer_free(struct rig_answer *answer)
{
    free(answer->body);
    answer->body = NULL;
}

void rig_ask_once(uint16_t port, const char *request, struct cw_span body, struct rig_answer *answer)
{
    struct rig_peer peer = rig_peer_tcp(port);

    rig_ask(&peer, request, body);
    rig_answer_read(&peer, true, answer);
    rig_peer_close(&peer);
}

void rig_post_once(uint16_t port, const char *target, const char *fields, struct cw_span body,
                   struct rig_answer *answer)
{
    struct rig_peer peer = rig_peer_tcp(port);

    rig_post(&peer, target, fields, body);
    rig_answer_read(&peer, true, answer);
    rig_peer_close(&peer);
}
