/* The load program's connections: opening, sending, receiving, comparing. */
#include "load_impl.h"
#include "load_tls.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

enum {
    IN_BYTES = 256 * 1024,
    OUT_BYTES = 256 * 1024,
    OPENING_MAX = 64,
    PORTS_PER_ADDRESS = 25000,
    COMPLAINTS_MAX = 5,
};

static const uint64_t open_limit_ns = 80000000000u;

uint32_t load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

static void store_be32(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 24);
    p[1] = (uint8_t)(value >> 16);
    p[2] = (uint8_t)(value >> 8);
    p[3] = (uint8_t)value;
}

void load_fill_head(const struct load *load, uint8_t *head, uint32_t index, uint32_t seq)
{
    uint8_t full[HEAD_MAX];
    size_t at = load->shape.length_len;

    store_be32(full, load->options.size);
    store_be32(full + at, index);
    store_be32(full + at + 4, seq);
    memcpy(head, full, load->shape.head_len);
}

static bool prepare_pattern(struct load *load)
{
    struct shape *shape = &load->shape;
    size_t whole_head = shape->length_len + 8;

    if (load->options.ws != NULL)
        return ws_prepare(load);
    if (load->options.http != NULL) {
        const char *varied = strstr(load->options.http, HTTP_VARIED);
        shape->wire_len = load->options.size = (uint32_t)strlen(load->options.http);
        shape->varied_at = varied != NULL ? (size_t)(varied - load->options.http) : 0;
    } else {
        shape->wire_len = shape->length_len + load->options.size;
        shape->head_len = shape->wire_len < whole_head ? shape->wire_len : whole_head;
    }
    shape->pattern = malloc(shape->wire_len);
    if (shape->pattern == NULL)
        return false;
    for (size_t i = 0; i < shape->wire_len; i++)
        shape->pattern[i] = (uint8_t)(i * 31 + i / 256 + 7);
    if (load->options.http != NULL)
        memcpy(shape->pattern, load->options.http, shape->wire_len);
    return true;
}

static bool prepare_out(struct shape *shape, uint32_t depth)
{
    shape->out_messages = (uint32_t)(OUT_BYTES / shape->wire_len);
    if (shape->out_messages > depth)
        shape->out_messages = depth;
    if (shape->out_messages == 0)
        shape->out_messages = 1;
    shape->out = malloc(shape->wire_len * shape->out_messages);
    for (size_t i = 0; shape->out != NULL && i < shape->out_messages; i++)
        memcpy(shape->out + i * shape->wire_len, shape->pattern, shape->wire_len);
    return shape->out != NULL;
}

bool load_init(struct load *load)
{
    uint32_t depth = load->options.depth;

    assert(load->options.connections > 0);
    assert(depth > 0);
    load->in = malloc(IN_BYTES);
    load->conns = calloc(load->options.connections, sizeof *load->conns);
    if (load->in == NULL || load->conns == NULL || !prepare_pattern(load))
        return false;
    for (uint32_t i = 0; i < ws_shapes(load); i++) {
        if (!prepare_out(ws_shape(load, i), depth))
            return false;
    }
    for (uint32_t i = 0; i < load->options.connections; i++) {
        struct conn *conn = &load->conns[i];
        conn->index = i;
        conn->fd = -1;
        conn->shape = ws_shape(load, i);
        conn->asked_ns = calloc(depth, sizeof *conn->asked_ns);
        if (conn->asked_ns == NULL)
            return false;
    }
    return true;
}

void load_release(struct load *load)
{
    for (uint32_t i = 0; load->conns != NULL && i < load->options.connections; i++) {
        free(load->conns[i].asked_ns);
        free(load->conns[i].kept);
    }
    free(load->conns);
    free(load->in);
    free(load->shape.out);
    free(load->shape.pattern);
    ws_release();
}

static void watch(const struct load *load, struct conn *conn, int op, uint32_t wanted)
{
    struct epoll_event event = {.events = wanted, .data.ptr = conn};

    conn->wants_writable = (wanted & EPOLLOUT) != 0;
    epoll_ctl(load->epoll, op, conn->fd, &event);
}

void conn_close(struct load *load, struct conn *conn)
{
    if (conn->phase == CONN_CLOSED)
        return;
    if (conn->phase == CONN_OPEN)
        load->open_count--;
    conn->phase = CONN_CLOSED;
    tls_end(conn);
    close(conn->fd);
    conn->fd = -1;
}

void conn_fail(struct load *load, struct conn *conn, const char *why)
{
    if (load->errors++ < COMPLAINTS_MAX)
        fprintf(stderr, "load: connection %u, message %u: %s\n", conn->index, conn->in_seq, why);
    load->failed_count++;
    conn_close(load, conn);
}

static void conn_opened(struct load *load, struct conn *conn)
{
    conn->phase = CONN_OPEN;
    load->open_count++;
    histogram_add(&load->setup, clock_ns() - conn->began_ns);
}

static ssize_t wire_send(struct conn *conn, const uint8_t *bytes, size_t len)
{
    return conn->tls != NULL ? tls_send(conn, bytes, len)
                             : send(conn->fd, bytes, len, MSG_NOSIGNAL);
}

