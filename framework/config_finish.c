/* What was read, put together and checked as a whole. */
#include "config_impl.h"
#include "datagram_impl.h"
#include "options.h"
#include "server_impl.h"
#include "tls/tls.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { KEEPALIVE_MS = 300000 };

/* ---- put together ---- */

static void settle_tls(struct cw_config_tls *tls)
{
    static const enum cw_client_cert words[] = {CW_CLIENT_CERT_OFF, CW_CLIENT_CERT_REQUIRE,
                                                CW_CLIENT_CERT_REQUEST};

    tls->options.client_cert = words[tls->request_cert];
    /* As in Node: a client that may be unauthorized may also have no certificate at all. */
    if (tls->options.accept_unauthorized && tls->options.client_cert == CW_CLIENT_CERT_REQUIRE) {
        tls->options.client_cert = CW_CLIENT_CERT_REQUEST;
    }
}

static void inherit(uint64_t *own, uint64_t from)
{
    *own = *own == 0 ? from : *own;
}

/* What a listener's own `tcp` does not say is the server's. */
static void settle_tcp(const struct cw_config_file *file, struct cw_config_tcp *own)
{
    const struct cw_config_tcp *from = &file->tcp;
    bool on = cw_config_line(file, &own->keep_alive_off) > 0 && !own->keep_alive_off;

    if (cw_config_line(file, &own->options.delay) == 0) {
        own->options.delay = from->options.delay;
    }
    if (on && from->options.keepalive_ms == CW_OFF) {
        inherit(&own->options.keepalive_ms, KEEPALIVE_MS);
    }
    inherit(&own->options.keepalive_ms, from->options.keepalive_ms);
    if (own->keep_alive_off) {
        own->options.keepalive_ms = CW_OFF;
    }
    inherit(&own->options.keepalive_interval_ms, from->options.keepalive_interval_ms);
    inherit(&own->options.keepalive_probes, from->options.keepalive_probes);
    inherit(&own->options.user_timeout_ms, from->options.user_timeout_ms);
    inherit(&own->options.send_buffer_bytes, from->options.send_buffer_bytes);
    inherit(&own->options.receive_buffer_bytes, from->options.receive_buffer_bytes);
    inherit(&own->backlog, from->backlog);
}

/* The same of `datagram`. */
static void settle_datagram(const struct cw_config_file *file, struct cw_datagram_options *own)
{
    const struct cw_datagram_options *from = &file->config.datagram;
    const struct {
        bool *own;
        bool from;
    } switches[] = {
        {&own->dont_fragment, from->dont_fragment},
        {&own->no_offload, from->no_offload},
        {&own->one_worker, from->one_worker},
        {&own->multicast_no_loop, from->multicast_no_loop},
        {&own->broadcast, from->broadcast},
    };

    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        if (cw_config_line(file, switches[i].own) == 0) {
            *switches[i].own = switches[i].from;
        }
    }
    inherit(&own->peers_max, from->peers_max);
    inherit(&own->peer_idle_ms, from->peer_idle_ms);
    inherit(&own->peer_silent_ms, from->peer_silent_ms);
    inherit(&own->amplification, from->amplification);
    inherit(&own->queue_max_bytes, from->queue_max_bytes);
    inherit(&own->receive_buffer_bytes, from->receive_buffer_bytes);
    inherit(&own->send_buffer_bytes, from->send_buffer_bytes);
    inherit(&own->datagrams_per_turn, from->datagrams_per_turn);
    inherit(&own->ttl, from->ttl);
    inherit(&own->multicast_ttl, from->multicast_ttl);
    if (!own->groups) {
        own->groups = from->groups;
        own->group_count = from->group_count;
    }
    if (!own->multicast_interface) {
        own->multicast_interface = from->multicast_interface;
    }
}

static const struct cw_protocol *protocol_of(const struct cw_config_file *file,
                                             const struct cw_listen_options *options)
{
    return options->service.protocol ? options->service.protocol : file->source->own.protocol;
}

