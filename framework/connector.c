/* Clients: connect, hold the connection, try again. */
#include "connector_impl.h"

#include "conn_impl.h"
#include "options.h"
#include "report.h"
#include "server_impl.h"
#include "timer_impl.h"
#include "tls/tls.h"

#include <causeway/log.h>

#include <assert.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

/* waiting ─► connecting ─► handshaking ─► open ─► waiting …; the end is from everywhere. */
enum client_phase {
    CLIENT_WAITING,     /* for its turn, or until a pause is over */
    CLIENT_CONNECTING,  /* `dial` is set */
    CLIENT_HANDSHAKING, /* `conn` is set */
    CLIENT_OPEN,        /* `conn` is set, and on_connection has run */
};

struct cw_client {
    struct cw_client *next;
    struct cw_client **link; /* what points here */
    struct cw_client *table_next;
    struct cw_loop *loop;
    int64_t id;
    struct cw_target *target;
    struct cw_origin *origin;
    struct cw_client_watcher *watcher; /* NULL: cw_connect made it */
    enum client_phase phase;
    struct event timer;
    struct cw_dial *dial;
    struct cw_conn *conn;
    struct cw_address behind; /* the next attempt begins behind it */
    uint64_t failures;        /* in a row */
    uint64_t began_ms;        /* the attempt */
    uint64_t opened_ms;
};

/* ---- targets ---- */

static int check_local(struct cw_target *target, const char *local_host,
                       struct cw_complaint *complaint)
{
    if (!local_host) {
        return CW_OK;
    }
    if (target->endpoint.unix_path[0]) {
        snprintf(complaint->text, sizeof complaint->text,
                 "local_host and a unix path exclude each other");
        return CW_EINVAL;
    }
    if (cw_address_parse(local_host, &target->local) < 0) {
        snprintf(complaint->text, sizeof complaint->text, "local_host: %.60s is not an address",
                 local_host);
        return CW_EINVAL;
    }
    if (target->numeric.family != CW_FAMILY_NONE && target->numeric.family != target->local.family) {
        snprintf(complaint->text, sizeof complaint->text,
                 "local_host is of another family than the address");
        return CW_EINVAL;
    }
    return CW_OK;
}

static int make_tls(struct cw_target *target, struct cw_complaint *complaint)
{
    struct cw_tls_setup setup = {.options = target->options.tls,
                                 .role = CW_CLIENT,
                                 .host = target->endpoint.host[0] ? target->endpoint.host : NULL,
                                 .datagram = target->is_datagram};
    int error = CW_OK;

    target->tls = cw_tls_new(&setup, complaint, &error);
    target->options.tls = NULL; /* the caller's */
    return target->tls ? CW_OK : error;
}

/* Options that only the other transport has. */
static int check_transport(const struct cw_target *target, const struct cw_connect_options *given,
                           struct cw_complaint *complaint)
{
    const char *protocol = target->service->protocol->name;
    const char *stream = cw_tcp_options_are_given(&given->tcp) ? "tcp"
                         : given->tls && given->tls->start_tls ? "tls.start_tls"
                                                               : NULL;

    if (!target->is_datagram && cw_datagram_options_are_given(&given->datagram)) {
        snprintf(complaint->text, sizeof complaint->text,
                 "datagram: %.40s is no protocol of datagrams; leave it out", protocol);
        return CW_EINVAL;
    }
    if (target->is_datagram && stream) {
        snprintf(complaint->text, sizeof complaint->text,
                 "%s: %.40s is a protocol of datagrams and has none of that; leave it out", stream,
                 protocol);
        return CW_EINVAL;
    }
    return CW_OK;
}

/* What only a listener can have is not looked at. */
static int fill_datagram(struct cw_target *target, const struct cw_datagram_options *given,
                         struct cw_complaint *complaint)
{
    struct cw_datagram_options own = *given;
    int error;

    if (target->endpoint.unix_path[0]) {
        snprintf(complaint->text, sizeof complaint->text,
                 "%.40s is a protocol of datagrams: host:port is needed, not a unix path",
                 target->service->protocol->name);
        return CW_EINVAL;
    }
    own.peers_max = own.amplification = 0;
    own.one_worker = false;
    own.groups = NULL;
    own.group_count = 0;
    error = cw_datagram_options_check(&own, CW_CLIENT, complaint);
    if (error < 0) {
        return error;
    }
    if (!cw_datagram_options_copy(&target->options.datagram, &own)) {
        return CW_ENOMEM;
    }
    cw_datagram_options_fill(&target->options.datagram);
    return CW_OK;
}

