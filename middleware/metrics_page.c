#include "metrics_page.h"

#include <causeway/datagram.h>
#include <causeway/log.h>
#include <causeway/server.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { TEXT_FIRST = 16384 };

static bool grow(struct cw_metrics_page *page, size_t extra)
{
    size_t cap = page->cap == 0 ? TEXT_FIRST : page->cap;

    while (cap - page->len <= extra) {
        cap *= 2;
    }
    char *bytes = cw_resize(page->bytes, cap);
    if (bytes == NULL) {
        page->failed = true;
        return false;
    }
    page->bytes = bytes;
    page->cap = cap;
    return true;
}

void cw_page_say(struct cw_metrics_page *page, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (len < 0 || page->failed ||
        (page->cap - page->len <= (size_t)len && !grow(page, (size_t)len))) {
        return;
    }
    va_start(args, format);
    vsnprintf(page->bytes + page->len, page->cap - page->len, format, args);
    va_end(args);
    page->len += (size_t)len;
}

void cw_page_family(struct cw_metrics_page *page, const char *name, const char *type,
                    const char *help)
{
    cw_page_say(page, "# HELP causeway_%s %s\n# TYPE causeway_%s %s\n", name, help, name, type);
}

void cw_page_one(struct cw_metrics_page *page, const char *name, const char *type, const char *help,
                 uint64_t value)
{
    cw_page_family(page, name, type, help);
    cw_page_say(page, "causeway_%s %" PRIu64 "\n", name, value);
}