/* A listener that has `tcp` of its own and speaks datagrams, or the other way round. */
static int check_transport(struct cw_config_reader *reader, const struct cw_config_draft *draft)
{
    const struct cw_listen_options *options = &draft->listener.options;
    const struct cw_protocol *protocol = protocol_of(reader->file, options);
    bool datagrams = protocol->transport == CW_DATAGRAM;
    unsigned line = datagrams ? cw_config_line_within(reader->file, &draft->tcp, sizeof draft->tcp)
                              : cw_config_line_within(reader->file, &options->datagram,
                                                      sizeof options->datagram);
    unsigned path = cw_config_line(reader->file, &options->unix_path);

    if (datagrams && path > 0) {
        return cw_config_fail(reader, CW_ECONFIG, path,
                              "unix is not allowed in a listener of %s, a protocol of datagrams; "
                              "bind and port are",
                              protocol->name);
    }
    if (line > 0) {
        return cw_config_fail(reader, CW_ECONFIG, line,
                              datagrams ? "tcp is not allowed in a listener of %s, a protocol of "
                                          "datagrams; datagram is"
                                        : "datagram is not allowed in a listener of %s, a protocol "
                                          "of streams; tcp is",
                              protocol->name);
    }
    return CW_OK;
}

static int check_place(struct cw_config_reader *reader, const struct cw_config_draft *draft)
{
    const struct cw_listen_options *options = &draft->listener.options;
    unsigned port = cw_config_line(reader->file, &options->port);
    unsigned line = cw_config_line(reader->file, &options->unix_path);

    if (line > 0 && (port > 0 || cw_config_line(reader->file, &options->host) > 0)) {
        return cw_config_fail(reader, CW_ECONFIG, line,
                              "unix stands beside bind or port; one of the two is allowed");
    }
    if (line == 0 && port == 0) {
        return cw_config_fail(reader, CW_ECONFIG, draft->line,
                              "port is missing; a port (0: any free one), or the path of a unix "
                              "socket as unix");
    }
    return check_transport(reader, draft);
}

static void settle_listener(struct cw_config_file *file, struct cw_config_draft *draft)
{
    struct cw_listen_options *options = &draft->listener.options;

    if (!options->host && !options->unix_path) {
        options->host = file->config.bind;
    }
    settle_tcp(file, &draft->tcp);
    options->tcp = draft->tcp.options;
    options->backlog = draft->tcp.backlog;
    settle_datagram(file, &options->datagram);
    settle_tls(&draft->tls);
    if (draft->own_tls && draft->tls.enabled) {
        options->tls = &draft->tls.options;
    } else if (draft->own_tls) {
        draft->listener.plain = true;
    } else if (draft->tls_wanted) {
        options->tls = &file->config.tls;
    }
}

/* server.bind and server.port are one listener, where there is no list of them. */
static int settle_place(struct cw_config_reader *reader)
{
    struct cw_config_file *file = reader->file;
    const struct cw_listen_options *options = &file->place.listener.options;
    unsigned port = cw_config_line(file, &options->port);
    unsigned unix_path = cw_config_line(file, &options->unix_path);

    file->config.bind = options->host;
    if (file->said_listeners && port + unix_path > 0) {
        if (!file->again) {
            cw_log(CW_LOG_INFO, 0, "%s:%u: server.%s: not used; server.listeners stands instead",
                   reader->name, port > 0 ? port : unix_path, port > 0 ? "port" : "unix");
        }
        return CW_OK;
    }
    if (port + unix_path == 0) {
        return CW_OK;
    }
    if (check_place(reader, &file->place) < 0) {
        return reader->code;
    }
    file->drafts[0] = file->place;
    file->draft_count = 1;
    return CW_OK;
}