static int fill_target(struct cw_target *target, const char *address,
                       const struct cw_connect_options *given, struct cw_complaint *complaint)
{
    const char *local_host = target->options.local_host;
    bool out_max_given = target->options.out_max_bytes != 0;
    struct cw_server_options as_server;
    int error = cw_endpoint_parse(address, &target->endpoint, complaint);

    error = error < 0 ? error : check_transport(target, given, complaint);
    if (error == CW_OK && target->is_datagram) {
        error = fill_datagram(target, &given->datagram, complaint);
    }
    if (error < 0) {
        return error;
    }
    if (target->endpoint.host[0] &&
        cw_address_parse(target->endpoint.host, &target->numeric) == CW_OK) {
        target->numeric.port = target->endpoint.port;
    }
    target->options.local_host = NULL;
    error = check_local(target, local_host, complaint);
    error = error < 0 ? error : cw_connect_options_fill(&target->options, &as_server, complaint);
    if (error < 0) {
        return error;
    }
    cw_limits_fill(&target->limits, &as_server, target->service, out_max_given);
    return target->options.tls ? make_tls(target, complaint) : CW_OK;
}

static int make_service(struct cw_target *target, const struct cw_service *service,
                        struct cw_complaint *complaint)
{
    target->service = cw_service_new(service, complaint);
    if (target->service) {
        target->is_datagram = service->protocol->transport == CW_DATAGRAM;
        return CW_OK;
    }
    return strcmp(complaint->text, cw_strerror(CW_ENOMEM)) == 0 ? CW_ENOMEM : CW_EINVAL;
}

struct cw_target *cw_target_new(struct cw_service service, const char *address,
                                const struct cw_connect_options *options, int *error)
{
    const struct cw_connect_options given = options ? *options : (struct cw_connect_options){0};
    struct cw_target *target = cw_alloc_zero(sizeof *target);
    struct cw_complaint complaint = {""};

    if (!target) {
        *error = CW_ENOMEM;
        return NULL;
    }
    target->holds = 1;
    target->options = given;
    memset(&target->options.datagram, 0,
           sizeof given.datagram); /* texts and groups are the caller's */
    address = address ? address : "";
    snprintf(target->text, sizeof target->text, "%s", address);
    *error = make_service(target, &service, &complaint);
    *error = *error < 0 ? *error : fill_target(target, address, &given, &complaint);
    if (*error == CW_OK) {
        return target;
    }
    if (*error != CW_ENOMEM) {
        cw_log(CW_LOG_ERROR, 0, "connect %.100s: %s", address, complaint.text);
    }
    cw_target_drop(target);
    return NULL;
}

struct cw_target *cw_target_hold(struct cw_target *target)
{
    target->holds++;
    return target;
}

void cw_target_drop(struct cw_target *target)
{
    assert(target->holds > 0);
    if (--target->holds == 0) {
        cw_service_drop(target->service);
        cw_tls_drop(target->tls);
        cw_datagram_options_release(&target->options.datagram);
        cw_release(target);
    }
}

/* ---- pauses ---- */

static uint64_t random_up_to(uint64_t most)
{
    uint64_t number = 0;

    if (getrandom(&number, sizeof number, GRND_NONBLOCK) != (ssize_t)sizeof number) {
        return most;
    }
    return most == UINT64_MAX ? number : number % (most + 1);
}

/* Equal jitter: at least half of the pause, so that it still is one, and the other half by chance, so that those
 * who lost the same server do not come back together. */
uint64_t cw_backoff_ms(const struct cw_connect_options *options, uint64_t failures)
{
    uint64_t pause = options->reconnect_min_ms;

    for (uint64_t i = 1; i < failures && pause < options->reconnect_max_ms; i++) {
        pause = pause > options->reconnect_max_ms / 2 ? options->reconnect_max_ms : pause * 2;
    }
    return pause - random_up_to(pause / 2);
}

static bool wait_for(struct cw_client *client, uint64_t ms)
{
    struct timeval after = cw_timeval(ms);

    client->phase = CLIENT_WAITING;
    return event_add(&client->timer, &after) == 0;
}

/* ---- the table by id ---- */

static struct cw_client **bucket(const struct cw_loop *loop, int64_t id)
{
    /* Ids are given in turn, so their low bits spread them evenly. */
    return &loop->client_table[(uint64_t)id & (loop->client_table_size - 1)];
}

