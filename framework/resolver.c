/* Names to addresses without blocking: the hosts file and DNS, by libevent's evdns.
 *
 * Each family is asked for by itself, so that a nameserver that swallows the question for one of them
 * does not hold up the other's answer. */
#include "address_impl.h"
#include "connector_impl.h"
#include "loop_impl.h"

#include <causeway/log.h>

#include <event2/dns.h>
#include <event2/util.h>
#include <sys/queue.h>

enum { FLUSHES_MAX = 8 };

struct cw_lookup {
    TAILQ_ENTRY(cw_lookup) link;
    struct cw_resolver *resolver;
    struct evdns_getaddrinfo_request *request;
    enum cw_family family;
    cw_lookup_fn fn; /* NULL: given up */
    void *arg;
    bool starting; /* evdns may answer before it has returned */
    bool answered;
};

struct cw_resolver {
    struct cw_loop *loop;
    struct evdns_base *dns;
    TAILQ_HEAD(, cw_lookup) lookups; /* whose callback is still to come */
};

/* ---- made and freed ---- */

/* Not with EVDNS_BASE_INITIALIZE_NAMESERVERS: that gives no resolver at all where there is no resolv.conf, and
 * the hosts file is worth having there too. */
static struct evdns_base *dns_new(struct event_base *base, const char *resolv_conf,
                                  const char *hosts)
{
    const int options = DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC |
                        DNS_OPTION_NAMESERVERS_NO_DEFAULT;
    struct evdns_base *dns = evdns_base_new(base, EVDNS_BASE_DISABLE_WHEN_INACTIVE);

    if (dns) {
        /* It does not look whether it had the memory for its table of requests; this makes that again. */
        evdns_base_set_option(dns, "max-inflight:", "64");
        evdns_base_load_hosts(dns, hosts);
        evdns_base_resolv_conf_parse(dns, options, resolv_conf);
    }
    return dns;
}

int cw_resolver_open(struct cw_loop *loop, const char *resolv_conf, const char *hosts)
{
    struct cw_resolver *resolver = cw_alloc_zero(sizeof *resolver);

    if (!resolver) {
        return CW_ENOMEM;
    }
    resolver->loop = loop;
    TAILQ_INIT(&resolver->lookups);
    resolver->dns = dns_new(loop->base, resolv_conf, hosts);
    if (!resolver->dns) {
        cw_release(resolver);
        return CW_ENOMEM;
    }
    loop->resolver = resolver;
    return CW_OK;
}

static void lookup_free(struct cw_lookup *lookup)
{
    TAILQ_REMOVE(&lookup->resolver->lookups, lookup, link);
    cw_release(lookup);
}

void cw_resolver_free(struct cw_loop *loop)
{
    struct cw_resolver *resolver = loop->resolver;
    int flushes = 0;

    if (!resolver) {
        return;
    }
    /* evdns tells of what was given up through the base, and releases its memory only there. */
    do {
        event_base_loop(loop->base, EVLOOP_NONBLOCK);
    } while (!TAILQ_EMPTY(&resolver->lookups) && ++flushes < FLUSHES_MAX);
    evdns_base_free(resolver->dns, 0);
    while (!TAILQ_EMPTY(&resolver->lookups)) {
        lookup_free(TAILQ_FIRST(&resolver->lookups));
    }
    cw_release(resolver);
    loop->resolver = NULL;
}

/* ---- lookups ---- */

static void take_addresses(const struct evutil_addrinfo *found, struct cw_lookup_answer *answer)
{
    for (const struct evutil_addrinfo *each = found; each && answer->count < CW_LOOKUP_MAX;
         each = each->ai_next) {
        struct cw_address *address = &answer->addresses[answer->count];

        if (cw_address_from_sockaddr(each->ai_addr, (socklen_t)each->ai_addrlen, address) == CW_OK) {
            address->port = 0;
            answer->count++;
        }
    }
}

static const char *word_error(int error)
{
    switch (error) {
    case 0:
    case EVUTIL_EAI_NONAME:
    case EVUTIL_EAI_NODATA:
        return cw_strerror(CW_ERESOLVE);
    case EVUTIL_EAI_AGAIN:
        return "no nameserver has an answer now";
    case EVUTIL_EAI_MEMORY:
        return cw_strerror(CW_ENOMEM);
    default:
        return "the nameservers failed";
    }
}

static void tell(struct cw_lookup *lookup, int error, const struct evutil_addrinfo *found)
{
    struct cw_lookup_answer answer = {
        .family = lookup->family,
        .code = error == EVUTIL_EAI_MEMORY ? CW_ENOMEM : CW_ERESOLVE,
        .why = word_error(error),
    };

    if (error == 0) {
        take_addresses(found, &answer);
    }
    if (lookup->fn) {
        lookup->fn(lookup->arg, &answer);
    }
}

static void on_answer(int error, struct evutil_addrinfo *found, void *arg)
{
    struct cw_lookup *lookup = arg;

    cw_loop_wake(lookup->resolver->loop);
    tell(lookup, error, found);
    if (found) {
        evutil_freeaddrinfo(found);
    }
    lookup->answered = true;
    if (!lookup->starting) {
        lookup_free(lookup);
    }
}

static struct cw_lookup *lookup_new(struct cw_loop *loop, enum cw_family family, cw_lookup_fn fn,
                                    void *arg)
{
    struct cw_lookup *lookup;

    if (!loop->resolver && cw_resolver_open(loop, "/etc/resolv.conf", "/etc/hosts") < 0) {
        return NULL;
    }
    lookup = cw_alloc_zero(sizeof *lookup);
    if (lookup) {
        lookup->resolver = loop->resolver;
        lookup->family = family;
        lookup->fn = fn;
        lookup->arg = arg;
        TAILQ_INSERT_TAIL(&loop->resolver->lookups, lookup, link);
    }
    return lookup;
}

struct cw_lookup *cw_lookup_start(struct cw_loop *loop, const char *host, enum cw_family family,
                                  cw_lookup_fn fn, void *arg)
{
    struct cw_lookup *lookup = lookup_new(loop, family, fn, arg);
    struct evutil_addrinfo hints = {
        .ai_family = family == CW_IPV6 ? AF_INET6 : AF_INET,
        .ai_socktype = SOCK_STREAM,
    };

    if (!lookup) {
        fn(arg, &(struct cw_lookup_answer){
                    .family = family, .code = CW_ENOMEM, .why = cw_strerror(CW_ENOMEM)});
        return NULL;
    }
    lookup->starting = true;
    lookup->request =
        evdns_getaddrinfo(lookup->resolver->dns, host, NULL, &hints, on_answer, lookup);
    lookup->starting = false;
    if (lookup->answered) {
        lookup_free(lookup);
        return NULL;
    }
    if (evdns_base_count_nameservers(lookup->resolver->dns) == 0) {
        /* Nobody will ever answer it; evdns would wait for a nameserver to be added. */
        cw_lookup_cancel(lookup);
        fn(arg, &(struct cw_lookup_answer){
                    .family = family,
                    .code = CW_ERESOLVE,
                    .why = "not in the hosts file, and no nameserver is configured"});
        return NULL;
    }
    return lookup;
}

void cw_lookup_cancel(struct cw_lookup *lookup)
{
    if (lookup && lookup->fn) {
        lookup->fn = NULL;
        evdns_getaddrinfo_cancel(lookup->request);
    }
}