/* A limit on frames that the protocol does not say itself. */
static int set_frame_size(struct cw_config_reader *reader, const struct cw_service *service,
                          uint64_t bytes, bool over_all)
{
    const struct cw_setting *setting = service->protocol->settings;

    for (; setting && setting->key; setting++) {
        char *into = (char *)(uintptr_t)service->options + setting->offset;

        if (strcmp(setting->key, "max_frame_size") != 0 ||
            (!over_all && cw_config_line(reader->file, into) > 0)) {
            continue;
        }
        if (setting->most != 0 && bytes > setting->most &&
            service->protocol->transport == CW_DATAGRAM) {
            bytes = setting->most; /* no datagram is longer: the limit holds */
        }
        if (setting->most != 0 && bytes > setting->most) {
            return cw_config_fail(reader, CW_ECONFIG,
                                  cw_config_line(reader->file, &reader->file->max_frame_size),
                                  "server.max_frame_size: %llu is not allowed; %s takes 1 to %llu",
                                  (unsigned long long)bytes, service->protocol->name,
                                  (unsigned long long)setting->most);
        }
        *(uint64_t *)(void *)into = bytes;
    }
    return CW_OK;
}

static int set_frame_sizes(struct cw_config_reader *reader, uint64_t bytes, bool over_all)
{
    const struct cw_config_file *file = reader->file;

    for (size_t i = 0; bytes > 0 && i < file->service_count; i++) {
        if (set_frame_size(reader, &file->services[i], bytes, over_all) < 0) {
            return reader->code;
        }
    }
    return CW_OK;
}

int cw_config_settle(struct cw_config_reader *reader)
{
    struct cw_config_file *file = reader->file;
    struct cw_config *config = &file->config;

    settle_tls(&file->tls);
    if (file->tcp.keep_alive_off) {
        file->tcp.options.keepalive_ms = CW_OFF;
    }
    config->tls = file->tls.options;
    config->tls_enabled = file->tls.enabled;
    config->tcp = file->tcp.options;
    config->backlog = file->tcp.backlog;
    for (size_t i = 0; i < file->draft_count; i++) {
        snprintf(reader->path, sizeof reader->path, "server.listeners[%zu]", i);
        reader->path_len = strlen(reader->path);
        if (check_place(reader, &file->drafts[i]) < 0) {
            return reader->code;
        }
    }
    snprintf(reader->path, sizeof reader->path, "server");
    reader->path_len = strlen(reader->path);
    if (settle_place(reader) < 0) {
        return reader->code;
    }
    reader->path_len = 0;
    reader->path[0] = '\0';
    for (size_t i = 0; i < file->draft_count; i++) {
        settle_listener(file, &file->drafts[i]);
        config->listeners[i] = file->drafts[i].listener;
    }
    config->listener_count = file->draft_count;
    return set_frame_sizes(reader, file->max_frame_size, false);
}

/* ---- checked ---- */

struct translation {
    const struct cw_config_file *file;
    const char *word;
    size_t len;
    unsigned line;
    char path[CW_CONFIG_PATH_MAX];
};

static void match_member(const char *path, const struct cw_config_key *key, void *user)
{
    struct translation *t = user;

    if (key->member && t->path[0] == '\0' && !strstr(path, "[]") && strlen(key->member) == t->len &&
        memcmp(key->member, t->word, t->len) == 0) {
        snprintf(t->path, sizeof t->path, "%s", path);
        t->line = cw_config_line(t->file, (const char *)t->file + key->offset);
    }
}

/* Writes a key's name; that of a listener with keys of its own is its own.
 *
 * own  NULL: the server's */
static void put_path(char *text, size_t cap, const struct translation *t, const char *own)
{
    if (own && t->path[0] != '\0') {
        snprintf(text, cap, "%s%s", own, t->path + strlen("server"));
    } else {
        snprintf(text, cap, "%.*s", t->path[0] ? CW_CONFIG_PATH_MAX : (int)t->len,
                 t->path[0] ? t->path : t->word);
    }
}

/* A complaint names members of structs; the reader of a file knows keys.
 *
 * draft  whose keys they are; NULL: the server's */
