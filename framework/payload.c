/* Counted immutable bytes: encoded once, queued many times. */
#include <causeway/payload.h>

#include <causeway/log.h>

#include <stdatomic.h>

struct cw_payload {
    atomic_size_t holds;
    size_t len;
    uint8_t bytes[];
};

struct cw_payload *cw_payload_new(const struct cw_span *parts, size_t count)
{
    struct cw_payload *payload;
    size_t len = 0;

    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > SIZE_MAX / 2 - sizeof *payload - len) {
            return NULL;
        }
        len += parts[i].len;
    }
    payload = cw_alloc(sizeof *payload + len);
    if (!payload) {
        return NULL;
    }
    atomic_init(&payload->holds, 1);
    payload->len = 0;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > 0) {
            memcpy(payload->bytes + payload->len, parts[i].data, parts[i].len);
            payload->len += parts[i].len;
        }
    }
    return payload;
}

struct cw_payload *cw_payload_hold(struct cw_payload *payload)
{
    atomic_fetch_add_explicit(&payload->holds, 1, memory_order_relaxed);
    return payload;
}

void cw_payload_drop(struct cw_payload *payload)
{
    if (payload && atomic_fetch_sub_explicit(&payload->holds, 1, memory_order_acq_rel) == 1) {
        cw_release(payload);
    }
}

struct cw_span cw_payload_span(const struct cw_payload *payload)
{
    return cw_span_of(payload->bytes, payload->len);
}
