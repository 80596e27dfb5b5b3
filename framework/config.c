/* Options from a file: asked for, read, checked, set. */
#include "config_impl.h"
#include "options.h"
#include "server_impl.h"

#include <causeway/error.h>
#include <causeway/log.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX_BYTES = 1 << 20, DEPTH_MAX = 16 };

/* ---- what was asked for ---- */

static void *keep(struct cw_arena *arena, const void *memory, size_t size, bool *failed)
{
    void *kept = memory ? cw_arena_alloc(arena, size > 0 ? size : 1) : NULL;

    if (kept) {
        memcpy(kept, memory, size);
    } else if (memory) {
        *failed = true;
    }
    return kept;
}

static const char *keep_text(struct cw_arena *arena, const char *text, bool *failed)
{
    return keep(arena, text, text ? strlen(text) + 1 : 0, failed);
}

static void keep_services(struct cw_config_source *source, bool *failed)
{
    struct cw_config_options *options = &source->options;
    struct cw_service *services =
        keep(&source->arena, options->services, options->service_count * sizeof *services, failed);

    options->services = services;
    for (size_t i = 0; services && i < options->service_count; i++) {
        services[i].options =
            keep(&source->arena, services[i].options, services[i].protocol->options_size, failed);
        services[i].hooks =
            keep(&source->arena, services[i].hooks, sizeof *services[i].hooks, failed);
    }
}

void cw_config_source_free(struct cw_config_source *source)
{
    if (source) {
        cw_arena_free(&source->arena);
        cw_release(source);
    }
}

static struct cw_config_source *source_new(const struct cw_server *server, const char *path,
                                           const struct cw_config_options *options)
{
    struct cw_config_source *source = cw_alloc_zero(sizeof *source);
    bool failed = false;

    if (!source) {
        return NULL;
    }
    if (options) {
        source->options = *options;
    }
    source->path = keep_text(&source->arena, path, &failed);
    source->options.ignored = keep_text(&source->arena, source->options.ignored, &failed);
    keep_services(source, &failed);
    source->base = server->given;
    source->base.trusted_proxies =
        keep_text(&source->arena, server->given.trusted_proxies, &failed);
    source->own.protocol = server->protocol;
    source->own.options =
        keep(&source->arena, server->protocol_options, server->protocol->options_size, &failed);
    if (source->options.file_max_bytes == 0) {
        source->options.file_max_bytes = FILE_MAX_BYTES;
    }
    if (source->options.depth_max == 0) {
        source->options.depth_max = DEPTH_MAX;
    }
    memcpy(source->guests, server->guests, sizeof source->guests);
    source->guest_count = server->guest_count;
    if (failed) {
        cw_config_source_free(source);
        return NULL;
    }
    return source;
}

/* ---- read ---- */

/* Opens a regular file; on any other a reader could wait for ever. */
static int open_file(struct cw_config_reader *reader, const char *path, size_t *size)
{
    uint64_t most = reader->file->source->options.file_max_bytes;
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &info) < 0) {
        int code = cw_error_from_errno(errno);

        cw_config_fail(reader, code, 0, "%s",
                       code == CW_EOS || code == CW_EINVAL ? strerror(errno) : cw_strerror(code));
    } else if (!S_ISREG(info.st_mode)) {
        cw_config_fail(reader, CW_ECONFIG, 0, "not a file; a file with YAML in it");
    } else if ((uint64_t)info.st_size > most) {
        cw_config_fail(reader, CW_ETOOBIG, 0, "%llu bytes are not allowed; at most %llu",
                       (unsigned long long)info.st_size, (unsigned long long)most);
    }
    if (reader->code < 0 && fd >= 0) {
        close(fd);
        fd = -1;
    }
    *size = fd >= 0 ? (size_t)info.st_size : 0;
    return fd;
}

/* NULL: an error is worded. It may have become shorter or longer meanwhile: what there is up to its first size. */
static char *read_text(struct cw_config_reader *reader, const char *path, size_t *len)
{
    size_t size;
    int fd = open_file(reader, path, &size);
    char *text = fd >= 0 ? cw_arena_alloc(&reader->file->arena, size + 1) : NULL;

    *len = 0;
    if (fd >= 0 && !text) {
        cw_config_fail(reader, CW_ENOMEM, 0, "%s", cw_strerror(CW_ENOMEM));
    }
    while (text && *len < size) {
        ssize_t got = read(fd, text + *len, size - *len);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            cw_config_fail(reader, CW_EOS, 0, "read: %s", strerror(errno));
        }
        if (got <= 0) {
            break;
        }
        *len += (size_t)got;
    }
    if (fd >= 0) {
        close(fd);
    }
    return reader->code < 0 ? NULL : text;
}

