/* What changes while a server runs: limits and times. */
#include "options.h"
#include "rooms/room_impl.h"
#include "server_impl.h"
#include "tls/tls.h"
#include "work.h"

#include <causeway/log.h>

#include <stdio.h>
#include <sys/resource.h>

/* ---- handing out ---- */

void cw_server_raise_descriptors(const struct cw_server *server, uint64_t conns_max)
{
    rlim_t need = (rlim_t)conns_max + 64 + 8 * (rlim_t)server->workers;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= need) {
        return;
    }
    limit.rlim_cur = need < limit.rlim_max ? need : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < need) {
        cw_log(
            CW_LOG_WARNING, 0,
            "the limit on descriptors is %llu; conns_max (%llu) needs %llu: raise it (ulimit -n) or lower "
            "conns_max",
            (unsigned long long)limit.rlim_cur, (unsigned long long)conns_max,
            (unsigned long long)need);
    }
}

void cw_server_publish(struct cw_server *server, const struct cw_server_options *filled)
{
    struct cw_live_options *live = &server->live;

    atomic_store_explicit(&live->conns_max, filled->conns_max, memory_order_relaxed);
    atomic_store_explicit(&live->conns_per_ip_max, filled->conns_per_ip_max, memory_order_relaxed);
    atomic_store_explicit(&live->accepts_per_turn, filled->accepts_per_turn, memory_order_relaxed);
    server->current = *filled;
}

/* A loop asks for what is new and is not handed it: so an update allocates first and then cannot fail, and every
 * connection that is accepted behind it has the new limits. */
void cw_server_refresh(struct cw_loop *loop)
{
    struct cw_server *server = loop->server;

    if (atomic_load_explicit(&server->updates, memory_order_acquire) == loop->updates_seen) {
        return;
    }
    pthread_mutex_lock(&server->update_lock);
    loop->updates_seen = atomic_load_explicit(&server->updates, memory_order_relaxed);
    loop->drain_ms = server->current.drain_ms;
    loop->buffered_max = (size_t)server->current.buffered_max_bytes;
    loop->handshakes_per_turn = server->current.handshakes_per_turn;
    if (loop->refused_bytes > loop->buffered_max) {
        loop->refused_bytes = loop->buffered_max;
    }
    cw_listeners_refresh(loop);
    pthread_mutex_unlock(&server->update_lock);
}

static void refresh_by_mail(struct cw_loop *loop, struct cw_mail *mail)
{
    (void)mail;
    cw_server_refresh(loop);
}

/* For what no new connection asks for. When memory is out the next one brings it. */
static void wake_loops(struct cw_server *server)
{
    for (unsigned i = 0; i < server->workers; i++) {
        cw_mailbox_put(&server->loops[i]->mailbox, &(struct cw_mail){.fn = refresh_by_mail},
                       CW_MAIL_MUST);
    }
}

/* ---- limits and times ---- */

void cw_name_list_add(struct cw_name_list *list, const char *name)
{
    size_t len = strlen(list->text);

    snprintf(list->text + len, sizeof list->text - len, "%s%s", len > 0 ? ", " : "", name);
}

static uint64_t number(const struct cw_server_options *options, const struct cw_option_rule *rule)
{
    uint64_t value;

    memcpy(&value, (const char *)options + rule->offset, sizeof value);
    return value;
}

/* A default that follows from another option was not asked for: it is no wish that is left unfulfilled. */
static bool is_refused(const struct cw_server *server, const struct cw_server_options *given,
                       const struct cw_server_options *filled, const struct cw_option_rule *rule)
{
    return (rule->flags & CW_AT_START) && number(given, rule) != number(&server->given, rule) &&
           number(filled, rule) != number(&server->options, rule);
}

static void name_numbers(const struct cw_server *server, const struct cw_server_options *given,
                         const struct cw_server_options *filled, struct cw_changes *changes)
{
    size_t count;
    const struct cw_option_rule *rules = cw_server_option_rules(&count);

    for (size_t i = 0; i < count; i++) {
        if (is_refused(server, given, filled, &rules[i])) {
            cw_name_list_add(&changes->refused, rules[i].name);
        } else if (!(rules[i].flags & CW_AT_START) &&
                   number(filled, &rules[i]) != number(&server->current, &rules[i])) {
            cw_name_list_add(&changes->done, rules[i].name);
        }
    }
}

static void name_all(const struct cw_server *server, const struct cw_server_options *given,
                     const struct cw_server_options *filled, struct cw_changes *changes)
{
    name_numbers(server, given, filled, changes);
    if (filled->half_open != server->current.half_open) {
        cw_name_list_add(&changes->done, "half_open");
    }
    if (filled->read_while_full != server->current.read_while_full) {
        cw_name_list_add(&changes->done, "read_while_full");
    }
}

