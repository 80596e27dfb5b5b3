/* What applications and protocols ask of a connection and set on it. */
#include "conn_impl.h"

#include "address_impl.h"
#include "options.h"
#include "server_impl.h"
#include "tcp_options.h"
#include "timer_impl.h"

#include <causeway/log.h>

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

enum { TURN_BYTES = 16384 }; /* of a message that count as one more */

/* ---- sending ---- */

/* Datagrams that were larger than the stream or its path takes. */
static uint64_t refused_by_stream(const struct cw_loop *loop)
{
    return atomic_load_explicit(&loop->datagram_counters.dropped_too_big, memory_order_relaxed);
}

int cw_conn_send(struct cw_conn *conn, const struct cw_message *msg)
{
    struct cw_loop *loop = conn->loop;
    uint64_t before = refused_by_stream(loop);
    int queued;

    cw_loop_assert_thread(loop);
    if ((conn->flags & CW_CLOSING) || !(conn->flags & CW_PROTOCOL_OPEN)) {
        return CW_ECLOSED;
    }
    queued = conn->service->protocol->send(conn, cw_conn_state_of(conn), msg);
    if (queued >= 0 && msg->part <= CW_BEGIN) {
        conn->messages_out++;
        cw_count(&loop->counters.messages_out, 1);
    } else if (queued == CW_ETOOBIG && conn->datagram && refused_by_stream(loop) == before) {
        cw_count(&loop->datagram_counters.dropped_too_big, 1); /* the protocol has refused it */
    }
    return queued;
}

int cw_conn_send_bytes(struct cw_conn *conn, const void *data, size_t len)
{
    struct cw_message msg = cw_message_of(data, len);

    return cw_conn_send(conn, &msg);
}

int cw_conn_send_text(struct cw_conn *conn, const char *text)
{
    struct cw_message msg = cw_message_text(text);

    return cw_conn_send(conn, &msg);
}

int cw_conn_sendf(struct cw_conn *conn, const char *format, ...)
{
    char small[512];
    char *text = small;
    va_list args;
    int len;
    int queued;

    va_start(args, format);
    len = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (len < 0) {
        return CW_EINVAL;
    }
    if ((size_t)len >= sizeof small) {
        if ((size_t)len > conn->origin->limits.out_max) {
            return CW_ETOOBIG;
        }
        text = cw_alloc((size_t)len + 1);
        if (!text) {
            return CW_ENOMEM;
        }
        va_start(args, format);
        vsnprintf(text, (size_t)len + 1, format, args);
        va_end(args);
    }
    queued = cw_conn_send_text(conn, text);
    if (text != small) {
        cw_release(text);
    }
    return queued;
}

int cw_conn_send_json(struct cw_conn *conn, const struct cJSON *json)
{
    char *text = cJSON_PrintUnformatted(json);
    int queued;

    if (!text) {
        return CW_EINVAL;
    }
    queued = cw_conn_send_text(conn, text);
    cJSON_free(text);
    return queued;
}

/* ---- delivering ---- */

int cw_conn_proceed(const struct cw_conn *conn)
{
    return conn->flags & CW_STOP_MASK ? CW_STOP : CW_GO;
}

/* It has had its share of this turn: the others first. */
static void yield(struct cw_conn *conn)
{
    conn->flags |= CW_HELD_TURN;
    cw_conn_at_turn_end(conn, CW_TURN_READY);
}

/* A long message takes as much of a turn as its pieces would: few bytes may have been inflated to it. */
static void spend_turn(struct cw_conn *conn, size_t len)
{
    size_t spent = conn->turn_messages + 1 + len / TURN_BYTES;

    conn->turn_messages = (uint16_t)(spent < UINT16_MAX ? spent : UINT16_MAX);
    if (spent >= conn->origin->limits.messages_per_turn && !conn->datagram) {
        yield(conn);
    }
}

int cw_conn_deliver(struct cw_conn *conn, const struct cw_message *msg)
{
    struct cw_loop *loop = conn->loop;
    const struct cw_hooks *hooks = &conn->service->hooks;

    if (conn->flags & CW_CLOSING) {
        return conn->flags & CW_AWAIT_FINISH ? CW_GO : CW_STOP;
    }
    if ((conn->flags & CW_HAS_MIDDLEWARE) && cw_middleware_message(conn, msg) != CW_PASS) {
        return cw_conn_proceed(conn);
    }
    if (msg->part <= CW_BEGIN) {
        conn->messages_in++;
        cw_count(&loop->counters.messages_in, 1);
    }
    if (hooks->on_data) {
        hooks->on_data(conn, msg, conn->service->user);
    }
    spend_turn(conn, msg->body.len);
    return cw_conn_proceed(conn);
}