static int complain(struct cw_config_reader *reader, const char *complaint,
                    const struct cw_config_draft *draft)
{
    const struct cw_config_file *file = reader->file;
    char text[CW_CONFIG_TEXT_MAX] = "";
    char own[40] = "";
    size_t len = 0;
    unsigned line = draft ? draft->line : 0;

    if (draft) {
        snprintf(own, sizeof own, "server.listeners[%zu]", (size_t)(draft - file->drafts));
    }
    while (*complaint && len + CW_CONFIG_PATH_MAX + sizeof own < sizeof text) {
        struct translation t = {.file = file, .word = complaint};

        t.len = strspn(complaint, "abcdefghijklmnopqrstuvwxyz_.");
        if (t.len == 0) {
            text[len++] = *complaint++;
            continue;
        }
        cw_config_each_key(match_member, &t);
        line = line == 0 ? t.line : line;
        put_path(text + len, sizeof text - len, &t, draft ? own : NULL);
        len = strlen(text);
        complaint += t.len;
    }
    text[len] = '\0';
    return cw_config_fail(reader, CW_ECONFIG, line > 0 ? line : file->server_line, "%s", text);
}

static int check_server(struct cw_config_reader *reader)
{
    struct cw_server_options filled = reader->file->config.server;
    struct cw_complaint complaint;

    if (cw_options_fill(&filled, &complaint) < 0 ||
        cw_networks_set(NULL, filled.trusted_proxies, &complaint) < 0) {
        return complain(reader, complaint.text, NULL);
    }
    return CW_OK;
}

/* The draft of a listener that says these options itself; NULL: they are the server's, or the program's. */
static const struct cw_config_draft *owner_of(const struct cw_config_file *file,
                                              const struct cw_tls_options *tls)
{
    for (size_t i = 0; i < file->draft_count; i++) {
        if (tls == &file->drafts[i].tls.options) {
            return &file->drafts[i];
        }
    }
    return NULL;
}

static int check_tls(struct cw_config_reader *reader, size_t index)
{
    const struct cw_config_file *file = reader->file;
    const struct cw_tls_options *tls = cw_config_listener_tls(&file->config, index);
    const struct cw_config_draft *own = owner_of(file, tls);
    unsigned line = own ? own->line : cw_config_line(file, &file->tls.enabled);
    struct cw_complaint complaint;

    if (!tls) {
        return CW_OK;
    }
    if (!tls->cert && own) {
        return cw_config_fail(reader, CW_ECONFIG, line,
                              "server.listeners[%zu].tls.cert: missing; a server's certificate",
                              (size_t)(own - file->drafts));
    }
    if (!tls->cert) {
        return cw_config_fail(reader, CW_ECONFIG, line > 0 ? line : file->server_line,
                              "server.tls.cert: missing; a server's certificate");
    }
    if (cw_tls_options_check(tls, CW_SERVER, &complaint) < 0) {
        return complain(reader, complaint.text, own);
    }
    return CW_OK;
}

static int check_listeners(struct cw_config_reader *reader)
{
    const struct cw_config_file *file = reader->file;
    const struct cw_config *config = &file->config;
    struct cw_complaint complaint;

    for (size_t i = 0; i < config->listener_count; i++) {
        if (cw_tcp_options_check(&config->listeners[i].options.tcp, &complaint) < 0) {
            return complain(reader, complaint.text, NULL);
        }
        if (check_tls(reader, i) < 0) {
            return reader->code;
        }
    }
    if (config->listener_count > 0) {
        return CW_OK;
    }
    if (config->bind) {
        return cw_config_fail(reader, CW_ECONFIG,
                              cw_config_line(file, &file->place.listener.options.host),
                              "server.bind: there is no port; write server.port too");
    }
    if (config->tls_enabled) {
        return cw_config_fail(reader, CW_ECONFIG, cw_config_line(file, &file->tls.enabled),
                              "server.tls.enabled: the file names no listener that would speak it; "
                              "write server.port");
    }
    return CW_OK;
}

/* Both stand in every listener until it is known what it speaks: `override` may change that. */
static void choose_transport(const struct cw_config_file *file, struct cw_listen_options *options)
{
    if (protocol_of(file, options)->transport == CW_DATAGRAM) {
        options->tcp = (struct cw_tcp_options){0};
        options->backlog = 0;
    } else {
        options->datagram = (struct cw_datagram_options){0};
    }
}