static bool grow_table(struct cw_loop *loop)
{
    size_t size = loop->client_table_size > 0 ? loop->client_table_size * 2 : 16;
    struct cw_client **table = cw_alloc_zero(size * sizeof(struct cw_client *));

    if (!table) {
        return loop->client_table_size > 0; /* a little slower then */
    }
    cw_release(loop->client_table);
    loop->client_table = table;
    loop->client_table_size = size;
    for (struct cw_client *client = loop->clients; client; client = client->next) {
        struct cw_client **place = bucket(loop, client->id);

        client->table_next = *place;
        *place = client;
    }
    return true;
}

static struct cw_client *find(const struct cw_loop *loop, int64_t id)
{
    struct cw_client *client = loop->client_table_size > 0 ? *bucket(loop, id) : NULL;

    while (client && client->id != id) {
        client = client->table_next;
    }
    return client && !client->watcher ? client : NULL; /* a pool's are nobody else's business */
}

static void enter(struct cw_client *client)
{
    struct cw_loop *loop = client->loop;
    struct cw_client **place;

    client->id = ++loop->client_last;
    place = bucket(loop, client->id);
    client->table_next = *place;
    *place = client;
    client->next = loop->clients;
    client->link = &loop->clients;
    if (client->next) {
        client->next->link = &client->next;
    }
    loop->clients = client;
    loop->client_count++;
}

static void leave(struct cw_client *client)
{
    struct cw_client **place = bucket(client->loop, client->id);

    while (*place != client) {
        place = &(*place)->table_next;
    }
    *place = client->table_next;
    *client->link = client->next;
    if (client->next) {
        client->next->link = client->link;
    }
    client->loop->client_count--;
}

void cw_clients_free(struct cw_loop *loop)
{
    cw_clients_stop_all(loop);
    cw_release(loop->client_table);
    loop->client_table = NULL;
    loop->client_table_size = 0;
}

/* ---- the end of a client ---- */

void cw_client_forget(struct cw_client *client)
{
    leave(client);
    event_del(&client->timer);
    cw_dial_cancel(client->dial);
    client->origin->owner = NULL;
    client->origin->datagram = NULL; /* the target's */
    cw_origin_drop(client->origin);
    cw_target_drop(client->target);
    cw_release(client);
}

static void end_client(struct cw_client *client, int code)
{
    struct cw_client_watcher *watcher = client->watcher;

    cw_client_forget(client);
    if (watcher) {
        watcher->ended(watcher, code < 0 ? code : CW_ECLOSED);
    }
}

void cw_clients_stop_all(struct cw_loop *loop)
{
    while (loop->clients) {
        end_client(loop->clients, CW_ESTOPPED);
    }
}

/* ---- failures ---- */

/* Waits for the next attempt. False: there is none. */
static bool tries_again(struct cw_client *client)
{
    const struct cw_connect_options *options = &client->target->options;

    if (!options->reconnect || client->watcher || client->failures >= options->attempts_max) {
        return false;
    }
    return wait_for(client, cw_backoff_ms(options, client->failures));
}

static void word_failure(const struct cw_client *client, bool gave_up, const char *what,
                         struct cw_error_report *report)
{
    const struct cw_target *target = client->target;

    if (!gave_up || !target->options.reconnect || client->watcher) {
        snprintf(report->text, sizeof report->text, "connect %.80s: %s", target->text, what);
        return;
    }
    if (client->failures >= target->options.attempts_max) {
        report->limit = target->options.attempts_max;
    }
    snprintf(report->text, sizeof report->text, "connect %.60s: gave up after %llu failures: %s",
             target->text, (unsigned long long)client->failures, what);
}

/* Everything is settled before the hook runs: it may stop this client, or make others. */
static void tell(struct cw_client *client, bool gave_up, const char *what,
                 struct cw_error_report *report)
{
    struct cw_loop *loop = client->loop;
    struct cw_target *target = cw_target_hold(client->target);

    word_failure(client, gave_up, what, report);
    if (gave_up) {
        end_client(client, report->code);
    }
    cw_report(loop, target->service, report);
    cw_target_drop(target);
}

static void fail_attempt(struct cw_client *client, const struct cw_dial_result *result)
{
    struct cw_error_report report = {
        .code = result->code,
        .os_errno = result->os_errno,
        .address = result->address.family != CW_FAMILY_NONE ? &result->address : NULL,
    };

    client->failures++;
    tell(client, !tries_again(client), result->text, &report);
}

/* ---- attempts ---- */