int cw_conn_count_message(struct cw_conn *conn)
{
    conn->messages_in++;
    cw_count(&conn->loop->counters.messages_in, 1);
    spend_turn(conn, 0);
    return cw_conn_proceed(conn);
}

void cw_conn_linger(struct cw_conn *conn)
{
    cw_loop_assert_thread(conn->loop);
    conn->flags |= CW_UNHEARD;
}

void cw_conn_let_peer_end(struct cw_conn *conn)
{
    cw_conn_linger(conn);
    if (cw_conn_extra(conn)) {
        conn->extra->peer_ends = true;
    }
}

/* ---- flow ---- */

static void hold(struct cw_conn *conn, uint32_t why)
{
    cw_loop_assert_thread(conn->loop);
    conn->flags |= why;
    if (conn != conn->loop->current) {
        cw_conn_update_events(conn);
    }
    cw_conn_schedule(conn);
}

static void unhold(struct cw_conn *conn, uint32_t why)
{
    cw_loop_assert_thread(conn->loop);
    if (!(conn->flags & why)) {
        return;
    }
    conn->flags &= ~why;
    conn->last_in = conn->loop->now; /* the peer could not be heard meanwhile */
    if (!(conn->flags & CW_CLOSING)) {
        cw_conn_at_turn_end(conn, CW_TURN_READY);
        cw_conn_schedule(conn);
    }
}

void cw_conn_pause(struct cw_conn *conn)
{
    hold(conn, CW_HELD_APP);
}

void cw_conn_resume(struct cw_conn *conn)
{
    unhold(conn, CW_HELD_APP);
}

void cw_conn_hold(struct cw_conn *conn)
{
    hold(conn, CW_HELD_PROTOCOL);
}

void cw_conn_unhold(struct cw_conn *conn)
{
    unhold(conn, CW_HELD_PROTOCOL);
}

static void on_pause_over(evutil_socket_t fd, short events, void *arg)
{
    struct cw_conn *conn = arg;

    (void)fd;
    (void)events;
    cw_loop_wake(conn->loop);
    unhold(conn, CW_HELD_RATE);
}

int cw_conn_pause_for(struct cw_conn *conn, uint64_t ms)
{
    struct timeval after = cw_timeval(ms);
    struct cw_conn_extra *extra = cw_conn_extra(conn);
    uint64_t now_ms = conn->loop->now_ms;
    uint64_t until_ms = ms < UINT64_MAX - now_ms ? now_ms + ms : UINT64_MAX;

    cw_loop_assert_thread(conn->loop);
    if (conn->flags & CW_CLOSING) {
        return CW_ECLOSED;
    }
    if (!extra) {
        return CW_ENOMEM;
    }
    if ((conn->flags & CW_HELD_RATE) && until_ms <= extra->paused_until_ms) {
        return CW_OK; /* another limit has asked for longer */
    }
    if (!extra->pause_timer) {
        extra->pause_timer = evtimer_new(conn->loop->base, on_pause_over, conn);
    }
    if (!extra->pause_timer || event_add(extra->pause_timer, &after) < 0) {
        return CW_ENOMEM;
    }
    extra->paused_until_ms = until_ms;
    hold(conn, CW_HELD_RATE);
    return CW_OK;
}

void cw_conn_want(struct cw_conn *conn, size_t bytes)
{
    if (cw_conn_extra(conn)) {
        conn->extra->want = bytes;
    } else {
        cw_conn_break_with(conn, CW_ENOMEM, 0, NULL);
    }
}

void cw_conn_set_message_open(struct cw_conn *conn, bool open)
{
    conn->flags = open ? conn->flags | CW_MESSAGE_OPEN : conn->flags & ~(uint32_t)CW_MESSAGE_OPEN;
}

/* ---- timers of a connection ---- */

