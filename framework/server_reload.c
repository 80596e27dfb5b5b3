/* Certificates and the configuration file read again while a server runs.
 *
 * worker 0 ─► helper thread: read the file, then each listener's certificates ─► worker 0: limits, log, on_reload */
#include "config_impl.h"
#include "report.h"
#include "server_impl.h"
#include "tls/tls.h"

#include <causeway/config.h>
#include <causeway/log.h>

#include <stdio.h>

/* A listener that keeps its old certificates. */
struct failure {
    const struct cw_listen_entry *entry;
    int code;
    struct cw_complaint complaint;
};

/* One reload. The helper's until its work is done. */
struct reload {
    struct cw_server *server;
    struct cw_config *config; /* what was read. NULL: the server has no file */
    int code;                 /* of the file, or of what is about no listener */
    struct cw_complaint complaint;
    unsigned renewed;
    size_t failed;
    struct failure failures[];
};

/* ---- on the helper ---- */

static bool same_text(const char *one, const char *other)
{
    return one == other || (one && other && strcmp(one, other) == 0);
}

static bool same_place(const struct cw_listen_options *one, const struct cw_listen_options *other)
{
    return same_text(one->host, other->host) && one->port == other->port &&
           same_text(one->unix_path, other->unix_path) && one->fd == other->fd;
}

/* What the file says now about a listener. NULL: nothing; the listener is the program's own, or another one has its place
 * in the file, which needs a new start. */
static const struct cw_tls_options *options_of(const struct reload *reload,
                                               const struct cw_listen_entry *entry)
{
    const struct cw_config *config = reload->config;
    size_t index = entry->from_file - 1u;

    if (!config || entry->from_file == 0 || index >= config->listener_count ||
        !same_place(&config->listeners[index].options, &entry->options)) {
        return NULL;
    }
    return cw_config_listener_tls(config, index);
}

static void renew(struct reload *reload, const struct cw_listen_entry *entry)
{
    struct failure *failure = &reload->failures[reload->failed];

    failure->complaint.text[0] = '\0';
    failure->code = cw_tls_reload(entry->tls, options_of(reload, entry), &failure->complaint);
    if (failure->code < 0) {
        failure->entry = entry;
        reload->failed++;
    } else {
        reload->renewed++;
    }
}

/* All of the file is read and checked before anything is changed. */
static int read_file(struct reload *reload)
{
    struct cw_server_options filled;
    int error;

    if (!reload->server->config) {
        return CW_OK;
    }
    error = cw_config_reread(reload->server, &reload->config, &reload->complaint);
    if (error < 0) {
        return error;
    }
    filled = reload->config->server;
    return cw_options_fill(&filled, &reload->complaint);
}

static void read_all(void *arg)
{
    struct reload *reload = arg;

    reload->code = read_file(reload);
    for (struct cw_listen_entry *entry = reload->server->listens; entry && reload->code == CW_OK;
         entry = entry->next) {
        if (entry->tls) {
            renew(reload, entry);
        }
    }
}

/* ---- told ---- */

static const char *why(const struct failure *failure)
{
    return failure->complaint.text[0] ? failure->complaint.text : cw_strerror(failure->code);
}

static void tell_failure(struct cw_loop *loop, const struct failure *failure)
{
    const struct cw_service_ref *service = loop->server->service;
    struct cw_error_report report = {.code = failure->code};
    const struct cw_address *address = cw_listener_address(loop, failure->entry);
    char where[CW_WHERE_TEXT_MAX];

    cw_listen_where(&failure->entry->options, address, where, sizeof where);
    snprintf(report.text, sizeof report.text, "reload: listen %s: %s", where, why(failure));
    /* A line of the log begins with the address, and the text has it already. */
    report.address = service->hooks.on_error ? address : NULL;
    cw_report(loop, service, &report);
}

static void tell_error(struct cw_loop *loop, int code, const char *text)
{
    struct cw_error_report report = {.code = code};

    snprintf(report.text, sizeof report.text, "reload: %.*s",
             (int)(sizeof report.text - sizeof "reload: "), text[0] ? text : cw_strerror(code));
    cw_report(loop, loop->server->service, &report);
}

static void log_changes(const struct reload *reload, const struct cw_changes *changes)
{
    const char *done = changes->done.text[0] ? changes->done.text : "nothing";
    const char *refused = changes->refused.text;

    if (!reload->config && reload->renewed == 0 && reload->failed == 0) {
        cw_log(CW_LOG_INFO, 0, "reload: there is nothing to read again: no file, no TLS");
        return;
    }
    cw_log(CW_LOG_INFO, 0, "reload: changed: %s%s%s", done,
           refused[0] ? "; unchanged until a new start: " : "", refused);
}

/* ---- put in force ---- */

