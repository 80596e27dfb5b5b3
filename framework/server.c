/* A server: set up, run, stop. */
#include "server_impl.h"

#include "config_impl.h"
#include "conn_impl.h"
#include "datagram_impl.h"
#include "ip_table.h"
#include "options.h"
#include "parts.h"
#include "report.h"
#include "rooms/room_impl.h"
#include "signals.h"
#include "work.h"

#include <causeway/log.h>

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- errors ---- */

/* It goes to a terminal, and what stands in a file may have a part in it. */
static void show_controls(char *text)
{
    for (; *text; text++) {
        *text = (unsigned char)*text < ' ' || *text == 127 ? '?' : *text;
    }
}

int cw_server_fail(struct cw_server *server, int code, const char *format, ...)
{
    va_list args;

    if (server->first_error == CW_OK) {
        server->first_error = code;
        va_start(args, format);
        vsnprintf(server->error, sizeof server->error, format, args);
        va_end(args);
        show_controls(server->error);
    }
    return code;
}

const char *cw_server_error(const struct cw_server *server)
{
    return server ? server->error : cw_strerror(CW_ENOMEM);
}

int cw_server_check_new(struct cw_server *server, const char *call)
{
    if (!server) {
        return CW_ENOMEM;
    }
    if (atomic_load(&server->phase) != CW_SERVER_NEW) {
        return cw_server_fail(server, CW_ESTATE, "%s: the server runs already", call);
    }
    return CW_OK;
}

/* ---- made ---- */

struct cw_server *cw_create_server(const struct cw_protocol *protocol)
{
    struct cw_complaint ignored;
    struct cw_server *server = cw_alloc_zero(sizeof *server);

    if (!server) {
        return NULL;
    }
    atomic_init(&server->holds, 1);
    atomic_init(&server->phase, CW_SERVER_NEW);
    atomic_init(&server->conns_open, 0);
    pthread_mutex_init(&server->lock, NULL);
    pthread_mutex_init(&server->update_lock, NULL);
    atomic_init(&server->stopping, false);
    cw_networks_init(&server->trusted);
    server->protocol = protocol;
    server->listens_tail = &server->listens;
    server->middleware_tail = &server->middleware;
    cw_options_fill(&server->options, &ignored);
    server->addresses = cw_ip_table_new();
    server->rooms = cw_room_registry_new();
    if (!server->addresses || !server->rooms) {
        cw_server_free(server);
        return NULL;
    }
    return server;
}

static void free_loops(struct cw_server *server)
{
    for (unsigned i = 0; server->loops && i < server->workers; i++) {
        if (server->loops[i]) {
            cw_listeners_free(server->loops[i]);
            cw_loop_free(server->loops[i]);
        }
    }
    cw_release(server->loops);
    server->loops = NULL;
}

static void free_server(struct cw_server *server)
{
    free_loops(server);
    cw_work_pool_free(server->work);
    cw_work_pool_free(server->handshakes);
    cw_room_registry_free(server->rooms);
    cw_ip_table_free(server->addresses);
    cw_server_parts_free(server);
    while (server->middleware) {
        struct cw_conn_middleware *middleware = server->middleware;
        server->middleware = middleware->next;
        if (middleware->release) {
            middleware->release(middleware);
        }
    }
    while (server->listens) {
        struct cw_listen_entry *entry = server->listens;
        server->listens = entry->next;
        cw_listen_free(entry);
    }
    cw_service_drop(server->service);
    cw_release(server->protocol_options);
    cw_release((void *)(uintptr_t)server->given.trusted_proxies);
    cw_networks_clear(&server->trusted);
    cw_config_free(server->config);
    cw_config_free(server->reread);
    cw_config_source_free(server->config_source);
    pthread_mutex_destroy(&server->update_lock);
    pthread_mutex_destroy(&server->lock);
    cw_release(server);
}

struct cw_server *cw_server_hold(struct cw_server *server)
{
    if (server) {
        atomic_fetch_add(&server->holds, 1);
    }
    return server;
}

void cw_server_drop(struct cw_server *server)
{
    if (server && atomic_fetch_sub(&server->holds, 1) == 1) {
        free_server(server);
    }
}