static void unlink_timer(struct cw_conn_timer *timer)
{
    struct cw_conn_extra *extra = timer->conn->extra;
    struct cw_conn_timer **link = &extra->timers;

    while (*link != timer) {
        link = &(*link)->next;
    }
    *link = timer->next;
    extra->timer_count--;
}

static void on_conn_timer(evutil_socket_t fd, short events, void *arg)
{
    struct cw_conn_timer *timer = arg;
    struct cw_conn *conn = timer->conn;
    cw_conn_fn fn = timer->fn;
    void *user = timer->user;
    struct timeval again = cw_timeval(timer->every_ms);

    (void)fd;
    (void)events;
    cw_loop_wake(conn->loop);
    if (timer->every_ms == 0 || event_add(timer->event, &again) < 0) {
        unlink_timer(timer);
        event_free(timer->event);
        cw_release(timer);
    }
    if (!(conn->flags & CW_CLOSING)) {
        fn(conn, user);
    }
}

int cw_conn_after(struct cw_conn *conn, uint64_t after_ms, uint64_t every_ms, cw_conn_fn fn,
                  void *user)
{
    struct timeval after = cw_timeval(after_ms);
    struct cw_conn_timer *timer;

    cw_loop_assert_thread(conn->loop);
    if (conn->flags & CW_CLOSING) {
        return CW_ECLOSED;
    }
    if (!cw_conn_extra(conn)) {
        return CW_ENOMEM;
    }
    if (conn->extra->timer_count >= CW_CONN_TIMERS_MAX) {
        return CW_EFULL;
    }
    timer = cw_alloc_zero(sizeof *timer);
    if (!timer) {
        return CW_ENOMEM;
    }
    timer->event = evtimer_new(conn->loop->base, on_conn_timer, timer);
    if (!timer->event || event_add(timer->event, &after) < 0) {
        if (timer->event) {
            event_free(timer->event);
        }
        cw_release(timer);
        return CW_ENOMEM;
    }
    timer->conn = conn;
    timer->fn = fn;
    timer->user = user;
    timer->every_ms = every_ms;
    timer->next = conn->extra->timers;
    conn->extra->timers = timer;
    conn->extra->timer_count++;
    return CW_OK;
}

/* ---- who and where ---- */

uint64_t cw_conn_id(const struct cw_conn *conn)
{
    uint32_t generation = cw_slots_at(&conn->loop->slots, conn->slot)->generation;

    return (uint64_t)generation << 32 | (uint64_t)conn->loop->worker << 24 | conn->slot;
}

struct cw_conn *cw_loop_conn(struct cw_loop *loop, uint64_t conn_id)
{
    struct cw_conn *conn;

    cw_loop_assert_thread(loop);
    if ((conn_id >> 24 & 0xff) != loop->worker) {
        return NULL;
    }
    conn = cw_slots_find(&loop->slots, (uint32_t)(conn_id & 0xffffff), (uint32_t)(conn_id >> 32));
    return conn && !(conn->flags & CW_TOLD) ? conn : NULL;
}

struct cw_server *cw_conn_server(const struct cw_conn *conn)
{
    return conn->loop->server;
}

struct cw_loop *cw_conn_loop(const struct cw_conn *conn)
{
    return conn->loop;
}

const struct cw_address *cw_conn_peer(const struct cw_conn *conn)
{
    return &conn->peer;
}

int cw_conn_local(const struct cw_conn *conn, struct cw_address *address)
{
    struct sockaddr_storage storage;
    socklen_t len = sizeof storage;

    if (conn->datagram) {
        return cw_datagram_local(conn, address);
    }
    if (getsockname(cw_conn_fd_of(conn), (struct sockaddr *)&storage, &len) < 0) {
        return CW_ECLOSED;
    }
    return cw_address_from_sockaddr((const struct sockaddr *)&storage, len, address);
}

void *cw_conn_service_user(const struct cw_conn *conn)
{
    return conn->service->user;
}

void *cw_conn_user(const struct cw_conn *conn)
{
    return conn->user;
}

void cw_conn_set_user(struct cw_conn *conn, void *user)
{
    conn->user = user;
}

int cw_conn_fd(const struct cw_conn *conn)
{
    const struct cw_datagram_socket *socket = conn->datagram ? conn->peer_link.socket : NULL;

    return socket ? cw_datagram_socket_fd(socket) : cw_conn_fd_of(conn);
}

