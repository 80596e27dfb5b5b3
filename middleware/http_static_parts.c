#include "http_static_parts.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { HEAD_REST = 200 }; /* of a part's head, beside type and boundary: words and three numbers */

/* A part is its head, then its bytes; the last line is a part without bytes. */
struct cw_static_parts {
    struct cw_http_range ranges[CW_STATIC_RANGES_MAX];
    size_t count;
    size_t at;      /* the part under way; count: the last line */
    uint64_t given; /* of its bytes */
    size_t head_given;
    size_t head_len; /* 0: not printed yet */
    uint64_t size;
    int fd;
    char boundary[CW_STATIC_BOUNDARY_MAX];
    const char *type;
    char *head;
    size_t head_cap;
};

static size_t print_head(struct cw_static_parts *parts, size_t index)
{
    const struct cw_http_range *range = &parts->ranges[index];
    int len;

    if (index == parts->count) {
        len = snprintf(parts->head, parts->head_cap, "\r\n--%s--\r\n", parts->boundary);
    } else {
        len = snprintf(
            parts->head, parts->head_cap,
            "%s--%s\r\nContent-Type: %s\r\nContent-Range: bytes %llu-%llu/%llu\r\n\r\n",
            index > 0 ? "\r\n" : "", parts->boundary, parts->type, (unsigned long long)range->first,
            (unsigned long long)(range->first + range->len - 1), (unsigned long long)parts->size);
    }
    return (size_t)len;
}

struct cw_static_parts *cw_static_parts_new(const struct cw_static_whole *whole,
                                            const struct cw_http_range *ranges, size_t count)
{
    size_t type_size = strlen(whole->type) + 1;
    size_t head_cap = type_size + CW_STATIC_BOUNDARY_MAX + HEAD_REST;
    struct cw_static_parts *parts = cw_alloc_zero(sizeof *parts + type_size + head_cap);
    char *type = (char *)(parts + 1);

    if (!parts) {
        return NULL;
    }
    memcpy(type, whole->type, type_size);
    memcpy(parts->ranges, ranges, count * sizeof *ranges);
    snprintf(parts->boundary, sizeof parts->boundary, "%s", whole->boundary);
    parts->count = count;
    parts->size = whole->size;
    parts->fd = whole->fd;
    parts->type = type;
    parts->head = type + type_size;
    parts->head_cap = head_cap;
    return parts;
}

uint64_t cw_static_parts_length(struct cw_static_parts *parts)
{
    uint64_t length = 0;

    for (size_t i = 0; i <= parts->count; i++) {
        length += print_head(parts, i) + (i < parts->count ? parts->ranges[i].len : 0);
    }
    return length;
}

static size_t give_head(struct cw_static_parts *parts, uint8_t *buffer, size_t cap)
{
    if (parts->head_len == 0) {
        parts->head_len = print_head(parts, parts->at);
    }

    size_t left = parts->head_len - parts->head_given;
    size_t len = left < cap ? left : cap;

    memcpy(buffer, parts->head + parts->head_given, len);
    parts->head_given += len;
    return len;
}

static ptrdiff_t give_bytes(struct cw_static_parts *parts, uint8_t *buffer, size_t cap)
{
    const struct cw_http_range *range = &parts->ranges[parts->at];
    uint64_t left = range->len - parts->given;
    ssize_t len;

    do {
        len = pread(parts->fd, buffer, left < cap ? (size_t)left : cap,
                    (off_t)(range->first + parts->given));
    } while (len < 0 && errno == EINTR);
    if (len <= 0) {
        return len < 0 ? CW_EOS : CW_ETRUNCATED;
    }
    parts->given += (uint64_t)len;
    if (parts->given == range->len) {
        parts->at++;
        parts->given = 0;
        parts->head_len = 0;
        parts->head_given = 0;
    }
    return len;
}

ptrdiff_t cw_static_parts_pull(uint8_t *buffer, size_t cap, void *user)
{
    struct cw_static_parts *parts = user;

    if (parts->head_len == 0 || parts->head_given < parts->head_len) {
        return (ptrdiff_t)give_head(parts, buffer, cap);
    }
    return parts->at < parts->count ? give_bytes(parts, buffer, cap) : 0;
}

void cw_static_parts_done(int code, void *user)
{
    struct cw_static_parts *parts = user;

    close(parts->fd);
    cw_release(parts);
}