static int check_datagrams(struct cw_config_reader *reader)
{
    struct cw_config_file *file = reader->file;
    struct cw_complaint complaint;

    if (cw_datagram_options_check(&file->config.datagram, CW_SERVER, &complaint) < 0) {
        return complain(reader, complaint.text, NULL);
    }
    for (size_t i = 0; i < file->config.listener_count; i++) {
        struct cw_listen_options *options = &file->config.listeners[i].options;

        choose_transport(file, options);
        if (cw_datagram_options_check(&options->datagram, CW_SERVER, &complaint) < 0) {
            return complain(reader, complaint.text, i < file->draft_count ? &file->drafts[i] : NULL);
        }
    }
    return CW_OK;
}

static int check_protocols(struct cw_config_reader *reader)
{
    const struct cw_config_file *file = reader->file;

    for (size_t i = 0; i < file->service_count; i++) {
        const struct cw_service *service = &file->services[i];
        unsigned line = cw_config_line(file, service);
        struct cw_complaint complaint;
        struct cw_service_ref *tried = cw_service_new(service, &complaint);

        if (!tried) {
            return cw_config_fail(reader, CW_ECONFIG, line > 0 ? line : file->server_line,
                                  "server.%s: %s", service->protocol->name, complaint.text);
        }
        cw_service_drop(tried);
    }
    return CW_OK;
}

/* Who may sign is of no use where nobody is asked. To leave it out is what a switch for it means; but a file that names a
 * CA may have meant to ask. */
static void drop_unasked(struct cw_config_reader *reader, struct cw_tls_options *tls)
{
    if (tls->client_cert != CW_CLIENT_CERT_OFF) {
        return;
    }
    if ((tls->ca || tls->crl) && !reader->file->again) {
        cw_log(CW_LOG_WARNING, 0,
               "%s: tls.%s is not used: clients are not asked for a certificate; "
               "request_cert: true asks",
               reader->name, tls->ca ? "ca" : "crl");
    }
    tls->ca = NULL;
    tls->crl = NULL;
    tls->accept_unauthorized = false;
}

/* Who writes `datagram` may believe that its listener speaks datagrams. */
static void warn_of_streams(const struct cw_config_reader *reader)
{
    const struct cw_config_file *file = reader->file;
    const struct cw_config *config = &file->config;
    bool used = config->listener_count == 0 || !cw_datagram_options_are_given(&config->datagram);

    for (size_t i = 0; i < config->listener_count; i++) {
        used = used || protocol_of(file, &config->listeners[i].options)->transport == CW_DATAGRAM;
    }
    if (!used && !file->again) {
        cw_log(CW_LOG_WARNING, 0,
               "%s:%u: server.datagram is not used: no listener speaks a protocol of datagrams",
               reader->name,
               cw_config_line_within(file, &config->datagram, sizeof config->datagram));
    }
}

/* A certificate alone switches nothing on, and who wrote it may believe that it does. */
static void warn_of_clear(const struct cw_config_reader *reader)
{
    const struct cw_config_file *file = reader->file;
    const struct cw_config *config = &file->config;
    bool used = config->tls_enabled || !config->tls.cert;

    for (size_t i = 0; i < config->listener_count; i++) {
        used = used || config->listeners[i].options.tls == &config->tls;
    }
    if (!used && !file->again) {
        cw_log(CW_LOG_WARNING, 0,
               "%s:%u: server.tls.cert is not used: without enabled: true in server.tls its "
               "listeners speak in the clear",
               reader->name, cw_config_line(file, &file->tls.options.cert));
    }
}

int cw_config_check(struct cw_config_reader *reader)
{
    struct cw_config_file *file = reader->file;
    int error = set_frame_sizes(reader, file->config.max_frame_size, true);

    warn_of_clear(reader);
    warn_of_streams(reader);
    drop_unasked(reader, &file->config.tls);
    for (size_t i = 0; i < file->draft_count; i++) {
        drop_unasked(reader, &file->drafts[i].tls.options);
    }
    error = error < 0 ? error : check_server(reader);
    error = error < 0 ? error : check_datagrams(reader);
    error = error < 0 ? error : check_listeners(reader);
    return error < 0 ? error : check_protocols(reader);
}
