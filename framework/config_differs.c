/* What a new reading of a file says otherwise, and only a new start can change. */
#include "config_impl.h"
#include "options.h"
#include "server_impl.h"

#include <stdio.h>
#include <string.h>

/* Names, one behind the other. */
struct list {
    char *text;
    size_t cap;
    size_t len;
    size_t count;
    const struct cw_config_file *running;
    const struct cw_config_file *read;
    struct cw_server_options options[2]; /* with the defaults: saying one is no difference */
};

static void add(struct list *list, const char *name)
{
    static const char more[] = ", …";
    size_t need = strlen(name) + 2;

    list->count++;
    if (list->len + need + sizeof more <= list->cap) {
        snprintf(list->text + list->len, list->cap - list->len, "%s%s", list->len > 0 ? ", " : "",
                 name);
        list->len += strlen(list->text + list->len);
    } else if (list->len + sizeof more <= list->cap && list->len > 0 && !strstr(list->text, more)) {
        snprintf(list->text + list->len, list->cap - list->len, "%s", more);
        list->cap = 0;
    }
}

/* ---- options of the server ---- */

static uint64_t number_at(const void *options, size_t offset)
{
    uint64_t number;

    memcpy(&number, (const char *)options + offset, sizeof number);
    return number;
}

static void compare_option(const char *path, const struct cw_config_key *key, void *user)
{
    struct list *list = user;
    const size_t begin = offsetof(struct cw_config_file, config.server);
    size_t at = key->offset - begin;

    if (!(key->flags & CW_KEY_NEEDS_START) || strstr(path, "[]") || key->offset < begin ||
        at >= sizeof list->options[0]) {
        return;
    }
    /* A default that follows from another option is nothing that the file says. */
    if (number_at(&list->running->config.server, at) == 0 &&
        number_at(&list->read->config.server, at) == 0) {
        return;
    }
    if (number_at(&list->options[0], at) != number_at(&list->options[1], at)) {
        add(list, path);
    }
}

/* ---- listeners ---- */

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_tcp(const struct cw_tcp_options *a, const struct cw_tcp_options *b)
{
    return a->delay == b->delay && a->keepalive_ms == b->keepalive_ms &&
           a->keepalive_interval_ms == b->keepalive_interval_ms &&
           a->keepalive_probes == b->keepalive_probes && a->user_timeout_ms == b->user_timeout_ms &&
           a->send_buffer_bytes == b->send_buffer_bytes &&
           a->receive_buffer_bytes == b->receive_buffer_bytes;
}

static bool same_groups(const struct cw_datagram_options *a, const struct cw_datagram_options *b)
{
    bool same = a->group_count == b->group_count;

    for (size_t i = 0; same && i < a->group_count; i++) {
        same = same_text(a->groups[i].group, b->groups[i].group) &&
               same_text(a->groups[i].interface, b->groups[i].interface) &&
               same_text(a->groups[i].source, b->groups[i].source);
    }
    return same;
}

static bool same_datagram(const struct cw_datagram_options *a, const struct cw_datagram_options *b)
{
    return a->peers_max == b->peers_max && a->peer_idle_ms == b->peer_idle_ms &&
           a->peer_silent_ms == b->peer_silent_ms && a->amplification == b->amplification &&
           a->queue_max_bytes == b->queue_max_bytes &&
           a->receive_buffer_bytes == b->receive_buffer_bytes &&
           a->send_buffer_bytes == b->send_buffer_bytes &&
           a->datagrams_per_turn == b->datagrams_per_turn && a->ttl == b->ttl &&
           a->dont_fragment == b->dont_fragment && a->no_offload == b->no_offload &&
           a->one_worker == b->one_worker && same_groups(a, b) &&
           same_text(a->multicast_interface, b->multicast_interface) &&
           a->multicast_ttl == b->multicast_ttl && a->multicast_no_loop == b->multicast_no_loop &&
           a->broadcast == b->broadcast;
}