void cw_server_free(struct cw_server *server)
{
    cw_server_drop(server);
}

/* ---- set up ---- */

int cw_server_set_hooks(struct cw_server *server, const struct cw_hooks *hooks, void *user)
{
    int error = cw_server_check_new(server, "set_hooks");

    if (error == CW_OK) {
        server->hooks = *hooks;
        server->user = user;
    }
    return error;
}

/* The text that is kept goes into both structs of options. */
static int keep_trusted(struct cw_server *server, const char *text, struct cw_complaint *complaint)
{
    bool failed = false;
    char *kept = cw_copy(text, text ? strlen(text) + 1 : 0, &failed);
    int error = failed ? CW_ENOMEM : cw_networks_set(&server->trusted, text, complaint);

    if (failed) {
        snprintf(complaint->text, sizeof complaint->text, "%s", cw_strerror(CW_ENOMEM));
    }
    if (error < 0) {
        cw_release(kept);
        return error;
    }
    cw_release((void *)(uintptr_t)server->given.trusted_proxies);
    server->given.trusted_proxies = kept;
    return CW_OK;
}

int cw_server_configure(struct cw_server *server, const struct cw_server_options *options)
{
    struct cw_server_options filled = *options;
    struct cw_complaint complaint;
    const char *trusted;
    int error = cw_server_check_new(server, "configure");

    if (error < 0) {
        return error;
    }
    error = cw_options_fill(&filled, &complaint);
    error = error < 0 ? error : keep_trusted(server, options->trusted_proxies, &complaint);
    if (error < 0) {
        return cw_server_fail(server, error, "configure: %s", complaint.text);
    }
    trusted = server->given.trusted_proxies;
    server->given = *options;
    server->options = filled;
    server->given.trusted_proxies = server->options.trusted_proxies = trusted;
    return CW_OK;
}

int cw_server_set_protocol_options(struct cw_server *server, const struct cw_protocol *protocol,
                                   const void *options)
{
    struct cw_complaint complaint;
    struct cw_service service = {.protocol = protocol, .options = options};
    struct cw_service_ref *tried;
    int error = cw_server_check_new(server, "set_protocol_options");

    if (error < 0) {
        return error;
    }
    if (server->protocol != protocol) {
        return cw_server_fail(server, CW_EINVAL,
                              "options of %s: the server speaks %s; say them with the listener or "
                              "route that speaks %s",
                              protocol->name, server->protocol->name, protocol->name);
    }
    tried = cw_service_new(&service, &complaint);
    if (!tried) {
        return cw_server_fail(server, CW_EINVAL, "options of %s: %s", protocol->name,
                              complaint.text);
    }
    cw_service_drop(tried);
    if (!server->protocol_options) {
        server->protocol_options = cw_alloc(protocol->options_size);
    }
    if (!server->protocol_options) {
        return cw_server_fail(server, CW_ENOMEM, "options of %s: %s", protocol->name,
                              cw_strerror(CW_ENOMEM));
    }
    memcpy(server->protocol_options, options, protocol->options_size);
    return CW_OK;
}

int cw_server_use(struct cw_server *server, struct cw_conn_middleware *middleware)
{
    int error = cw_server_check_new(server, "use");

    if (error == CW_OK && !middleware) {
        error = cw_server_fail(server, CW_ENOMEM,
                               "use: the middleware could not be made (see the log)");
    }
    if (error < 0 || !middleware) {
        if (middleware && middleware->release) {
            middleware->release(middleware);
        }
        return error;
    }
    middleware->next = NULL;
    *server->middleware_tail = middleware;
    server->middleware_tail = &middleware->next;
    if (!server->datagram_middleware && middleware->on_datagram) {
        server->datagram_middleware = middleware;
    }
    return CW_OK;
}

/* ---- start ---- */

static int make_services(struct cw_server *server)
{
    struct cw_service own = cw_service(server->protocol, &server->hooks, server->user);
    struct cw_complaint complaint;

    own.options = server->protocol_options;
    server->service = cw_service_new(&own, &complaint);
    if (!server->service) {
        return cw_server_fail(server, CW_EINVAL, "service: %s", complaint.text);
    }
    for (struct cw_listen_entry *entry = server->listens; entry; entry = entry->next) {
        int error = cw_listen_prepare(server, entry);
        if (error < 0) {
            return error;
        }
    }
    return CW_OK;
}

