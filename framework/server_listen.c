/* What a server listens on: checked and copied when it is named, made ready when the server runs. */
#include "datagram_impl.h"
#include "options.h"
#include "server_impl.h"
#include "tls/tls.h"

#include <causeway/log.h>
#include <causeway/parts.h>

void cw_listen_free(struct cw_listen_entry *entry)
{
    cw_release((void *)(uintptr_t)entry->options.host);
    cw_release((void *)(uintptr_t)entry->options.unix_path);
    cw_release((void *)(uintptr_t)entry->options.service.options);
    cw_release((void *)(uintptr_t)entry->options.service.hooks);
    cw_datagram_options_release(&entry->options.datagram);
    cw_tls_options_free((void *)(uintptr_t)entry->options.tls);
    cw_tls_drop(entry->tls);
    cw_origin_drop(entry->origin);
    cw_release(entry);
}

void *cw_copy(const void *memory, size_t size, bool *failed)
{
    void *made = memory ? cw_alloc(size > 0 ? size : 1) : NULL;

    if (made) {
        memcpy(made, memory, size);
    } else if (memory) {
        *failed = true;
    }
    return made;
}

static const struct cw_protocol *protocol_of(const struct cw_server *server,
                                             const struct cw_listen_options *options)
{
    return options->service.protocol ? options->service.protocol : server->protocol;
}

static bool is_datagram(const struct cw_server *server, const struct cw_listen_options *options)
{
    return protocol_of(server, options)->transport == CW_DATAGRAM;
}

/* What a listener of datagrams cannot have. NULL: nothing of that is there. */
static const char *name_of_stream(const struct cw_listen_options *options)
{
    const struct {
        const char *name;
        bool given;
    } rows[] = {
        {"unix_path", options->unix_path != NULL},
        {"backlog", options->backlog != 0},
        {"tcp", cw_tcp_options_are_given(&options->tcp)},
        {"tls.start_tls", options->tls && options->tls->start_tls},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].given) {
            return rows[i].name;
        }
    }
    return NULL;
}

static int check_transport(struct cw_server *server, const struct cw_listen_options *options)
{
    const char *protocol = protocol_of(server, options)->name;
    const char *stream = name_of_stream(options);
    struct cw_complaint complaint;

    if (!is_datagram(server, options)) {
        return cw_datagram_options_are_given(&options->datagram)
                   ? cw_server_fail(
                         server, CW_EINVAL,
                         "listen: datagram: %s is no protocol of datagrams; leave it out", protocol)
                   : CW_OK;
    }
    if (stream) {
        return cw_server_fail(
            server, CW_EINVAL,
            "listen: %s: %s is a protocol of datagrams and has none of that; leave it out", stream,
            protocol);
    }
    return cw_datagram_options_check(&options->datagram, CW_SERVER, &complaint) < 0
               ? cw_server_fail(server, CW_EINVAL, "listen: %s", complaint.text)
               : CW_OK;
}

static int check_listen(struct cw_server *server, const struct cw_listen_options *options)
{
    struct cw_complaint complaint;
    int given =
        (options->host || options->port != 0) + (options->unix_path != NULL) + (options->fd != 0);

    if (given > 1) {
        return cw_server_fail(server, CW_EINVAL,
                              "listen: host and port, unix_path and fd exclude each other");
    }
    if (options->unix_path && !options->unix_path[0]) {
        return cw_server_fail(server, CW_EINVAL, "listen: unix_path is empty");
    }
    if (options->fd < 0) {
        return cw_server_fail(server, CW_EINVAL, "listen: fd %d is no descriptor", options->fd);
    }
    if (options->backlog > 65535) {
        return cw_server_fail(server, CW_EINVAL, "listen: backlog: at most 65535 is allowed");
    }
    if (cw_tcp_options_check(&options->tcp, &complaint) < 0 ||
        (options->tls && cw_tls_options_check(options->tls, CW_SERVER, &complaint) < 0)) {
        return cw_server_fail(server, CW_EINVAL, "listen: %s", complaint.text);
    }
    return check_transport(server, options);
}

/* Of the texts, options and hooks. False: no memory, and what was made hangs from the entry. */
static bool copy_listen(struct cw_listen_entry *entry, const struct cw_listen_options *options)
{
    const struct cw_service *service = &options->service;
    bool failed = false;

    entry->options = *options;
    entry->options.host =
        cw_copy(options->host, options->host ? strlen(options->host) + 1 : 0, &failed);
    entry->options.unix_path = cw_copy(
        options->unix_path, options->unix_path ? strlen(options->unix_path) + 1 : 0, &failed);
    entry->options.service.options =
        cw_copy(service->options, service->protocol ? service->protocol->options_size : 0, &failed);
    entry->options.service.hooks = cw_copy(service->hooks, sizeof *service->hooks, &failed);
    entry->options.tls = options->tls ? cw_tls_options_copy(options->tls) : NULL;
    failed = !cw_datagram_options_copy(&entry->options.datagram, &options->datagram) || failed;
    cw_datagram_options_fill(&entry->options.datagram);
    return !failed && (!options->tls || entry->options.tls);
}