static void compare_listener(struct list *list, size_t index)
{
    const struct cw_config *running = &list->running->config;
    const struct cw_config *read = &list->read->config;
    const struct cw_listen_options *a = &running->listeners[index].options;
    const struct cw_listen_options *b = &read->listeners[index].options;
    const struct {
        bool same;
        const char *key;
    } parts[] = {
        {same_text(a->host, b->host), "bind"},
        {a->port == b->port, "port"},
        {same_text(a->unix_path, b->unix_path), "unix"},
        {a->unix_mode == b->unix_mode, "unix_mode"},
        {a->ipv6_only == b->ipv6_only, "ipv6_only"},
        {a->service.protocol == b->service.protocol, "protocol"},
        {same_tcp(&a->tcp, &b->tcp), "tcp"},
        {a->backlog == b->backlog, "tcp.backlog"},
        {same_datagram(&a->datagram, &b->datagram), "datagram"},
        {!cw_config_listener_tls(running, index) == !cw_config_listener_tls(read, index),
         list->read->said_listeners ? "tls" : "tls.enabled"},
    };

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char name[CW_CONFIG_PATH_MAX];

        if (list->read->said_listeners) {
            snprintf(name, sizeof name, "server.listeners[%zu].%s", index, parts[i].key);
        } else {
            snprintf(name, sizeof name, "server.%s", parts[i].key);
        }
        if (!parts[i].same) {
            add(list, name);
        }
    }
}

static void compare_listeners(struct list *list)
{
    size_t running = list->running->config.listener_count;
    size_t read = list->read->config.listener_count;

    for (size_t i = 0; i < running && i < read; i++) {
        compare_listener(list, i);
    }
    if (running != read) {
        add(list, "server.listeners");
    }
}

/* ---- protocols ---- */

static bool same_setting(const struct cw_setting *setting, const void *a, const void *b)
{
    const char *x = (const char *)a + setting->offset;
    const char *y = (const char *)b + setting->offset;

    switch (setting->kind) {
    case CW_SETTING_SWITCH:
    case CW_SETTING_SWITCH_OFF:
        return *(const bool *)x == *(const bool *)y;
    case CW_SETTING_CHOICE:
        return memcmp(x, y, sizeof(unsigned)) == 0;
    case CW_SETTING_TEXT:
        return same_text(*(const char *const *)(const void *)x,
                         *(const char *const *)(const void *)y);
    case CW_SETTING_COUNT:
    case CW_SETTING_BYTES:
    case CW_SETTING_DURATION:
    default:
        return memcmp(x, y, sizeof(uint64_t)) == 0;
    }
}

static void compare_protocols(struct list *list)
{
    for (size_t i = 0; i < list->running->service_count; i++) {
        const struct cw_service *a = &list->running->services[i];
        const struct cw_service *b = &list->read->services[i];
        const struct cw_setting *setting = a->protocol->settings;

        for (; setting && setting->key; setting++) {
            char name[CW_CONFIG_PATH_MAX];

            if (!same_setting(setting, a->options, b->options)) {
                snprintf(name, sizeof name, "server.%s.%s", a->protocol->name, setting->key);
                add(list, name);
            }
        }
    }
}

size_t cw_config_differs(const struct cw_config *running, const struct cw_config *read, char *text,
                         size_t cap)
{
    struct list list = {
        .text = text,
        .cap = cap,
        .running = (const struct cw_config_file *)running,
        .read = (const struct cw_config_file *)read,
        .options = {running->server, read->server},
    };
    struct cw_complaint ignored;

    if (cap > 0) {
        text[0] = '\0';
    }
    /* Both were checked when they were read. */
    (void)cw_options_fill(&list.options[0], &ignored);
    (void)cw_options_fill(&list.options[1], &ignored);
    cw_config_each_key(compare_option, &list);
    compare_listeners(&list);
    compare_protocols(&list);
    return list.count;
}
