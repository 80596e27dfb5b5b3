/* Who is behind a proxy: Forwarded (RFC 7239) and the X-Forwarded fields. */
#include "http/http_bytes.h"
#include "http/http_fields_impl.h"
#include "http/http_target.h"

#include <causeway/error.h>
#include <causeway/http_fields.h>
#include <causeway/span.h>

/* ---- lists, from their end ---- */

/* Whether the quote at `at` closes or opens a quoted text, seen from behind: an even run of backslashes is in front of it. */
static bool is_bare_quote(struct cw_span list, size_t at)
{
    size_t slashes = 0;

    while (slashes < at && list.data[at - 1 - slashes] == '\\') {
        slashes++;
    }
    return slashes % 2 == 0;
}

/* Where the last element begins. Read from behind, as what a trusted proxy adds stands last: a quote that the client left open in
 * front of it cannot swallow it. */
static size_t last_start(struct cw_span list)
{
    bool quoted = false;
    size_t at = list.len;

    while (at > 0) {
        uint8_t byte = list.data[at - 1];

        if (byte == '"' && (!quoted || is_bare_quote(list, at - 1))) {
            quoted = !quoted;
        } else if (byte == ',' && !quoted) {
            return at;
        }
        at--;
    }
    return 0;
}

/* The last element, trimmed; empty ones are passed over. False: no more. */
static bool list_last(struct cw_span *rest, struct cw_span *element)
{
    while (rest->len > 0) {
        size_t start = last_start(*rest);

        *element = cw_http_trimmed(rest->data + start, rest->data + rest->len);
        rest->len = start > 0 ? start - 1 : 0;
        if (element->len > 0) {
            return true;
        }
    }
    return false;
}

/* The same over several fields, the last of them first. */
struct walk {
    const struct cw_span *fields;
    size_t left;
    struct cw_span rest;
};

static bool walk_back(struct walk *walk, struct cw_span *element)
{
    while (!list_last(&walk->rest, element)) {
        if (walk->left == 0) {
            return false;
        }
        walk->rest = walk->fields[--walk->left];
    }
    return true;
}

/* ---- one hop ---- */

/* An address with or without a port; an obfuscated port (RFC 7239 §6.3) says nothing. Zone identifiers are of another machine. */
static bool read_node(struct cw_span node, struct cw_address *address)
{
    char text[CW_ADDRESS_TEXT_MAX];

    for (size_t i = 0; i + 1 < node.len; i++) {
        if (node.data[i] == ':' && node.data[i + 1] == '_') {
            node.len = i;
        }
    }
    return node.len > 0 && memchr(node.data, '%', node.len) == NULL &&
           cw_span_to_text(node, text, sizeof text) == CW_OK &&
           cw_address_parse(text, address) == CW_OK;
}

/* RFC 7239 §6: an IPv6 address stands in brackets. */
static bool is_bare_ipv6(struct cw_span node)
{
    size_t colons = 0;

    for (size_t i = 0; i < node.len; i++) {
        colons += node.data[i] == ':';
    }
    return colons > 1 && node.data[0] != '[';
}

static void take_host(struct cw_span host, struct cw_http_origin *origin)
{
    struct cw_span name;
    uint16_t port = 0;

    if (host.data != NULL && cw_http_parse_authority(host, &name, &port) == CW_OK) {
        origin->host = name;
        origin->port = port;
    }
}

static void take_scheme(struct cw_span scheme, struct cw_http_origin *origin)
{
    origin->is_https = scheme.data != NULL && cw_http_equal(scheme, "https");
    origin->told_scheme =
        origin->is_https || (scheme.data != NULL && cw_http_equal(scheme, "http"));
}

/* ---- Forwarded ---- */

enum { HOP_FOR, HOP_HOST, HOP_PROTO, HOP_PARTS };

/* Quotes are taken off, backslashes are not: nothing that counts here needs them, and nothing with them is taken. */
static struct cw_span without_quotes(struct cw_span value)
{
    bool quoted = value.len >= 2 && value.data[0] == '"';

    return quoted ? cw_span_of(value.data + 1, value.len - 2) : value;
}

/* RFC 7239 §4: no parameter twice. */
static bool read_element(struct cw_span element, struct cw_span parts[HOP_PARTS])
{
    static const char *const names[HOP_PARTS] = {"for", "host", "proto"};
    struct cw_span name;
    struct cw_span value;
    int code;

    for (size_t i = 0; i < HOP_PARTS; i++) {
        parts[i] = (struct cw_span){NULL, 0};
    }
    while ((code = cw_http_pair_next(&element, &name, &value)) > 0) {
        for (size_t i = 0; i < HOP_PARTS; i++) {
            if (!cw_http_equal(name, names[i])) {
                continue;
            }
            if (parts[i].data != NULL) {
                return false;
            }
            parts[i] = without_quotes(value);
        }
    }
    return code == 0;
}

static void walk_forwarded(const struct cw_http_hop_fields *fields,
                           bool (*trusts)(const struct cw_address *address, void *user), void *user,
                           struct cw_http_origin *origin)
{
    struct walk walk = {fields->forwarded, fields->forwarded_count, {NULL, 0}};
    struct cw_span element;
    struct cw_span parts[HOP_PARTS];
    struct cw_address address;

    do {
        if (!walk_back(&walk, &element) || !read_element(element, parts)) {
            return;
        }
        /* What a trusted hop tells of host and scheme counts also where it hides the address. */
        origin->host = (struct cw_span){NULL, 0};
        origin->port = 0;
        take_host(parts[HOP_HOST], origin);
        take_scheme(parts[HOP_PROTO], origin);
        if (is_bare_ipv6(parts[HOP_FOR]) || !read_node(parts[HOP_FOR], &address)) {
            return;
        }
        origin->client = address;
    } while (trusts(&address, user));
}

/* ---- X-Forwarded-For, -Proto, -Host ---- */

/* Proxies append to Proto and Host as they do to For, or replace them. So the value that goes with a hop stands as far from the
 * end as the hop does, or first. */
static struct cw_span at_hop(struct cw_span list, size_t hop)
{
    struct cw_span element = {NULL, 0};
    struct cw_span earlier;

    for (size_t i = 0; i <= hop && list_last(&list, &earlier); i++) {
        element = earlier;
    }
    return element;
}

static void walk_x_forwarded(const struct cw_http_hop_fields *fields,
                             bool (*trusts)(const struct cw_address *address, void *user),
                             void *user, struct cw_http_origin *origin)
{
    struct walk walk = {fields->for_list, fields->for_count, {NULL, 0}};
    struct cw_span element;
    struct cw_address address;
    size_t hops = 0;

    while (walk_back(&walk, &element) && read_node(element, &address)) {
        origin->client = address;
        hops++;
        if (!trusts(&address, user)) {
            break;
        }
    }
    size_t hop = hops > 0 ? hops - 1 : 0;
    take_host(at_hop(fields->host, hop), origin);
    take_scheme(at_hop(fields->proto, hop), origin);
}

void cw_http_find_origin(const struct cw_http_hop_fields *fields, const struct cw_address *peer,
                         bool (*trusts)(const struct cw_address *address, void *user), void *user,
                         struct cw_http_origin *origin)
{
    *origin = (struct cw_http_origin){.client = *peer};
    if (fields->forwarded_count > 0) {
        walk_forwarded(fields, trusts, user, origin);
    } else {
        walk_x_forwarded(fields, trusts, user, origin);
    }
}