void *cw_conn_state(struct cw_conn *conn)
{
    return cw_conn_state_of(conn);
}

const void *cw_conn_options(const struct cw_conn *conn)
{
    return conn->service->options;
}

bool cw_conn_end_is_proven(const struct cw_conn *conn)
{
    return !conn->stream->ops->end_is_proven || conn->stream->ops->end_is_proven(conn);
}

bool cw_conn_is_encrypted(const struct cw_conn *conn)
{
    return conn->stream != &cw_stream_plain && conn->stream != &cw_stream_datagram &&
           !(conn->flags & CW_SECURING);
}

bool cw_conn_is_trusted(const struct cw_conn *conn)
{
    struct cw_server *server = conn->loop->server;

    return conn->origin->role == CW_SERVER && server &&
           ((conn->flags & CW_EXEMPT) || cw_server_trusts(server, &conn->peer));
}

enum cw_role cw_conn_role(const struct cw_conn *conn)
{
    return conn->origin->role;
}

const struct cw_protocol *cw_conn_protocol(const struct cw_conn *conn)
{
    return conn->service->protocol;
}

struct cw_service_ref *cw_conn_service(const struct cw_conn *conn)
{
    return conn->service;
}

/* ---- settings ---- */

void cw_conn_set_idle(struct cw_conn *conn, uint64_t idle_ms)
{
    cw_loop_assert_thread(conn->loop);
    if (cw_conn_extra(conn)) {
        conn->extra->idle = idle_ms == 0 ? CW_TICKS_ORIGIN : cw_ticks(idle_ms);
        cw_conn_schedule(conn);
    }
}

void cw_conn_set_read(struct cw_conn *conn, uint64_t read_ms)
{
    cw_loop_assert_thread(conn->loop);
    if (cw_conn_extra(conn)) {
        conn->extra->read = read_ms == 0 ? CW_TICKS_ORIGIN : cw_ticks(read_ms);
        cw_conn_schedule(conn);
    }
}

int cw_conn_set_tcp(struct cw_conn *conn, const struct cw_tcp_options *options)
{
    struct cw_complaint complaint;

    if (conn->event.ev_fd < 0) {
        return CW_ESTATE;
    }
    if (cw_tcp_options_check(options, &complaint) < 0) {
        return CW_EINVAL;
    }
    return cw_tcp_options_apply(cw_conn_fd_of(conn), options, conn->peer.family != CW_UNIX);
}

/* ---- figures ---- */

void cw_conn_count_dropped(struct cw_conn *conn)
{
    cw_count(&conn->loop->counters.messages_dropped, 1);
    if (cw_conn_extra(conn)) {
        conn->extra->messages_dropped++;
    }
}

void cw_conn_stats(const struct cw_conn *conn, struct cw_conn_stats *stats)
{
    const struct cw_loop *loop = conn->loop;
    uint32_t last = (int32_t)(conn->last_in - conn->last_out) > 0 ? conn->last_in : conn->last_out;

    *stats = (struct cw_conn_stats){
        .connected_at_ms = loop->wall_epoch_ms + (uint64_t)conn->connected * CW_TICK_MS,
        .idle_ms = (uint64_t)(uint32_t)(loop->now - last) * CW_TICK_MS,
        .silent_ms = (uint64_t)(uint32_t)(loop->now - conn->last_in) * CW_TICK_MS,
        .bytes_in = conn->bytes_in,
        .bytes_out = conn->bytes_out,
        .messages_in = conn->messages_in,
        .messages_out = conn->messages_out,
        .messages_dropped = conn->extra ? conn->extra->messages_dropped : 0,
        .queued_bytes = conn->out ? conn->out->bytes : 0,
    };
}

size_t cw_loop_each_conn(struct cw_loop *loop, cw_conn_fn fn, void *user)
{
    uint32_t end = loop->slots.block_count * CW_SLOT_BLOCK;
    size_t count = 0;

    cw_loop_assert_thread(loop);
    for (uint32_t slot = 0; slot < end; slot++) {
        struct cw_conn *conn = cw_slots_at(&loop->slots, slot)->conn;

        if (conn && (conn->flags & CW_OPENED) && !(conn->flags & CW_CLOSING)) {
            fn(conn, user);
            count++;
        }
    }
    return count;
}
