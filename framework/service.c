/* Services made ready: options checked, copied, filled in. */
#include "service_impl.h"

#include "tls/tls.h"

#include <causeway/log.h>

#include <stdio.h>

static int configure(struct cw_service_ref *ref, const struct cw_service *service,
                     struct cw_complaint *complaint)
{
    const struct cw_protocol *protocol = service->protocol;

    if (protocol->options_size > 0) {
        ref->options = cw_alloc_zero(protocol->options_size);
        if (!ref->options) {
            snprintf(complaint->text, sizeof complaint->text, "%s", cw_strerror(CW_ENOMEM));
            return CW_ENOMEM;
        }
        if (service->options) {
            memcpy(ref->options, service->options, protocol->options_size);
        }
    }
    return protocol->configure ? protocol->configure(ref->options, complaint) : CW_OK;
}

static size_t high_mark(const struct cw_service_ref *ref)
{
    uint64_t high = ref->protocol->out_high ? ref->protocol->out_high(ref->options) : 0;

    return high > SIZE_MAX ? SIZE_MAX : (size_t)high;
}

struct cw_service_ref *cw_service_new(const struct cw_service *service,
                                      struct cw_complaint *complaint)
{
    struct cw_complaint ignored;
    struct cw_service_ref *ref;

    complaint = complaint ? complaint : &ignored;
    complaint->text[0] = '\0';
    if (!service->protocol) {
        snprintf(complaint->text, sizeof complaint->text, "service: no protocol");
        return NULL;
    }
    ref = cw_alloc_zero(sizeof *ref);
    if (!ref) {
        snprintf(complaint->text, sizeof complaint->text, "%s", cw_strerror(CW_ENOMEM));
        return NULL;
    }
    atomic_init(&ref->holds, 1);
    ref->protocol = service->protocol;
    ref->user = service->user;
    if (service->hooks) {
        ref->hooks = *service->hooks;
    }
    if (configure(ref, service, complaint) < 0) {
        cw_release(ref->options);
        cw_release(ref);
        return NULL;
    }
    ref->out_high = high_mark(ref);
    return ref;
}

struct cw_service_ref *cw_service_hold(struct cw_service_ref *service)
{
    atomic_fetch_add_explicit(&service->holds, 1, memory_order_relaxed);
    return service;
}

void cw_service_drop(struct cw_service_ref *service)
{
    if (!service || atomic_fetch_sub_explicit(&service->holds, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (service->protocol->release) {
        service->protocol->release(service->options);
    }
    cw_release(service->options);
    cw_release(service);
}

void cw_service_free(struct cw_service_ref *service)
{
    cw_service_drop(service);
}

const void *cw_service_options(const struct cw_service_ref *service)
{
    return service->options;
}

void *cw_service_user(const struct cw_service_ref *service)
{
    return service->user;
}

struct cw_origin *cw_origin_new(struct cw_service_ref *service, const struct cw_limits *limits,
                                enum cw_role role)
{
    struct cw_origin *origin = cw_alloc_zero(sizeof *origin);

    if (origin) {
        atomic_init(&origin->holds, 1);
        origin->service = service;
        origin->limits = *limits;
        origin->role = role;
    }
    return origin;
}

struct cw_origin *cw_origin_hold(struct cw_origin *origin)
{
    atomic_fetch_add_explicit(&origin->holds, 1, memory_order_relaxed);
    return origin;
}

void cw_origin_drop(struct cw_origin *origin)
{
    if (origin && atomic_fetch_sub_explicit(&origin->holds, 1, memory_order_acq_rel) == 1) {
        cw_service_drop(origin->service);
        cw_tls_drop(origin->tls);
        cw_release(origin);
    }
}

const char *cw_origin_scheme(const struct cw_origin *origin)
{
    const struct cw_protocol *protocol = origin->service->protocol;
    const struct cw_tls *tls = origin->tls;
    bool is_datagram = protocol->transport == CW_DATAGRAM;

    if (tls && !cw_tls_begins_plain(tls)) {
        return protocol->scheme_tls ? protocol->scheme_tls : is_datagram ? "dtls" : "tls";
    }
    return protocol->scheme ? protocol->scheme : is_datagram ? "udp" : "tcp";
}