static void name_certificates(const struct reload *reload, struct cw_changes *changes)
{
    char text[48];

    if (reload->renewed > 0) {
        snprintf(text, sizeof text, "certificates of %u listener%s", reload->renewed,
                 reload->renewed == 1 ? "" : "s");
        cw_name_list_add(&changes->done, text);
    }
}

static void name_log(const struct cw_server *server, const struct cw_config *config,
                     struct cw_changes *changes)
{
    const struct cw_config *before = server->reread ? server->reread : server->config;

    if (config->log_level != before->log_level) {
        cw_name_list_add(&changes->done, "log level");
    }
    if (config->log_format != before->log_format) {
        cw_name_list_add(&changes->done, "log format");
    }
}

/* Compared with the start and not with the last reload: what needs a new start is named until there is one. */
static int apply_file(struct reload *reload, struct cw_changes *changes)
{
    struct cw_server *server = reload->server;
    struct cw_changes own = {0};
    int error = cw_server_change(server, &reload->config->server, &own);

    if (error < 0) {
        cw_config_free(reload->config);
        reload->config = NULL;
        return error;
    }
    if (own.done.text[0]) {
        cw_name_list_add(&changes->done, own.done.text);
    }
    cw_config_differs(server->config, reload->config, changes->refused.text,
                      sizeof changes->refused.text);
    name_log(server, reload->config, changes);
    cw_config_free(server->reread);
    server->reread = reload->config;
    return CW_OK;
}

/* The line is to be seen: behind the log's becoming louder, before its becoming quieter. */
static void log_and_set_log(const struct reload *reload, const struct cw_changes *changes)
{
    bool quieter = reload->config && reload->config->log_level > CW_LOG_INFO;

    if (reload->config && !quieter) {
        cw_config_set_log(reload->config);
    }
    log_changes(reload, changes);
    if (quieter) {
        cw_config_set_log(reload->config);
    }
}

static int apply(struct cw_loop *loop, struct reload *reload)
{
    struct cw_changes changes = {0};
    int error = CW_OK;

    name_certificates(reload, &changes);
    if (reload->config) {
        error = apply_file(reload, &changes);
    }
    if (error < 0) {
        tell_error(loop, error, "");
    } else {
        log_and_set_log(reload, &changes);
    }
    for (size_t i = 0; i < reload->failed; i++) {
        tell_failure(loop, &reload->failures[i]);
        error = error < 0 ? error : reload->failures[i].code;
    }
    return error;
}

/* ---- one after the other ---- */

static void begin(struct cw_loop *loop, struct cw_mail *mail);

static int mail_begin(struct cw_loop *loop)
{
    return cw_mailbox_put(&loop->mailbox, &(struct cw_mail){.fn = begin}, CW_MAIL_MUST);
}

/* A stopping server begins no other; the hook has heard of the stop. */
static void end(struct cw_loop *loop, int error)
{
    struct cw_server *server = loop->server;

    if (server->hooks.on_reload) {
        server->hooks.on_reload(server, error, server->user);
    }
    pthread_mutex_lock(&server->lock);
    server->reloading = server->reload_again && error != CW_ESTOPPED && mail_begin(loop) == CW_OK;
    server->reload_again = false;
    pthread_mutex_unlock(&server->lock);
}

static void on_read(struct cw_loop *loop, int code, void *arg)
{
    struct reload *reload = arg;
    int error = code < 0 ? code : reload->code;

    if (error < 0) {
        tell_error(loop, error, reload->complaint.text);
        cw_config_free(reload->config);
    } else {
        error = apply(loop, reload);
    }
    cw_release(reload);
    end(loop, error);
}

static struct reload *reload_new(struct cw_server *server)
{
    struct reload *reload;
    size_t count = 0;

    for (struct cw_listen_entry *entry = server->listens; entry; entry = entry->next) {
        count++;
    }
    reload = cw_alloc_zero(sizeof *reload + count * sizeof reload->failures[0]);
    if (reload) {
        reload->server = server;
    }
    return reload;
}

static void begin(struct cw_loop *loop, struct cw_mail *mail)
{
    struct reload *reload = reload_new(loop->server);
    int error = reload ? cw_work(loop, read_all, on_read, reload) : CW_ENOMEM;

    (void)mail;
    if (error < 0) {
        tell_error(loop, error, "");
        cw_release(reload);
        end(loop, error);
    }
}

int cw_server_reload(struct cw_server *server)
{
    struct cw_loop *loop;
    int error = cw_server_loop_of(server, 0, &loop);

    if (error < 0) {
        return error;
    }
    pthread_mutex_lock(&server->lock);
    if (server->reloading) {
        server->reload_again = true;
        error = CW_EAGAIN;
    } else {
        error = mail_begin(loop);
        server->reloading = error == CW_OK;
    }
    pthread_mutex_unlock(&server->lock);
    return error;
}