static struct cw_conn *make_conn(struct cw_client *client, const struct cw_dial_result *result)
{
    return client->target->is_datagram
               ? cw_datagram_client(client->loop, client->origin, result->fd, &result->address)
               : cw_conn_with_stream(client->loop, client->origin, result->fd, &result->address);
}

static void start_conn(struct cw_client *client, struct cw_dial_result *result)
{
    const struct cw_connect_options *options = &client->target->options;
    uint64_t taken = client->loop->now_ms - client->began_ms;
    uint64_t left = taken < options->connect_ms ? options->connect_ms - taken : 1;
    struct cw_conn *conn;

    client->origin->limits.handshake = cw_ticks(left);
    conn = make_conn(client, result);
    if (!conn) {
        close(result->fd);
        result->code = CW_ENOMEM;
        snprintf(result->text, sizeof result->text, "%s", cw_strerror(CW_ENOMEM));
        fail_attempt(client, result);
        return;
    }
    conn->user = options->conn_user;
    client->conn = conn;
    client->phase = CLIENT_HANDSHAKING;
    cw_trace_connected(conn, client->target->text);
    cw_conn_start(conn); /* hooks run from here on, and may end the client */
}

static void on_dialled(void *arg, struct cw_dial_result *result)
{
    struct cw_client *client = arg;

    client->dial = NULL;
    if (result->fd < 0) {
        fail_attempt(client, result);
    } else {
        start_conn(client, result);
    }
}

static void on_timer(evutil_socket_t fd, short events, void *arg)
{
    struct cw_client *client = arg;

    (void)fd;
    (void)events;
    cw_loop_wake(client->loop);
    client->began_ms = client->loop->now_ms;
    client->phase = CLIENT_CONNECTING;
    client->dial = cw_dial_new(client->loop, client->target, &client->behind, on_dialled, client);
    if (!client->dial) {
        struct cw_dial_result result = {.fd = -1, .code = CW_ENOMEM};

        snprintf(result.text, sizeof result.text, "%s", cw_strerror(CW_ENOMEM));
        fail_attempt(client, &result);
        return;
    }
    cw_dial_go(client->dial);
}

/* ---- connections ---- */

/* The client whose connection this is; NULL: it has ended. */
static struct cw_client *client_of(const struct cw_conn *conn)
{
    struct cw_client *client = conn->origin->owner;

    return client && client->conn == conn ? client : NULL;
}

struct cw_client_watcher *cw_conn_watcher(const struct cw_conn *conn)
{
    struct cw_client *client = client_of(conn);

    return client ? client->watcher : NULL;
}

const char *cw_client_connecting_to(const struct cw_conn *conn)
{
    struct cw_client *client = conn->origin->role == CW_CLIENT ? client_of(conn) : NULL;

    return client && client->phase == CLIENT_HANDSHAKING ? client->target->text : NULL;
}

void cw_client_conn_opened(struct cw_conn *conn)
{
    struct cw_client *client = client_of(conn);

    /* A protocol that begins as another one is not open before it is in charge. */
    if (!client || client->phase != CLIENT_HANDSHAKING ||
        conn->service->protocol != client->target->service->protocol) {
        return;
    }
    client->phase = CLIENT_OPEN;
    client->opened_ms = client->loop->now_ms;
    if (client->watcher) {
        client->watcher->opened(client->watcher, conn);
    }
}

/* A socket of datagrams is connected before anybody has been heard there. */
static bool is_heard(const struct cw_client *client, const struct cw_conn *conn)
{
    return !client->target->is_datagram || client->target->tls || conn->bytes_in > 0 ||
           conn->messages_in > 0;
}

/* What on_error has not been told yet about this end; NULL: nothing is missing. */
static const char *untold(const struct cw_client *client, const struct cw_conn *conn,
                          enum client_phase was, bool gave_up)
{
    if (was == CLIENT_HANDSHAKING && conn->code >= 0 && conn->code != CW_BY_STOP) {
        return "closed before it was open";
    }
    if (!gave_up || !client->target->options.reconnect || client->watcher) {
        return NULL;
    }
    return was == CLIENT_OPEN && is_heard(client, conn) ? "its connections do not last"
                                                        : cw_strerror(conn->code);
}

/* A connection that ends as soon as it is made is no better than none, nor is one that failed before anything came: only
 * one that has lived for a while sets the pauses back to the shortest. */
static bool has_lived(const struct cw_client *client, const struct cw_conn *conn)
{
    return client->phase == CLIENT_OPEN && (conn->code >= 0 || is_heard(client, conn)) &&
           client->loop->now_ms - client->opened_ms >= client->target->options.reconnect_min_ms;
}

