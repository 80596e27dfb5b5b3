/* Parts: what protocols and middleware hang from a server or a loop. There are few; a list will do. */
#include "parts.h"

#include "loop_impl.h"
#include "server_impl.h"

#include <causeway/config.h>
#include <causeway/log.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

struct cw_server_part_entry {
    struct cw_server_part_entry *next;
    const struct cw_server_part *part;
    max_align_t memory[];
};

struct cw_loop_part_entry {
    struct cw_loop_part_entry *next;
    const struct cw_loop_part *part;
    bool told; /* to stop */
    max_align_t memory[];
};

/* ---- of a server ---- */

void *cw_server_find_part(const struct cw_server *server, const struct cw_server_part *part)
{
    struct cw_server_part_entry *entry = server ? server->parts : NULL;

    while (entry && entry->part != part) {
        entry = entry->next;
    }
    return entry ? entry->memory : NULL;
}

void *cw_server_part(struct cw_server *server, const struct cw_server_part *part)
{
    void *memory = cw_server_find_part(server, part);
    struct cw_server_part_entry **tail;
    struct cw_server_part_entry *entry;

    if (memory || !server || atomic_load(&server->phase) != CW_SERVER_NEW) {
        return memory;
    }
    entry = cw_alloc_zero(sizeof *entry + part->size);
    if (!entry) {
        cw_server_fail(server, CW_ENOMEM, "set-up: %s", cw_strerror(CW_ENOMEM));
        return NULL;
    }
    entry->part = part;
    tail = &server->parts;
    while (*tail) {
        tail = &(*tail)->next;
    }
    *tail = entry;
    return entry->memory;
}

int cw_server_parts_start(struct cw_server *server)
{
    int error = CW_OK;

    for (struct cw_server_part_entry *entry = server->parts; entry && error == CW_OK;
         entry = entry->next) {
        error = entry->part->start ? entry->part->start(server, entry->memory) : CW_OK;
    }
    return error;
}

void cw_server_parts_free(struct cw_server *server)
{
    while (server->parts) {
        struct cw_server_part_entry *entry = server->parts;

        server->parts = entry->next;
        if (entry->part->release) {
            entry->part->release(entry->memory);
        }
        cw_release(entry);
    }
}

int cw_server_complain(struct cw_server *server, int code, const char *format, ...)
{
    char text[2 * CW_REPORT_TEXT_MAX];
    va_list args;

    if (!server) {
        return code;
    }
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return cw_server_fail(server, code, "%s", text);
}

void cw_server_expect_message(struct cw_server *server, uint64_t bytes)
{
    if (server && bytes != CW_NO_LIMIT && bytes > server->message_max) {
        server->message_max = bytes;
    }
}

void cw_server_expect_protocol(struct cw_server *server, const struct cw_protocol *protocol)
{
    if (!server) {
        return;
    }
    for (size_t i = 0; i < server->guest_count; i++) {
        if (server->guests[i] == protocol) {
            return;
        }
    }
    if (server->guest_count < CW_SERVER_GUESTS_MAX) {
        server->guests[server->guest_count++] = protocol;
    }
}

const void *cw_server_options_of(const struct cw_server *server, const struct cw_protocol *protocol)
{
    if (server->config) {
        return cw_config_protocol_options(server->config, protocol);
    }
    return server->protocol == protocol ? server->protocol_options : NULL;
}

int cw_server_check_set_up(struct cw_server *server, const char *call)
{
    return cw_server_check_new(server, call);
}

/* ---- of a loop ---- */

void *cw_loop_part(struct cw_loop *loop, const struct cw_loop_part *part)
{
    struct cw_loop_part_entry *entry = loop->parts;

    while (entry && entry->part != part) {
        entry = entry->next;
    }
    if (!entry) {
        entry = cw_alloc_zero(sizeof *entry + part->size);
        if (!entry) {
            return NULL;
        }
        entry->part = part;
        entry->next = loop->parts;
        loop->parts = entry;
    }
    return entry->memory;
}

void cw_loop_parts_stop(struct cw_loop *loop)
{
    for (struct cw_loop_part_entry *entry = loop->parts; entry; entry = entry->next) {
        if (!entry->told && entry->part->stop) {
            entry->told = true;
            entry->part->stop(loop, entry->memory);
        }
    }
}

void cw_loop_parts_free(struct cw_loop *loop)
{
    while (loop->parts) {
        struct cw_loop_part_entry *entry = loop->parts;

        loop->parts = entry->next;
        if (entry->part->release) {
            entry->part->release(loop, entry->memory);
        }
        cw_release(entry);
    }
}