static ssize_t wire_recv(struct conn *conn, uint8_t *bytes, size_t cap)
{
    return conn->tls != NULL ? tls_recv(conn, bytes, cap) : recv(conn->fd, bytes, cap, 0);
}

static void conn_established(struct load *load, struct conn *conn)
{
    if (load->options.ws != NULL && conn->phase != CONN_UPGRADING) {
        size_t len;
        const uint8_t *request = ws_request(&len);
        conn->phase = CONN_UPGRADING;
        if (wire_send(conn, request, len) != (ssize_t)len)
            conn_fail(load, conn, "the request was not taken");
        return;
    }
    if (load->options.mode == LOAD_ROOMS || load->options.mode == LOAD_BROADCAST) {
        conn_opened(load, conn);
        return;
    }
    conn->phase = CONN_GREETING;
    conn_send(load, conn, 1);
}

static void conn_handshake(struct load *load, struct conn *conn)
{
    int done = tls_handshake(conn);

    if (done < 0) {
        conn_fail(load, conn, "TLS handshake failed");
        return;
    }
    if (done == 0)
        return;
    if (load->tls_text[0] == '\0')
        tls_describe(conn, load->tls_text, sizeof load->tls_text);
    conn_established(load, conn);
}

/* One address has 28,000 ports at most: more connections come from more addresses. */
static int source_bind(const struct load *load, const struct conn *conn)
{
    struct sockaddr_in source = {.sin_family = AF_INET};
    int on = 1;

    if (load->options.connections <= PORTS_PER_ADDRESS)
        return 0;
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + conn->index / PORTS_PER_ADDRESS);
    setsockopt(conn->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    return bind(conn->fd, (struct sockaddr *)&source, sizeof source);
}

void conn_begin(struct load *load, struct conn *conn)
{
    const struct sockaddr_in *address = &load->options.address;
    int on = 1;

    conn->asked = conn->out_seq = conn->in_seq = 0;
    conn->out_at = conn->in_at = conn->kept_len = 0;
    conn->began_ns = clock_ns();
    conn->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        conn_fail(load, conn, strerror(errno));
        return;
    }
    conn->phase = CONN_CONNECTING;
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (source_bind(load, conn) != 0 ||
        (connect(conn->fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
         errno != EINPROGRESS)) {
        conn_fail(load, conn, strerror(errno));
        return;
    }
    watch(load, conn, EPOLL_CTL_ADD, EPOLLOUT);
}

bool conn_keep(struct conn *conn, const uint8_t *data, size_t len)
{
    conn->kept_len = len;
    if (len == 0)
        return true;
    if (conn->kept == NULL)
        conn->kept = malloc(CONN_KEPT_MAX);
    if (conn->kept == NULL || len > CONN_KEPT_MAX)
        return false;
    memcpy(conn->kept, data, len);
    return true;
}

/* Returns the number of messages laid into the out buffer, the one half sent first. */
static uint32_t lay_out(const struct load *load, const struct conn *conn)
{
    void (*vary)(uint8_t *, uint32_t, uint32_t) = load->options.ws != NULL ? ws_vary : http_vary;
    const struct shape *shape = conn->shape;
    uint32_t count = conn->asked - conn->out_seq;

    if (count > shape->out_messages)
        count = shape->out_messages;
    for (uint32_t i = 0; i < count && shape->head_len > 0; i++)
        load_fill_head(load, shape->out + i * shape->wire_len, conn->index, conn->out_seq + i);
    for (uint32_t i = 0; i < count && shape->varied_at > 0; i++)
        vary(shape->out + i * shape->wire_len + shape->varied_at, conn->index, conn->out_seq + i);
    return count;
}