int cw_server_listen(struct cw_server *server, const struct cw_listen_options *options)
{
    struct cw_listen_entry *entry;
    int error = cw_server_check_new(server, "listen");

    error = error < 0 ? error : check_listen(server, options);
    if (error < 0) {
        return error;
    }
    entry = cw_alloc_zero(sizeof *entry);
    if (!entry || !copy_listen(entry, options)) {
        if (entry) {
            cw_listen_free(entry);
        }
        return cw_server_fail(server, CW_ENOMEM, "listen: %s", cw_strerror(CW_ENOMEM));
    }
    *server->listens_tail = entry;
    server->listens_tail = &entry->next;
    return CW_OK;
}

/* ---- start ---- */

bool cw_server_speaks(const struct cw_server *server, const struct cw_protocol *protocol)
{
    for (const struct cw_listen_entry *entry = server->listens; entry; entry = entry->next) {
        const struct cw_protocol *own = entry->options.service.protocol;

        if ((own ? own : server->protocol) == protocol) {
            return true;
        }
    }
    return false;
}

void cw_server_warn_hooks(const struct cw_server *server, const char *where,
                          const struct cw_hooks *hooks)
{
    const struct cw_hooks *own = &server->hooks;
    const struct {
        const char *name;
        bool unheard;
    } rows[] = {
        {"on_listening", hooks->on_listening && !own->on_listening},
        {"on_reload", hooks->on_reload && !own->on_reload},
        {"on_stop", hooks->on_stop && !own->on_stop},
        {"on_worker_start", hooks->on_worker_start && !own->on_worker_start},
        {"on_worker_stop", hooks->on_worker_stop && !own->on_worker_stop},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].unheard) {
            cw_log(CW_LOG_WARNING, 0,
                   "%s: %s is never called here; it is the server's: cw_server_set_hooks", where,
                   rows[i].name);
        }
    }
}

static void warn_hooks(const struct cw_server *server, const struct cw_listen_entry *entry)
{
    const struct cw_service *given = &entry->options.service;
    char where[CW_WHERE_TEXT_MAX];

    if (given->hooks) {
        cw_listen_where(&entry->options, NULL, where, sizeof where);
        cw_server_warn_hooks(server, where, given->hooks);
    }
}

static int make_tls(struct cw_server *server, struct cw_listen_entry *entry)
{
    struct cw_tls_setup setup = {.options = entry->options.tls,
                                 .role = CW_SERVER,
                                 .datagram = is_datagram(server, &entry->options)};
    struct cw_complaint complaint = {""};
    char where[CW_WHERE_TEXT_MAX];
    int error = CW_OK;

    if (!entry->options.tls) {
        return CW_OK;
    }
    entry->tls = cw_tls_new(&setup, &complaint, &error);
    if (entry->tls) {
        entry->origin->tls = cw_tls_hold(entry->tls);
        return CW_OK;
    }
    cw_listen_where(&entry->options, NULL, where, sizeof where);
    return cw_server_fail(server, error, "listen %s: %s", where,
                          complaint.text[0] ? complaint.text : cw_strerror(error));
}

int cw_listen_prepare(struct cw_server *server, struct cw_listen_entry *entry)
{
    struct cw_service *given = &entry->options.service;
    struct cw_service_ref *service;
    struct cw_complaint complaint;
    struct cw_limits limits;

    if (given->protocol) {
        service = cw_service_new(given, &complaint);
        if (!service) {
            return cw_server_fail(server, CW_EINVAL, "listen: service %s: %s",
                                  given->protocol->name, complaint.text);
        }
    } else {
        service = cw_service_hold(server->service);
    }
    warn_hooks(server, entry);
    entry->own_keepalive = entry->options.tcp.keepalive_ms != 0;
    if (!entry->own_keepalive) {
        entry->options.tcp.keepalive_ms = server->options.keepalive_ms;
    }
    cw_limits_fill(&limits, &server->options, service, server->given.out_max_bytes != 0);
    cw_limits_expect(&limits, server->message_max, server->given.out_max_bytes != 0);
    entry->origin = cw_origin_new(service, &limits, CW_SERVER);
    if (!entry->origin) {
        cw_service_drop(service);
        return cw_server_fail(server, CW_ENOMEM, "listen: %s", cw_strerror(CW_ENOMEM));
    }
    return make_tls(server, entry);
}