void cw_page_escaped(struct cw_metrics_page *page, const char *value)
{
    for (const char *c = value; *c != '\0'; c++) {
        if (*c == '\n') {
            cw_page_say(page, "\\n");
        } else {
            cw_page_say(page, *c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
        }
    }
}

void cw_page_labelled(struct cw_metrics_page *page, const char *name, const char *label,
                      const char *value, uint64_t count)
{
    cw_page_say(page, "causeway_%s{%s=\"%s\"} %" PRIu64 "\n", name, label, value, count);
}

/* Without floating point, whose decimal sign is the locale's. */
void cw_page_seconds(struct cw_metrics_page *page, uint64_t us)
{
    uint64_t rest = us % 1000000;
    int digits = 6;

    while (digits > 1 && rest % 10 == 0) {
        rest /= 10;
        digits--;
    }
    cw_page_say(page, "%" PRIu64 ".%0*" PRIu64, us / 1000000, digits, rest);
}

static void say_connections(struct cw_metrics_page *page, const struct cw_server_stats *stats)
{
    static const char refused[] = "connections_refused_total";

    cw_page_one(page, "connections_open", "gauge", "Connections open now.", stats->conns_open);
    cw_page_one(page, "connections_total", "counter", "Connections accepted and not refused.",
                stats->conns_total);
    cw_page_family(page, refused, "counter", "Connections refused, by the limit or rule.");
    cw_page_labelled(page, refused, "reason", "conns_max", stats->refused_conns_max);
    cw_page_labelled(page, refused, "reason", "conns_per_ip_max", stats->refused_conns_per_ip);
    cw_page_labelled(page, refused, "reason", "middleware", stats->refused_middleware);
    cw_page_labelled(page, refused, "reason", "descriptors", stats->refused_descriptors);
    cw_page_one(page, "connections_failed_total", "counter",
                "Connections that ended with an error.", stats->closed_by_error);
    cw_page_family(page, "tls_handshakes_total", "counter", "TLS handshakes, by outcome.");
    cw_page_labelled(page, "tls_handshakes_total", "outcome", "full", stats->handshakes_full);
    cw_page_labelled(page, "tls_handshakes_total", "outcome", "resumed", stats->handshakes_resumed);
    cw_page_labelled(page, "tls_handshakes_total", "outcome", "failed", stats->handshakes_failed);
}

static void say_traffic(struct cw_metrics_page *page, const struct cw_server_stats *stats)
{
    cw_page_one(page, "received_bytes_total", "counter", "Bytes received, without TLS.",
                stats->bytes_in);
    cw_page_one(page, "sent_bytes_total", "counter", "Bytes sent, without TLS.", stats->bytes_out);
    cw_page_one(page, "messages_received_total", "counter",
                "Messages of protocols that have such, received.", stats->messages_in);
    cw_page_one(page, "messages_sent_total", "counter",
                "Messages of protocols that have such, sent.", stats->messages_out);
    cw_page_one(page, "messages_dropped_total", "counter",
                "Messages dropped by a policy or a limit.", stats->messages_dropped);
    cw_page_one(page, "queued_bytes", "gauge", "Bytes that wait in output queues.",
                stats->queued_bytes);
    cw_page_one(page, "posts_waiting", "gauge", "Posts that wait for a worker.",
                stats->posts_waiting);
    cw_page_one(page, "work_waiting", "gauge", "Work that waits for a helper thread.",
                stats->work_waiting);
    cw_page_one(page, "handshakes_waiting", "gauge",
                "TLS handshakes that wait for a helper thread.", stats->handshakes_waiting);
}

static void say_datagram_drops(struct cw_metrics_page *page, const struct cw_datagram_stats *stats)
{
    static const char in[] = "datagrams_in_dropped_total";
    static const char out[] = "datagrams_out_dropped_total";
    static const char errors[] = "datagram_errors_total";

    cw_page_family(page, in, "counter", "Datagrams that came and were dropped, by reason.");
    cw_page_labelled(page, in, "reason", "kernel", stats->dropped_kernel);
    cw_page_labelled(page, in, "reason", "truncated", stats->dropped_truncated);
    cw_page_labelled(page, in, "reason", "paused", stats->dropped_paused);
    cw_page_labelled(page, in, "reason", "rule", stats->dropped_rule);
    cw_page_family(page, out, "counter", "Datagrams that were not sent, by reason.");
    cw_page_labelled(page, out, "reason", "unproven", stats->dropped_unproven);
    cw_page_labelled(page, out, "reason", "too_big", stats->dropped_too_big);
    cw_page_labelled(page, out, "reason", "full", stats->dropped_full);
    cw_page_labelled(page, out, "reason", "error", stats->dropped_error);
    cw_page_family(page, errors, "counter", "ICMP errors, by what they say.");
    cw_page_labelled(page, errors, "reason", "refused", stats->errors_refused);
    cw_page_labelled(page, errors, "reason", "unreachable", stats->errors_unreachable);
    cw_page_labelled(page, errors, "reason", "other", stats->errors_other);
}

static void say_datagrams(struct cw_metrics_page *page, const struct cw_server *server)
{
    struct cw_datagram_stats stats;

    cw_server_datagram_stats(server, &stats);
    if (stats.sockets == 0) {
        return;
    }
    cw_page_one(page, "datagram_sockets", "gauge", "Sockets of datagrams open now.", stats.sockets);
    cw_page_one(page, "datagrams_received_total", "counter", "Datagrams received.", stats.received);
    cw_page_one(page, "datagrams_sent_total", "counter", "Datagrams the kernel took.", stats.sent);
    cw_page_one(page, "datagram_peers_expired_total", "counter", "Peers that were silent too long.",
                stats.peers_expired);
    cw_page_one(page, "datagram_peers_replaced_total", "counter",
                "Peers that made room for another.", stats.peers_replaced);
    cw_page_one(page, "datagram_peers_refused_total", "counter",
                "First datagrams that got no peer.", stats.peers_refused);
    say_datagram_drops(page, &stats);
    cw_page_one(page, "dtls_cookies_total", "counter", "Hellos answered with a cookie.",
                stats.dtls_cookies);
    cw_page_one(page, "dtls_ignored_total", "counter",
                "Datagrams without a peer that were no hello.", stats.dtls_ignored);
}

void cw_page_server(struct cw_metrics_page *page, const struct cw_server *server)
{
    struct cw_server_stats stats;

    cw_server_stats(server, &stats);
    say_connections(page, &stats);
    say_traffic(page, &stats);
    say_datagrams(page, server);
}