static unsigned cores(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

/* Threads for handshakes: apart from those of the application's work, so that neither waits for the other. */
static bool make_handshakes(struct cw_server *server)
{
    uint64_t threads = server->options.handshake_threads;

    if (threads == CW_OFF) {
        return true;
    }
    server->handshakes = cw_work_pool_new((size_t)(threads == CW_PER_CORE ? cores() : threads),
                                          (size_t)server->options.handshakes_max);
    if (server->handshakes) {
        cw_work_pool_yields(server->handshakes);
    }
    return server->handshakes != NULL;
}

static int make_loops(struct cw_server *server)
{
    uint64_t workers = server->options.workers == CW_PER_CORE ? cores() : server->options.workers;
    struct cw_loop_setup setup = {
        .server = server,
        .mailbox_max = (size_t)server->options.mailbox_max,
        .mailbox_max_bytes = (size_t)server->options.mailbox_max_bytes,
        .buffered_max = (size_t)server->options.buffered_max_bytes,
        .drain_ms = server->options.drain_ms,
        .handshakes_per_turn = server->options.handshakes_per_turn,
        .alone = cores() == 1,
    };

    server->work =
        cw_work_pool_new((size_t)server->options.work_threads, (size_t)server->options.work_max);
    server->loops = cw_alloc_zero((size_t)workers * sizeof(struct cw_loop *));
    if (!server->work || !server->loops) {
        return cw_server_fail(server, CW_ENOMEM, "start: %s", cw_strerror(CW_ENOMEM));
    }
    setup.work = server->work;
    if (!make_handshakes(server)) {
        return cw_server_fail(server, CW_ENOMEM, "start: %s", cw_strerror(CW_ENOMEM));
    }
    setup.handshakes = server->handshakes;
    server->workers = (unsigned)(workers > 256 ? 256 : workers);
    for (unsigned i = 0; i < server->workers; i++) {
        setup.worker = i;
        server->loops[i] = cw_loop_create(&setup);
        if (!server->loops[i]) {
            return cw_server_fail(server, CW_ENOMEM,
                                  "start: worker %u: out of memory or descriptors", i);
        }
        if (cw_rooms_loop_init(server->loops[i]) < 0) {
            return cw_server_fail(server, CW_ENOMEM, "start: %s", cw_strerror(CW_ENOMEM));
        }
    }
    return CW_OK;
}

static int prepare(struct cw_server *server)
{
    int error;

    if (server->first_error < 0) {
        return server->first_error;
    }
    if (!server->listens) {
        return cw_server_fail(server, CW_EINVAL,
                              "run: nothing to listen on; call cw_server_listen first");
    }
    error = cw_server_parts_start(server);
    error = error < 0 ? error : make_services(server);
    error = error < 0 ? error : make_loops(server);
    if (error < 0) {
        return error;
    }
    cw_server_raise_descriptors(server, server->options.conns_max);
    cw_server_publish(server, &server->options);
    return cw_listeners_open(server);
}

/* ---- run ---- */

static void run_worker(struct cw_loop *loop)
{
    struct cw_server *server = loop->server;
    struct cw_error_report report = {.code = CW_ENOMEM, .text = "start: accept: out of memory"};

    loop->thread = pthread_self();
    if (server->hooks.on_worker_start) {
        server->hooks.on_worker_start(server, loop, server->user);
        cw_datagrams_flush(loop); /* what it has sent does not wait for the first event */
    }
    if (cw_listeners_start(loop) < 0) {
        cw_report(loop, server->service, &report);
        cw_server_stop(server);
    }
    if (cw_loop_turns(loop) < 0) {
        report.code = CW_EOS;
        snprintf(report.text, sizeof report.text, "worker %u: the event loop failed", loop->worker);
        cw_report(loop, server->service, &report);
        cw_server_stop(server);
    }
    if (server->hooks.on_worker_stop) {
        server->hooks.on_worker_stop(server, loop, server->user);
    }
}

static void *worker_main(void *arg)
{
    run_worker(arg);
    return NULL;
}

/* From here on a stop reaches the loops; one that came before does so now. */
static void take_stops(struct cw_server *server)
{
    pthread_mutex_lock(&server->lock);
    atomic_store(&server->phase, CW_SERVER_RUNNING);
    server->taking_stops = true;
    for (unsigned i = 0; i < server->workers && server->stops > 0; i++) {
        cw_loop_stop(server->loops[i]);
    }
    pthread_mutex_unlock(&server->lock);
}

static int run_workers(struct cw_server *server)
{
    pthread_t *threads = cw_alloc_zero(server->workers * sizeof *threads);
    unsigned started = 1;
    int error = CW_OK;

    if (!threads) {
        return cw_server_fail(server, CW_ENOMEM, "start: %s", cw_strerror(CW_ENOMEM));
    }
    if (server->signals && cw_signals_watch(server->signals, server->loops[0]) < 0) {
        cw_release(threads);
        return cw_server_fail(server, CW_ENOMEM, "start: signals: %s", cw_strerror(CW_ENOMEM));
    }
    take_stops(server);
    while (started < server->workers &&
           pthread_create(&threads[started], NULL, worker_main, server->loops[started]) == 0) {
        started++;
    }
    if (started < server->workers) {
        error = cw_server_fail(server, CW_EOS, "start: worker %u: no thread to be had", started);
        cw_server_stop(server);
    }
    run_worker(server->loops[0]);
    for (unsigned i = 1; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    pthread_mutex_lock(&server->update_lock);
    for (unsigned i = 0; i < server->workers; i++) {
        cw_listeners_free(server->loops[i]);
    }
    pthread_mutex_unlock(&server->update_lock);
    cw_signals_unwatch(server->signals);
    cw_release(threads);
    return error;
}

static int run(struct cw_server *server)
{
    int error = prepare(server);

    if (error == CW_OK) {
        cw_listeners_tell(server);
        error = run_workers(server);
        atomic_store(&server->phase, CW_SERVER_STOPPED);
        if (server->hooks.on_stop) {
            server->hooks.on_stop(server, server->user);
        }
        cw_log(CW_LOG_INFO, 0, "stopped");
    }
    return error;
}

int cw_server_run(struct cw_server *server)
{
    int error = cw_server_check_new(server, "run");

    return error < 0 ? error : run(server);
}

void cw_server_stop(struct cw_server *server)
{
    if (!server) {
        return;
    }
    pthread_mutex_lock(&server->lock);
    server->stops++;
    atomic_store(&server->stopping, true);
    for (unsigned i = 0; server->taking_stops && i < server->workers; i++) {
        cw_loop_stop(server->loops[i]);
    }
    pthread_mutex_unlock(&server->lock);
}

bool cw_server_is_stopping(const struct cw_server *server)
{
    return !server || atomic_load_explicit(&server->stopping, memory_order_relaxed);
}

bool cw_server_trusts(struct cw_server *server, const struct cw_address *address)
{
    return address->family == CW_UNIX || cw_networks_hold(&server->trusted, address);
}

/* With nothing to read again a hangup ends the program, as it always has. */
static bool has_files(const struct cw_server *server)
{
    const struct cw_listen_entry *entry = server ? server->listens : NULL;

    while (entry && !entry->options.tls) {
        entry = entry->next;
    }
    return entry || (server && server->config_source);
}

int cw_server_main(struct cw_server *server)
{
    struct cw_signals *signals = cw_signals_new(has_files(server));
    int error = cw_server_check_new(server, "main");

    if (error == CW_OK && !signals) {
        error = cw_server_fail(server, CW_EDESCRIPTORS, "main: signals: %s",
                               cw_strerror(CW_EDESCRIPTORS));
    }
    if (error == CW_OK) {
        server->signals = signals;
        error = run(server);
    }
    cw_signals_free(signals);
    if (error < 0) {
        const char *text = cw_server_error(server);
        fprintf(stderr, "%s\n", text[0] ? text : cw_strerror(error));
    }
    cw_server_free(server);
    return error < 0 ? 1 : 0;
}

/* ---- what is asked and sent from anywhere ---- */

void *cw_server_user(const struct cw_server *server)
{
    return server->user;
}

unsigned cw_server_workers(const struct cw_server *server)
{
    return atomic_load(&server->phase) == CW_SERVER_NEW ? 0 : server->workers;
}

int cw_server_loop_of(struct cw_server *server, uint64_t target, struct cw_loop **loop)
{
    unsigned worker = target < 256 ? (unsigned)target : (unsigned)(target >> 24 & 0xff);

    if (!server || atomic_load(&server->phase) != CW_SERVER_RUNNING) {
        return CW_ESTOPPED;
    }
    if (worker >= server->workers) {
        return CW_ENOTFOUND;
    }
    *loop = server->loops[worker];
    return CW_OK;
}

int cw_server_post(struct cw_server *server, uint64_t target, cw_post_fn fn, void *arg)
{
    struct cw_loop *loop;
    int error = cw_server_loop_of(server, target, &loop);

    return error < 0 ? error : cw_loop_put_post(loop, target < 256 ? 0 : target, fn, arg);
}

/* A message on its way to a connection of another loop. */
struct parcel {
    struct cw_message msg;
    uint8_t bytes[];
};

static void deliver_parcel(struct cw_loop *loop, struct cw_mail *mail)
{
    struct parcel *parcel = mail->arg;
    struct cw_conn *conn = cw_loop_conn(loop, mail->conn_id);

    if (conn && ((conn->flags & CW_MESSAGE_OPEN) || cw_conn_send(conn, &parcel->msg) < 0)) {
        cw_conn_count_dropped(conn);
    }
    cw_release(parcel);
}

int cw_send_to(struct cw_server *server, uint64_t conn_id, const struct cw_message *msg)
{
    struct cw_mail mail = {.fn = deliver_parcel, .conn_id = conn_id};
    struct cw_loop *loop;
    struct parcel *parcel;
    int error = cw_server_loop_of(server, conn_id, &loop);

    if (error < 0) {
        return error;
    }
    if (msg->part != CW_WHOLE) {
        return CW_EINVAL;
    }
    parcel = cw_alloc(sizeof *parcel + msg->body.len);
    if (!parcel) {
        return CW_ENOMEM;
    }
    parcel->msg = *msg;
    parcel->msg.body.data = parcel->bytes;
    if (msg->body.len > 0) {
        memcpy(parcel->bytes, msg->body.data, msg->body.len);
    }
    mail.arg = parcel;
    mail.bytes = sizeof *parcel + msg->body.len;
    error = cw_mailbox_put(&loop->mailbox, &mail, CW_MAIL_BOUNDED);
    if (error < 0) {
        cw_release(parcel);
    }
    return error;
}

static void close_by_mail(struct cw_loop *loop, struct cw_mail *mail)
{
    struct cw_conn *conn = cw_loop_conn(loop, mail->conn_id);

    if (conn) {
        cw_conn_close(conn);
    }
}

static void abort_by_mail(struct cw_loop *loop, struct cw_mail *mail)
{
    struct cw_conn *conn = cw_loop_conn(loop, mail->conn_id);

    if (conn) {
        cw_conn_abort(conn);
    }
}

static int mail_to(struct cw_server *server, uint64_t conn_id,
                   void (*fn)(struct cw_loop *loop, struct cw_mail *mail))
{
    struct cw_mail mail = {.fn = fn, .conn_id = conn_id};
    struct cw_loop *loop;
    int error = cw_server_loop_of(server, conn_id, &loop);

    return error < 0 ? error : cw_mailbox_put(&loop->mailbox, &mail, CW_MAIL_MUST);
}

int cw_close_id(struct cw_server *server, uint64_t conn_id)
{
    return mail_to(server, conn_id, close_by_mail);
}

int cw_abort_id(struct cw_server *server, uint64_t conn_id)
{
    return mail_to(server, conn_id, abort_by_mail);
}

/* One walk over all connections of all loops, from worker to worker. */
struct walk {
    unsigned next; /* worker */
    cw_conn_fn fn;
    void (*done)(void *user);
    void *user;
};

static void walk_loop(struct cw_loop *loop, struct cw_mail *mail);

/* Hands the walk to the next worker that takes it: from then on it is that one's. Only the first may refuse it. */
static int walk_on(struct cw_server *server, struct walk *walk, enum cw_mail_class how)
{
    while (walk->next < server->workers) {
        struct cw_loop *loop = server->loops[walk->next++];
        int error =
            cw_mailbox_put(&loop->mailbox, &(struct cw_mail){.fn = walk_loop, .arg = walk}, how);

        if (error == CW_OK || (error != CW_ESTOPPED && how == CW_MAIL_BOUNDED)) {
            return error;
        }
        if (error != CW_ESTOPPED) {
            cw_log(CW_LOG_ERROR, 0, "each_conn: worker %u is left out: %s", loop->worker,
                   cw_strerror(error));
        }
    }
    return CW_ESTOPPED;
}

static void walk_loop(struct cw_loop *loop, struct cw_mail *mail)
{
    struct walk *walk = mail->arg;

    cw_loop_each_conn(loop, walk->fn, walk->user);
    if (walk_on(loop->server, walk, CW_MAIL_MUST) == CW_OK) {
        return;
    }
    if (walk->done) {
        walk->done(walk->user);
    }
    cw_release(walk);
}

int cw_server_each_conn(struct cw_server *server, cw_conn_fn fn, void (*done)(void *user),
                        void *user)
{
    struct cw_loop *first;
    struct walk *walk;
    int error = cw_server_loop_of(server, 0, &first);

    if (error < 0) {
        return error;
    }
    walk = cw_alloc_zero(sizeof *walk);
    if (!walk) {
        return CW_ENOMEM;
    }
    walk->fn = fn;
    walk->done = done;
    walk->user = user;
    error = walk_on(server, walk, CW_MAIL_BOUNDED);
    if (error < 0) {
        cw_release(walk);
    }
    return error;
}

static uint64_t counted(const atomic_uint_least64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void cw_server_stats(const struct cw_server *server, struct cw_server_stats *stats)
{
    *stats = (struct cw_server_stats){.conns_open = atomic_load(&server->conns_open)};
    if (atomic_load(&server->phase) == CW_SERVER_NEW) {
        return;
    }
    for (unsigned i = 0; i < server->workers; i++) {
        const struct cw_loop_counters *c = &server->loops[i]->counters;
        stats->conns_total += counted(&c->conns_total);
        stats->refused_conns_max += counted(&c->refused_conns_max);
        stats->refused_conns_per_ip += counted(&c->refused_conns_per_ip);
        stats->refused_middleware += counted(&c->refused_middleware);
        stats->refused_descriptors += counted(&c->refused_descriptors);
        stats->closed_by_error += counted(&c->closed_by_error);
        stats->handshakes_full += counted(&c->handshakes_full);
        stats->handshakes_resumed += counted(&c->handshakes_resumed);
        stats->handshakes_failed += counted(&c->handshakes_failed);
        stats->bytes_in += counted(&c->bytes_in);
        stats->bytes_out += counted(&c->bytes_out);
        stats->messages_in += counted(&c->messages_in);
        stats->messages_out += counted(&c->messages_out);
        stats->messages_dropped += counted(&c->messages_dropped);
        stats->queued_bytes += counted(&c->queued_bytes);
        stats->posts_waiting += cw_mailbox_waiting(&server->loops[i]->mailbox);
    }
    stats->work_waiting = cw_work_pool_waiting(server->work);
    stats->handshakes_waiting = cw_work_pool_waiting(server->handshakes);
}

void cw_server_datagram_stats(const struct cw_server *server, struct cw_datagram_stats *stats)
{
    *stats = (struct cw_datagram_stats){0};
    for (unsigned i = 0; i < cw_server_workers(server); i++) {
        cw_datagram_stats_add(server->loops[i], stats);
    }
}

void cw_conn_ended(struct cw_conn *conn)
{
    struct cw_loop *loop = conn->loop;

    if (conn->flags & CW_COUNTED) {
        if (!(conn->flags & CW_EXEMPT)) {
            cw_ip_table_leave(loop->server->addresses, &conn->peer);
        }
        cw_middleware_gone(loop->server, loop, &conn->peer);
        atomic_fetch_sub(&loop->server->conns_open, 1);
        cw_listeners_wake(loop);
    }
}