static const char *directory_of(struct cw_arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? cw_arena_text(arena, path, (size_t)(slash - path) + 1) : "";
}

static int add_service(struct cw_config_file *file, const struct cw_service *service)
{
    struct cw_service *added = &file->services[file->service_count++];
    size_t size = service->protocol->options_size;
    void *options = size > 0 ? cw_arena_alloc(&file->arena, size) : NULL;

    *added = *service;
    added->options = options;
    if (size > 0 && !options) {
        return CW_ENOMEM;
    }
    if (size > 0 && service->options) {
        memcpy(options, service->options, size);
    }
    return CW_OK;
}

/* Protocols that are spoken behind others: their sections, unless a service has them already. */
static int add_guests(struct cw_config_file *file)
{
    int error = CW_OK;

    file->listed_count = file->service_count;
    for (size_t i = 0; i < file->source->guest_count && error == CW_OK; i++) {
        const struct cw_protocol *guest = file->source->guests[i];

        if (!cw_config_protocol_options(&file->config, guest)) {
            error = add_service(file, &(struct cw_service){.protocol = guest});
        }
    }
    return error;
}

static struct cw_config_file *file_new(const struct cw_config_source *source)
{
    struct cw_config_file *file = cw_alloc_zero(sizeof *file);
    int error;

    if (!file) {
        return NULL;
    }
    file->source = source;
    file->config.server = source->base;
    file->config.log_level = CW_LOG_INFO;
    error = add_service(file, &source->own);
    for (size_t i = 0; error == CW_OK && i < source->options.service_count; i++) {
        error = add_service(file, &source->options.services[i]);
    }
    error = error < 0 ? error : add_guests(file);
    if (error < 0) {
        cw_config_free(&file->config);
        return NULL;
    }
    return file;
}

static int read_all(struct cw_config_reader *reader)
{
    const struct cw_config_source *source = reader->file->source;
    struct cw_arena *arena = &reader->file->arena;
    struct cw_yaml_node *root;
    struct cw_yaml_fault fault;
    size_t len;
    char *text = read_text(reader, source->path, &len);

    if (!text) {
        return reader->code;
    }
    reader->directory = directory_of(arena, source->path);
    if (!reader->directory) {
        return cw_config_fail(reader, CW_ENOMEM, 0, "%s", cw_strerror(CW_ENOMEM));
    }
    if (cw_yaml_read(arena, cw_span_of(text, len), source->options.depth_max, &root, &fault) < 0) {
        reader->column = fault.column;
        return cw_config_fail(reader, fault.code, fault.line, "%s", fault.text);
    }
    if (cw_config_take(reader, root) < 0 || cw_config_settle(reader) < 0) {
        return reader->code;
    }
    if (source->options.override) {
        source->options.override(&reader->file->config, source->options.user);
    }
    return cw_config_check(reader);
}

/* A configuration, or NULL with the reader's code and text.
 *
 * room  of who shows that text */
static struct cw_config_file *read_source(const struct cw_config_source *source, bool again,
                                          struct cw_config_reader *reader, size_t room)
{
    *reader =
        (struct cw_config_reader){.file = file_new(source), .name = source->path, .room = room};
    if (!reader->file) {
        cw_config_fail(reader, CW_ENOMEM, 0, "%s", cw_strerror(CW_ENOMEM));
        return NULL;
    }
    reader->file->again = again;
    if (read_all(reader) < 0) {
        cw_config_free(&reader->file->config);
        return NULL;
    }
    return reader->file;
}

void cw_config_free(struct cw_config *config)
{
    struct cw_config_file *file = (struct cw_config_file *)config;

    if (file) {
        cw_arena_free(&file->arena);
        cw_release(file);
    }
}

int cw_config_reread(struct cw_server *server, struct cw_config **config,
                     struct cw_complaint *complaint)
{
    struct cw_config_reader reader;
    struct cw_config_file *file;