/* The next attempt need not begin at an address that has not answered. */
static void choose_beginning(struct cw_client *client, const struct cw_conn *conn)
{
    bool answered = client->phase == CLIENT_OPEN && is_heard(client, conn);

    if (client->target->is_datagram) {
        client->behind = answered ? (struct cw_address){0} : conn->peer;
    }
}

void cw_client_conn_ended(struct cw_conn *conn)
{
    struct cw_client *client = client_of(conn);
    int code = conn->code < 0 ? conn->code : CW_ECLOSED;
    struct cw_error_report report = {
        .code = code, .conn_id = cw_conn_id(conn), .address = &conn->peer};
    enum client_phase was;
    const char *what;
    bool gave_up;

    if (!client) {
        return;
    }
    was = client->phase;
    client->failures = has_lived(client, conn) ? 0 : client->failures + 1;
    choose_beginning(client, conn);
    client->conn = NULL;
    gave_up = !tries_again(client);
    what = untold(client, conn, was, gave_up);
    if (what) {
        tell(client, gave_up, what, &report);
    } else if (gave_up) {
        end_client(client, code);
    }
}

/* ---- the calls ---- */

static struct cw_client *client_new(struct cw_loop *loop, struct cw_target *target,
                                    struct cw_client_watcher *watcher)
{
    struct cw_client *client = cw_alloc_zero(sizeof *client);

    if (!client) {
        return NULL;
    }
    client->origin = cw_origin_new(target->service, &target->limits, CW_CLIENT);
    if (!client->origin) {
        cw_release(client);
        return NULL;
    }
    cw_service_hold(target->service); /* the origin's */
    client->origin->tls = target->tls ? cw_tls_hold(target->tls) : NULL;
    client->origin->datagram = target->is_datagram ? &target->options.datagram : NULL;
    client->loop = loop;
    client->target = target;
    client->watcher = watcher;
    evtimer_assign(&client->timer, loop->base, on_timer, client);
    return client;
}

/* Begins in the next turn: no hook is called from inside the call that made it. */
static struct cw_client *client_start(struct cw_loop *loop, struct cw_target *target,
                                      struct cw_client_watcher *watcher)
{
    struct cw_client *client;

    if (loop->client_count >= loop->client_table_size && !grow_table(loop)) {
        return NULL;
    }
    client = client_new(loop, target, watcher);
    if (!client) {
        return NULL;
    }
    if (!wait_for(client, 0)) {
        cw_origin_drop(client->origin);
        cw_release(client);
        return NULL;
    }
    cw_target_hold(target);
    enter(client);
    client->origin->client = client->id;
    client->origin->owner = client;
    return client;
}

struct cw_client *cw_client_watched(struct cw_loop *loop, struct cw_target *target,
                                    struct cw_client_watcher *watcher)
{
    return client_start(loop, target, watcher);
}

int64_t cw_connect(struct cw_loop *loop, struct cw_service service, const char *address,
                   const struct cw_connect_options *options)
{
    struct cw_target *target;
    struct cw_client *client;
    int error = CW_OK;

    if (!loop) {
        return CW_ENOMEM;
    }
    cw_loop_assert_thread(loop);
    if (loop->phase == CW_LOOP_DRAINING || loop->phase == CW_LOOP_STOPPED) {
        return CW_ESTOPPED;
    }
    target = cw_target_new(service, address, options, &error);
    if (!target) {
        return error;
    }
    client = client_start(loop, target, NULL);
    cw_target_drop(target);
    return client ? client->id : CW_ENOMEM;
}

int cw_client_stop(struct cw_loop *loop, int64_t id)
{
    struct cw_client *client = loop ? find(loop, id) : NULL;
    struct cw_conn *conn;

    if (!client) {
        return CW_ENOTFOUND;
    }
    cw_loop_assert_thread(loop);
    conn = client->conn;
    cw_client_forget(client);
    if (conn) {
        cw_conn_end_with(conn, CW_BY_APP);
    }
    return CW_OK;
}

struct cw_conn *cw_client_conn(struct cw_loop *loop, int64_t id)
{
    struct cw_client *client = loop ? find(loop, id) : NULL;

    if (!client || client->phase != CLIENT_OPEN || (client->conn->flags & CW_CLOSING)) {
        return NULL;
    }
    cw_loop_assert_thread(loop);
    return client->conn;
}