static int stage_origin(const struct cw_server *server, struct cw_listen_entry *entry,
                        const struct cw_server_options *filled, bool out_max_given)
{
    struct cw_service_ref *service = cw_service_hold(entry->origin->service);
    struct cw_limits limits;

    cw_limits_fill(&limits, filled, service, out_max_given);
    cw_limits_expect(&limits, server->message_max, out_max_given);
    entry->next_origin = cw_origin_new(service, &limits, CW_SERVER);
    if (!entry->next_origin) {
        cw_service_drop(service);
        return CW_ENOMEM;
    }
    entry->next_origin->tls = entry->tls ? cw_tls_hold(entry->tls) : NULL;
    return CW_OK;
}

static void unstage_origins(struct cw_server *server)
{
    for (struct cw_listen_entry *entry = server->listens; entry; entry = entry->next) {
        cw_origin_drop(entry->next_origin);
        entry->next_origin = NULL;
    }
}

static int stage_origins(struct cw_server *server, const struct cw_server_options *filled,
                         bool out_max_given)
{
    int error = CW_OK;

    for (struct cw_listen_entry *entry = server->listens; entry && error == CW_OK;
         entry = entry->next) {
        error = stage_origin(server, entry, filled, out_max_given);
    }
    if (error < 0) {
        unstage_origins(server);
    }
    return error;
}

/* Rooms share what the largest queue takes; the open connections keep theirs, so it only grows. */
static void put_in_force(struct cw_server *server, const struct cw_server_options *filled)
{
    uint64_t message_max = atomic_load(&server->rooms->message_max);

    for (struct cw_listen_entry *entry = server->listens; entry; entry = entry->next) {
        uint64_t own = entry->next_origin->limits.out_max;

        message_max = own > message_max ? own : message_max;
        cw_origin_drop(entry->origin);
        entry->origin = entry->next_origin;
        entry->next_origin = NULL;
        if (!entry->own_keepalive) {
            entry->options.tcp.keepalive_ms = filled->keepalive_ms;
        }
    }
    atomic_store(&server->rooms->message_max, message_max);
    cw_work_pool_set_max(server->work, (size_t)filled->work_max);
    if (server->handshakes) {
        cw_work_pool_set_max(server->handshakes, (size_t)filled->handshakes_max);
    }
    cw_server_publish(server, filled);
    atomic_fetch_add_explicit(&server->updates, 1, memory_order_release);
}

static bool same_networks(const char *one, const char *other)
{
    return strcmp(one ? one : "", other ? other : "") == 0;
}

/* The last step that can fail. The text is kept for the next comparison. */
static int change_trusted(struct cw_server *server, struct cw_server_options *filled,
                          struct cw_changes *changes)
{
    const char *text = filled->trusted_proxies;
    struct cw_complaint ignored;
    bool failed = false;
    int error;

    filled->trusted_proxies = server->current.trusted_proxies;
    if (same_networks(text, server->current.trusted_proxies)) {
        return CW_OK;
    }
    filled->trusted_proxies = cw_copy(text, text ? strlen(text) + 1 : 0, &failed);
    error = failed ? CW_ENOMEM : cw_networks_set(&server->trusted, text, &ignored);
    if (error < 0) {
        cw_release((void *)(uintptr_t)filled->trusted_proxies);
        return error;
    }
    cw_release((void *)(uintptr_t)server->given.trusted_proxies);
    server->given.trusted_proxies = server->options.trusted_proxies = filled->trusted_proxies;
    cw_name_list_add(&changes->done, "trusted_proxies");
    return CW_OK;
}

int cw_server_change(struct cw_server *server, const struct cw_server_options *options,
                     struct cw_changes *changes)
{
    struct cw_server_options filled = *options;
    struct cw_complaint ignored;
    int error = cw_options_fill(&filled, &ignored);

    if (error < 0) {
        return error;
    }
    pthread_mutex_lock(&server->update_lock);
    error = stage_origins(server, &filled, options->out_max_bytes != 0);
    if (error == CW_OK) {
        error = change_trusted(server, &filled, changes);
        if (error < 0) {
            unstage_origins(server);
        }
    }
    if (error == CW_OK) {
        name_all(server, options, &filled, changes);
        put_in_force(server, &filled);
        wake_loops(server);
    }
    pthread_mutex_unlock(&server->update_lock);
    if (error == CW_OK) {
        cw_server_raise_descriptors(server, filled.conns_max);
    }
    return error;
}

int cw_server_update(struct cw_server *server, const struct cw_server_options *options)
{
    struct cw_server_options checked = *options;
    struct cw_changes changes = {0};
    struct cw_complaint complaint;
    int error;

    if (!server || atomic_load(&server->phase) != CW_SERVER_RUNNING) {
        return CW_ESTOPPED;
    }
    error = cw_options_fill(&checked, &complaint);
    if (error == CW_OK && options->trusted_proxies) {
        error = cw_networks_set(NULL, options->trusted_proxies, &complaint);
    }
    if (error == CW_EINVAL) {
        cw_log(CW_LOG_ERROR, 0, "update: %s", complaint.text);
    }
    error = error < 0 ? error : cw_server_change(server, options, &changes);
    if (changes.refused.text[0]) {
        cw_log(CW_LOG_WARNING, 0, "update: unchanged until a new start: %s", changes.refused.text);
    }
    return error;
}