static void conn_flush(struct load *load, struct conn *conn)
{
    const struct shape *shape = conn->shape;

    while (conn->out_seq != conn->asked) {
        size_t len = lay_out(load, conn) * shape->wire_len - conn->out_at;
        ssize_t sent = wire_send(conn, shape->out + conn->out_at, len);
        if (sent < 0 && errno != EAGAIN) {
            conn_fail(load, conn, strerror(errno));
            return;
        }
        size_t done = conn->out_at + (sent > 0 ? (size_t)sent : 0);
        conn->out_seq += (uint32_t)(done / shape->wire_len);
        conn->out_at = done % shape->wire_len;
        if (sent < (ssize_t)len) {
            if (!conn->wants_writable)
                watch(load, conn, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return;
        }
    }
    if (conn->wants_writable)
        watch(load, conn, EPOLL_CTL_MOD, EPOLLIN);
}

void conn_send(struct load *load, struct conn *conn, uint32_t count)
{
    bool waiting = conn->out_seq != conn->asked;

    if (conn->phase == CONN_CLOSED)
        return;
    for (uint32_t i = 0; i < count; i++)
        conn->asked_ns[conn->asked++ % load->options.depth] = load->now_ns;
    if (!waiting)
        conn_flush(load, conn);
}

/* Takes up to `len` bytes of the message under way; returns how many, 0 when they are wrong. */
static size_t take(struct load *load, struct conn *conn, const uint8_t *data, size_t len)
{
    const struct shape *shape = &load->shape;
    size_t at = conn->in_at;

    if (at < shape->head_len) {
        size_t head = shape->head_len - at < len ? shape->head_len - at : len;
        memcpy(conn->in_head + at, data, head);
        conn->in_at += head;
        return head;
    }
    size_t body = shape->wire_len - at < len ? shape->wire_len - at : len;
    if (memcmp(data, shape->pattern + at, body) != 0)
        return 0;
    conn->in_at += body;
    return body;
}

/* Returns the number of messages completed; -1 when something was not as sent. */
static int64_t take_all(struct load *load, struct conn *conn, const uint8_t *data, size_t len)
{
    int64_t completed = 0;

    while (len > 0) {
        size_t used = take(load, conn, data, len);
        if (used == 0)
            return -1;
        data += used;
        len -= used;
        if (conn->in_at < load->shape.wire_len)
            continue;
        if (!load->on_message(load, conn))
            return -1;
        conn->in_at = 0;
        conn->in_seq++;
        completed++;
    }
    return completed;
}

/* The same for all kinds of load, the answer to a handshake before them. */
static int64_t take_any(struct load *load, struct conn *conn, const uint8_t *data, size_t len)
{
    if (conn->phase == CONN_UPGRADING) {
        int64_t head_len = ws_take_head(load, data, len);
        if (head_len <= 0)
            return head_len == 0 && conn_keep(conn, data, len) ? 0 : -1;
        conn->kept_len = 0;
        conn_established(load, conn);
        data += head_len;
        len -= (size_t)head_len;
    }
    if (load->options.ws != NULL)
        return ws_take_all(load, conn, data, len);
    if (load->options.http != NULL)
        return http_take_all(load, conn, data, len);
    return take_all(load, conn, data, len);
}

/* No event announces what TLS has read already: a full buffer is followed by another read. */
static uint32_t conn_receive(struct load *load, struct conn *conn)
{
    int64_t total = 0;
    ssize_t got;

    do {
        size_t kept = conn->kept_len;
        if (kept > 0)
            memcpy(load->in, conn->kept, kept);
        got = wire_recv(conn, load->in + kept, IN_BYTES - kept);
        if (got < 0 && errno == EAGAIN)
            break;
        if (got <= 0) {
            conn_fail(load, conn, got == 0 ? "closed by the peer" : strerror(errno));
            return 0;
        }
        int64_t completed = take_any(load, conn, load->in, kept + (size_t)got);
        if (completed < 0) {
            conn_fail(load, conn, "reply differs from what was expected");
            return 0;
        }
        total += completed;
    } while (got == IN_BYTES);
    if (conn->phase == CONN_GREETING && total > 0)
        conn_opened(load, conn);
    return (uint32_t)total;
}

static void conn_connected(struct load *load, struct conn *conn)
{
    int error = 0;
    socklen_t error_len = sizeof error;

    getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &error_len);
    if (error != 0) {
        conn_fail(load, conn, strerror(error));
        return;
    }
    watch(load, conn, EPOLL_CTL_MOD, EPOLLIN);
    if (!load->options.tls) {
        conn_established(load, conn);
        return;
    }
    conn->phase = CONN_HANDSHAKING;
    if (tls_begin(conn))
        conn_handshake(load, conn);
    else
        conn_fail(load, conn, "memory ran out");
}

uint32_t conn_serve(struct load *load, struct conn *conn, uint32_t ready)
{
    if (conn->phase == CONN_CLOSED)
        return 0;
    if (conn->phase == CONN_CONNECTING) {
        conn_connected(load, conn);
        return 0;
    }
    if (conn->phase == CONN_HANDSHAKING) {
        conn_handshake(load, conn);
        return 0;
    }
    if ((ready & EPOLLOUT) != 0)
        conn_flush(load, conn);
    if (conn->phase == CONN_CLOSED || (ready & ~(uint32_t)EPOLLOUT) == 0)
        return 0;
    return conn_receive(load, conn);
}

bool load_open_all(struct load *load)
{
    struct epoll_event events[OPENING_MAX];
    uint32_t count = load->options.connections;
    uint32_t begun = 0;
    uint64_t began_ns = clock_ns();

    while (load->open_count + load->failed_count < count) {
        while (begun < count && begun - load->open_count - load->failed_count < OPENING_MAX)
            conn_begin(load, &load->conns[begun++]);
        int ready = epoll_wait(load->epoll, events, OPENING_MAX, 100);
        load->now_ns = clock_ns();
        for (int i = 0; i < ready; i++)
            conn_serve(load, events[i].data.ptr, events[i].events);
        if (load->now_ns - began_ns > open_limit_ns)
            break;
    }
    load->opened_ns = clock_ns() - began_ns;
    if (load->open_count == count)
        return true;
    fprintf(stderr, "load: %u of %u connections opened\n", load->open_count, count);
    return false;
}

void load_close_all(struct load *load)
{
    for (uint32_t i = 0; i < load->options.connections; i++)
        conn_close(load, &load->conns[i]);
}