    *config = NULL;
    if (!server->config_source) {
        snprintf(complaint->text, sizeof complaint->text, "no configuration file was loaded");
        return CW_ENOTFOUND;
    }
    file = read_source(server->config_source, true, &reader, sizeof complaint->text);
    if (!file) {
        snprintf(complaint->text, sizeof complaint->text, "%.*s", (int)sizeof complaint->text - 1,
                 reader.text);
        return reader.code;
    }
    *config = &file->config;
    return CW_OK;
}

/* ---- set ---- */

const struct cw_tls_options *cw_config_listener_tls(const struct cw_config *config, size_t listener)
{
    const struct cw_config_listener *of = &config->listeners[listener];

    if (of->plain) {
        return NULL;
    }
    return of->options.tls ? of->options.tls : config->tls_enabled ? &config->tls : NULL;
}

void cw_config_set_log(const struct cw_config *config)
{
    const struct cw_config_file *file = (const struct cw_config_file *)config;

    if (config->log_level != CW_LOG_INFO || cw_config_line(file, &config->log_level) > 0) {
        cw_log_set_level(config->log_level);
    }
    if (config->log_format != CW_LOG_TEXT || cw_config_line(file, &config->log_format) > 0) {
        cw_log_set_format(config->log_format);
    }
}

static int add_listeners(struct cw_server *server, const struct cw_config *config)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        struct cw_listen_options options = config->listeners[i].options;
        struct cw_listen_entry **added = server->listens_tail;
        int error;

        options.tls = cw_config_listener_tls(config, i);
        error = cw_server_listen(server, &options);
        if (error < 0) {
            return error;
        }
        (*added)->from_file = (unsigned)i + 1;
    }
    return CW_OK;
}

static_assert((int)CW_CONFIG_GUESTS_MAX == (int)CW_SERVER_GUESTS_MAX, "one is copied to the other");

static int apply(struct cw_server *server, const struct cw_config_file *file)
{
    const struct cw_config *config = &file->config;
    const void *options = file->services[0].options;
    int error = cw_server_configure(server, &config->server);

    if (error == CW_OK && options) {
        error = cw_server_set_protocol_options(server, server->protocol, options);
    }
    error = error < 0 ? error : add_listeners(server, config);
    if (error == CW_OK) {
        cw_config_set_log(config);
    }
    return error;
}

static int check_services(struct cw_server *server, const struct cw_config_options *options)
{
    if (options->service_count > CW_CONFIG_SERVICES_MAX) {
        return cw_server_fail(server, CW_EINVAL, "config: at most %d services are allowed",
                              CW_CONFIG_SERVICES_MAX);
    }
    for (size_t i = 0; i < options->service_count; i++) {
        if (!options->services[i].protocol) {
            return cw_server_fail(server, CW_EINVAL, "config: service %zu has no protocol", i);
        }
    }
    return CW_OK;
}

static int check_call(struct cw_server *server, const char *path,
                      const struct cw_config_options *options)
{
    if (!server) {
        return CW_ENOMEM;
    }
    if (atomic_load(&server->phase) != CW_SERVER_NEW) {
        return cw_server_fail(server, CW_ESTATE, "config: the server runs already");
    }
    if (server->config_source) {
        return cw_server_fail(server, CW_ESTATE,
                              "config: a server has one file, this is the second");
    }
    if (!path || !path[0]) {
        return cw_server_fail(server, CW_EINVAL, "config: there is no path");
    }
    return options ? check_services(server, options) : CW_OK;
}

int cw_config_load(struct cw_server *server, const char *path,
                   const struct cw_config_options *options)
{
    struct cw_config_source *source;
    struct cw_config_file *file;
    struct cw_config_reader reader;
    int error = check_call(server, path, options);

    if (error < 0) {
        return error;
    }
    source = source_new(server, path, options);
    if (!source) {
        return cw_server_fail(server, CW_ENOMEM, "config: %s", cw_strerror(CW_ENOMEM));
    }
    file = read_source(source, false, &reader, sizeof server->error);
    if (!file) {
        cw_config_source_free(source);
        return cw_server_fail(server, reader.code, "%s", reader.text);
    }
    server->config_source = source;
    server->config = &file->config;
    return apply(server, file);
}

void *cw_config_protocol_options(struct cw_config *config, const struct cw_protocol *protocol)
{
    struct cw_config_file *file = (struct cw_config_file *)config;

    for (size_t i = 0; i < file->service_count; i++) {
        if (file->services[i].protocol == protocol) {
            return (void *)(uintptr_t)file->services[i].options;
        }
    }
    return NULL;
}
