#include "config_keys.h"

#include "config_impl.h"
#include "options.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define COUNT(table) (sizeof(table) / sizeof(table)[0])
#define SECTION(table)                                                                             \
    {                                                                                              \
        table, COUNT(table)                                                                        \
    }
#define FILE_AT(member) offsetof(struct cw_config_file, member)
#define DRAFT_AT(member) offsetof(struct cw_config_draft, member)

#define YEAR_MS (365ull * 24 * 3600 * 1000)
#define HOUR_MS (3600ull * 1000)
#define TERABYTE (1ull << 40)
#define KERNEL_KEEPALIVE_MS 32767000ull
#define START CW_KEY_NEEDS_START

/* A number of struct cw_server_options. */
#define SERVER_KEY(key, field, what, top, may)                                                     \
    {                                                                                              \
        .name = key, .member = #field, .kind = what, .flags = may,                                 \
        .offset = FILE_AT(config.server.field), .least = 1, .most = top                            \
    }
#define SERVER_SWITCH(key, field)                                                                  \
    {                                                                                              \
        .name = key, .kind = CW_SETTING_SWITCH, .offset = FILE_AT(config.server.field)             \
    }

/* ---- sections that stand in several places: `at` is where their struct lies ---- */

#define TCP_NUMBER(key, at, field, what, top, may)                                                 \
    {                                                                                              \
        .name = key, .member = "tcp." #field, .kind = what, .flags = (may) | START,                \
        .offset = (at) + offsetof(struct cw_config_tcp, options.field), .least = 1, .most = top    \
    }

#define TCP_KEYS(at)                                                                               \
    {.name = "no_delay",                                                                           \
     .kind = CW_SETTING_SWITCH_OFF,                                                                \
     .flags = START,                                                                               \
     .offset = (at) + offsetof(struct cw_config_tcp, options.delay)},                              \
        {.name = "keep_alive",                                                                     \
         .kind = CW_SETTING_SWITCH_OFF,                                                            \
         .flags = START,                                                                           \
         .offset = (at) + offsetof(struct cw_config_tcp, keep_alive_off)},                         \
        TCP_NUMBER("keep_alive_initial_delay", at, keepalive_ms, CW_SETTING_DURATION,              \
                   KERNEL_KEEPALIVE_MS, 0),                                                        \
        TCP_NUMBER("keep_alive_interval", at, keepalive_interval_ms, CW_SETTING_DURATION,          \
                   KERNEL_KEEPALIVE_MS, 0),                                                        \
        TCP_NUMBER("keep_alive_probes", at, keepalive_probes, CW_SETTING_COUNT, 127, 0),           \
        TCP_NUMBER("user_timeout", at, user_timeout_ms, CW_SETTING_DURATION, INT_MAX, CW_MAY_OFF), \
        TCP_NUMBER("send_buffer", at, send_buffer_bytes, CW_SETTING_BYTES, INT_MAX, 0),            \
        TCP_NUMBER("receive_buffer", at, receive_buffer_bytes, CW_SETTING_BYTES, INT_MAX, 0),      \
    {                                                                                              \
        .name = "backlog", .member = "backlog", .kind = CW_SETTING_COUNT, .flags = START,          \
        .offset = (at) + offsetof(struct cw_config_tcp, backlog), .least = 1, .most = 65535        \
    }

#define TLS_KEY(key, at, field, what)                                                              \
    {                                                                                              \
        .name = key, .member = "tls." #field, .kind = what,                                        \
        .offset = (at) + offsetof(struct cw_config_tls, options.field)                             \
    }
#define TLS_NUMBER(key, at, field, what, low, top)                                                 \
    {                                                                                              \
        .name = key, .member = "tls." #field, .kind = what,                                        \
        .offset = (at) + offsetof(struct cw_config_tls, options.field), .least = low, .most = top  \
    }

#define TLS_KEYS(at)                                                                               \
    {.name = "enabled",                                                                            \
     .kind = CW_SETTING_SWITCH,                                                                    \
     .flags = START,                                                                               \
     .offset = (at) + offsetof(struct cw_config_tls, enabled)},                                    \
        TLS_KEY("cert", at, cert, CW_KEY_PATH), TLS_KEY("key", at, key, CW_KEY_PATH),              \
        TLS_KEY("passphrase", at, passphrase, CW_KEY_SECRET), TLS_KEY("ca", at, ca, CW_KEY_PATH),  \
        TLS_KEY("crl", at, crl, CW_KEY_PATH),                                                      \
        {.name = "request_cert",                                                                   \
         .member = "tls.client_cert",                                                              \
         .kind = CW_SETTING_CHOICE,                                                                \
         .offset = (at) + offsetof(struct cw_config_tls, request_cert),                            \
         .choices = requests},                                                                     \
        {.name = "reject_unauthorized",                                                            \
         .member = "tls.accept_unauthorized",                                                      \
         .kind = CW_SETTING_SWITCH_OFF,                                                            \
         .offset = (at) + offsetof(struct cw_config_tls, options.accept_unauthorized)},            \
        TLS_KEY("min_version", at, min_version, CW_KEY_VERSION),                                   \
        TLS_KEY("max_version", at, max_version, CW_KEY_VERSION),                                   \
        TLS_KEY("alpn", at, alpn, CW_KEY_WORDS), TLS_KEY("ciphers", at, ciphers, CW_KEY_WORDS),    \
        TLS_KEY("groups", at, groups, CW_KEY_WORDS),                                               \
        {.name = "resumption",                                                                     \
         .member = "tls.resumption",                                                               \
         .kind = CW_SETTING_CHOICE,                                                                \
         .offset = (at) + offsetof(struct cw_config_tls, options.resumption),                      \
         .choices = resumptions},                                                                  \
        TLS_NUMBER("ticket_lifetime", at, ticket_key_ms, CW_SETTING_DURATION, 1000, 604800000),    \
        TLS_NUMBER("session_lifetime", at, session_ms, CW_SETTING_DURATION, 1000, 604800000),      \
        TLS_NUMBER("max_sessions", at, sessions_max, CW_SETTING_COUNT, 1, 65536),                  \
        TLS_NUMBER("record_start", at, record_start_bytes, CW_SETTING_BYTES, 1, 16384),            \
        TLS_NUMBER("record_grow", at, record_grow_bytes, CW_SETTING_BYTES, 1, TERABYTE),           \
        TLS_NUMBER("record_rest", at, record_rest_ms, CW_SETTING_DURATION, 1, YEAR_MS),            \
        TLS_NUMBER("mtu", at, mtu_bytes, CW_SETTING_BYTES, 256, 65507),                            \
        TLS_NUMBER("retransmit_min", at, retransmit_min_ms, CW_SETTING_DURATION, 1, 3600000),      \
        TLS_NUMBER("retransmit_max", at, retransmit_max_ms, CW_SETTING_DURATION, 1, 3600000),      \
        TLS_KEY("connection_id", at, connection_id, CW_SETTING_SWITCH),                            \
    {                                                                                              \
        .name = "certificates", .member = "tls.certificates", .kind = CW_KEY_CERTIFICATES,         \
        .offset = (at) + offsetof(struct cw_config_tls, options), .section = &certificate          \
    }

#define DATAGRAM_KEY(key, at, field, what)                                                         \
    {                                                                                              \
        .name = key, .member = "datagram." #field, .kind = what, .flags = START,                   \
        .offset = (at) + offsetof(struct cw_datagram_options, field)                               \
    }
#define DATAGRAM_NUMBER(key, at, field, what, top, may)                                            \
    {                                                                                              \
        .name = key, .member = "datagram." #field, .kind = what, .flags = (may) | START,           \
        .offset = (at) + offsetof(struct cw_datagram_options, field), .least = 1, .most = top      \
    }

#define DATAGRAM_KEYS(at)                                                                          \
    DATAGRAM_NUMBER("max_peers", at, peers_max, CW_SETTING_COUNT, 16777216, 0),                    \
        DATAGRAM_NUMBER("peer_idle_timeout", at, peer_idle_ms, CW_SETTING_DURATION, YEAR_MS,       \
                        CW_MAY_OFF),                                                               \
        DATAGRAM_NUMBER("peer_silent_timeout", at, peer_silent_ms, CW_SETTING_DURATION, YEAR_MS,   \
                        CW_MAY_OFF),                                                               \
        DATAGRAM_NUMBER("amplification", at, amplification, CW_SETTING_COUNT, 1000000,             \
                        CW_MAY_NO_LIMIT),                                                          \
        DATAGRAM_NUMBER("max_queue", at, queue_max_bytes, CW_SETTING_BYTES, TERABYTE, 0),          \
        DATAGRAM_NUMBER("receive_buffer", at, receive_buffer_bytes, CW_SETTING_BYTES, INT_MAX, 0), \
        DATAGRAM_NUMBER("send_buffer", at, send_buffer_bytes, CW_SETTING_BYTES, INT_MAX, 0),       \
        DATAGRAM_NUMBER("datagrams_per_turn", at, datagrams_per_turn, CW_SETTING_COUNT, 65536, 0), \
        DATAGRAM_NUMBER("ttl", at, ttl, CW_SETTING_COUNT, 255, 0),                                 \
        DATAGRAM_KEY("dont_fragment", at, dont_fragment, CW_SETTING_SWITCH),                       \
        DATAGRAM_KEY("offload", at, no_offload, CW_SETTING_SWITCH_OFF),                            \
        DATAGRAM_KEY("one_worker", at, one_worker, CW_SETTING_SWITCH),                             \
        {.name = "groups",                                                                         \
         .member = "datagram.groups",                                                              \
         .kind = CW_KEY_GROUPS,                                                                    \
         .flags = START,                                                                           \
         .offset = (at) + offsetof(struct cw_datagram_options, groups),                            \
         .section = &group},                                                                       \
        DATAGRAM_KEY("multicast_interface", at, multicast_interface, CW_SETTING_TEXT),             \
        DATAGRAM_NUMBER("multicast_ttl", at, multicast_ttl, CW_SETTING_COUNT, 255, 0),             \
        DATAGRAM_KEY("multicast_loop", at, multicast_no_loop, CW_SETTING_SWITCH_OFF),              \
        DATAGRAM_KEY("broadcast", at, broadcast, CW_SETTING_SWITCH)

#define PLACE_KEYS(at)                                                                             \
    {.name = "bind",                                                                               \
     .kind = CW_SETTING_TEXT,                                                                      \
     .flags = START,                                                                               \
     .offset = (at) + DRAFT_AT(listener.options.host)},                                            \
        {.name = "port",                                                                           \
         .kind = CW_KEY_PORT,                                                                      \
         .flags = START,                                                                           \
         .offset = (at) + DRAFT_AT(listener.options.port),                                         \
         .most = 65535},                                                                           \
        {.name = "unix",                                                                           \
         .kind = CW_KEY_PATH,                                                                      \
         .flags = START,                                                                           \
         .offset = (at) + DRAFT_AT(listener.options.unix_path)},                                   \
        {.name = "unix_mode",                                                                      \
         .kind = CW_KEY_MODE,                                                                      \
         .flags = START,                                                                           \
         .offset = (at) + DRAFT_AT(listener.options.unix_mode),                                    \
         .most = 0777},                                                                            \
    {                                                                                              \
        .name = "ipv6_only", .kind = CW_SETTING_SWITCH, .flags = START,                            \
        .offset = (at) + DRAFT_AT(listener.options.ipv6_only)                                      \
    }

/* ---- words ---- */

static const char *const requests[] = {"false", "true", "optional", NULL};
static const char *const resumptions[] = {"tickets", "cache", "off", NULL};
static const char *const levels[] = {"debug", "info", "warning", "error", "silent", NULL};
static const char *const formats[] = {"text", "json", NULL};
static const char *const versions[] = {"1.2", "1.3", NULL};

/* ---- the tables ---- */

static const struct cw_config_key certificate_keys[] = {
    {.name = "names", .kind = CW_KEY_WORDS, .offset = offsetof(struct cw_tls_certificate, names)},
    {.name = "cert", .kind = CW_KEY_PATH, .offset = offsetof(struct cw_tls_certificate, cert)},
    {.name = "key", .kind = CW_KEY_PATH, .offset = offsetof(struct cw_tls_certificate, key)},
    {.name = "passphrase",
     .kind = CW_KEY_SECRET,
     .offset = offsetof(struct cw_tls_certificate, passphrase)},
};
static const struct cw_config_section certificate = SECTION(certificate_keys);

static const struct cw_config_key group_keys[] = {
    {.name = "group", .kind = CW_SETTING_TEXT, .offset = offsetof(struct cw_multicast_group, group)},
    {.name = "interface",
     .kind = CW_SETTING_TEXT,
     .offset = offsetof(struct cw_multicast_group, interface)},
    {.name = "source",
     .kind = CW_SETTING_TEXT,
     .offset = offsetof(struct cw_multicast_group, source)},
};
static const struct cw_config_section group = SECTION(group_keys);

static const struct cw_config_key listener_tcp_keys[] = {TCP_KEYS(DRAFT_AT(tcp))};
static const struct cw_config_section listener_tcp = SECTION(listener_tcp_keys);
static const struct cw_config_key listener_tls_keys[] = {TLS_KEYS(DRAFT_AT(tls))};
static const struct cw_config_section listener_tls = SECTION(listener_tls_keys);
static const struct cw_config_key listener_datagram_keys[] = {
    DATAGRAM_KEYS(DRAFT_AT(listener.options.datagram))};
static const struct cw_config_section listener_datagram = SECTION(listener_datagram_keys);

static const struct cw_config_key listener_keys[] = {
    {.name = "protocol",
     .kind = CW_KEY_PROTOCOL,
     .flags = START,
     .offset = DRAFT_AT(listener.options.service)},
    PLACE_KEYS(0),
    {.name = "tls", .kind = CW_KEY_OWN_TLS, .offset = DRAFT_AT(own_tls), .section = &listener_tls},
    {.name = "tcp", .kind = CW_KEY_SECTION, .section = &listener_tcp},
    {.name = "datagram", .kind = CW_KEY_SECTION, .section = &listener_datagram},
};
static const struct cw_config_section listener = SECTION(listener_keys);

static const struct cw_config_key server_tcp_keys[] = {
    TCP_KEYS(FILE_AT(tcp)),
    SERVER_KEY("timeout", idle_ms, CW_SETTING_DURATION, YEAR_MS, CW_MAY_OFF),
    SERVER_SWITCH("allow_half_open", half_open),
};
static const struct cw_config_section server_tcp = SECTION(server_tcp_keys);
static const struct cw_config_key server_tls_keys[] = {TLS_KEYS(FILE_AT(tls))};
static const struct cw_config_section server_tls = SECTION(server_tls_keys);
static const struct cw_config_key server_datagram_keys[] = {DATAGRAM_KEYS(FILE_AT(config.datagram))};
static const struct cw_config_section server_datagram = SECTION(server_datagram_keys);

static const struct cw_config_key log_keys[] = {
    {.name = "level",
     .kind = CW_SETTING_CHOICE,
     .offset = FILE_AT(config.log_level),
     .choices = levels},
    {.name = "format",
     .kind = CW_SETTING_CHOICE,
     .offset = FILE_AT(config.log_format),
     .choices = formats},
};
static const struct cw_config_section log_section = SECTION(log_keys);

static const struct cw_config_key server_keys[] = {
    PLACE_KEYS(FILE_AT(place)),
    {.name = "listeners", .kind = CW_KEY_LISTENERS, .section = &listener},
    SERVER_KEY("workers", workers, CW_SETTING_COUNT, 256, CW_MAY_PER_CORE | START),
    SERVER_KEY("max_connections", conns_max, CW_SETTING_COUNT, 16777216, CW_MAY_NO_LIMIT),
    SERVER_KEY("max_connections_per_ip", conns_per_ip_max, CW_SETTING_COUNT, 16777216,
               CW_MAY_NO_LIMIT),
    {.name = "trusted_proxies",
     .member = "trusted_proxies",
     .kind = CW_KEY_NETWORKS,
     .offset = FILE_AT(config.server.trusted_proxies)},
    {.name = "max_frame_size",
     .kind = CW_SETTING_BYTES,
     .flags = START,
     .offset = FILE_AT(max_frame_size),
     .least = 1,
     .most = TERABYTE},
    SERVER_KEY("drain_timeout", drain_ms, CW_SETTING_DURATION, YEAR_MS, 0),
    SERVER_KEY("handshake_timeout", handshake_ms, CW_SETTING_DURATION, YEAR_MS, CW_MAY_OFF),
    SERVER_KEY("read_timeout", read_ms, CW_SETTING_DURATION, YEAR_MS, CW_MAY_OFF),
    SERVER_KEY("write_timeout", write_ms, CW_SETTING_DURATION, YEAR_MS, CW_MAY_OFF),
    SERVER_KEY("max_input", in_max_bytes, CW_SETTING_BYTES, TERABYTE, 0),
    SERVER_KEY("output_high", out_high_bytes, CW_SETTING_BYTES, TERABYTE, 0),
    SERVER_KEY("output_low", out_low_bytes, CW_SETTING_BYTES, TERABYTE, 0),
    SERVER_KEY("max_output", out_max_bytes, CW_SETTING_BYTES, TERABYTE, CW_MAY_NO_LIMIT),
    SERVER_KEY("max_buffered", buffered_max_bytes, CW_SETTING_BYTES, TERABYTE, CW_MAY_NO_LIMIT),
    SERVER_SWITCH("read_while_full", read_while_full),
    SERVER_KEY("accepts_per_turn", accepts_per_turn, CW_SETTING_COUNT, 65536, 0),
    SERVER_KEY("reads_per_turn", reads_per_turn_bytes, CW_SETTING_BYTES, TERABYTE, 0),
    SERVER_KEY("messages_per_turn", messages_per_turn, CW_SETTING_COUNT, 60000, 0),
    SERVER_KEY("max_mailbox", mailbox_max, CW_SETTING_COUNT, 1ull << 32, CW_MAY_NO_LIMIT | START),
    SERVER_KEY("max_mailbox_size", mailbox_max_bytes, CW_SETTING_BYTES, TERABYTE,
               CW_MAY_NO_LIMIT | START),
    SERVER_KEY("work_threads", work_threads, CW_SETTING_COUNT, 64, START),
    SERVER_KEY("max_work", work_max, CW_SETTING_COUNT, 1ull << 32, CW_MAY_NO_LIMIT),
    SERVER_KEY("handshake_threads", handshake_threads, CW_SETTING_COUNT, 64,
               CW_MAY_OFF | CW_MAY_PER_CORE | START),
    SERVER_KEY("handshakes_per_turn", handshakes_per_turn, CW_SETTING_COUNT, 65536, 0),
    SERVER_KEY("max_handshakes", handshakes_max, CW_SETTING_COUNT, 1ull << 32, CW_MAY_NO_LIMIT),
    SERVER_KEY("max_rooms", rooms_max, CW_SETTING_COUNT, 1ull << 32, CW_MAY_NO_LIMIT | START),
    SERVER_KEY("max_room_members", room_members_max, CW_SETTING_COUNT, 1ull << 32,
               CW_MAY_NO_LIMIT | START),
    SERVER_KEY("max_rooms_per_connection", rooms_per_conn_max, CW_SETTING_COUNT, 1ull << 20,
               CW_MAY_NO_LIMIT | START),
    SERVER_KEY("max_room_name", room_name_max_bytes, CW_SETTING_BYTES, 65536, START),
    SERVER_KEY("max_room_presence", room_presence_max_bytes, CW_SETTING_BYTES, 65536, START),
    {.name = "tcp", .kind = CW_KEY_SECTION, .section = &server_tcp},
    {.name = "datagram", .kind = CW_KEY_SECTION, .section = &server_datagram},
    {.name = "tls", .kind = CW_KEY_SECTION, .section = &server_tls},
    {.name = "log", .kind = CW_KEY_SECTION, .section = &log_section},
};
static const struct cw_config_section server = SECTION(server_keys);

static const struct cw_config_key top_keys[] = {
    {.name = "server", .kind = CW_KEY_SECTION, .section = &server},
};
const struct cw_config_section cw_config_top = SECTION(top_keys);

struct cw_config_key cw_config_key_of(const struct cw_setting *setting)
{
    return (struct cw_config_key){
        .name = setting->key,
        .kind = (unsigned)setting->kind,
        .flags = START | (setting->may_be_off ? CW_MAY_OFF : 0u) |
                 (setting->may_be_unlimited ? CW_MAY_NO_LIMIT : 0u),
        .offset = setting->offset,
        .least = setting->least,
        .most = setting->most,
        .choices = setting->choices,
    };
}

/* ---- what is asked of them ---- */

struct walk {
    void (*fn)(const char *path, const struct cw_config_key *key, void *user);
    void *user;
};

/* As deep as the tables are. */
static void walk_section(const struct walk *walk, const struct cw_config_section *section,
                         const char *above)
{
    for (size_t i = 0; i < section->count; i++) {
        const struct cw_config_key *key = &section->keys[i];
        bool list = key->kind == CW_KEY_LISTENERS || key->kind == CW_KEY_CERTIFICATES ||
                    key->kind == CW_KEY_GROUPS;
        char path[CW_CONFIG_PATH_MAX];

        snprintf(path, sizeof path, "%s%s%s", above, above[0] ? "." : "", key->name);
        walk->fn(path, key, walk->user);
        if (key->section) {
            snprintf(path, sizeof path, "%s%s%s%s", above, above[0] ? "." : "", key->name,
                     list ? "[]" : "");
            walk_section(walk, key->section, path);
        }
    }
}

void cw_config_each_key(void (*fn)(const char *path, const struct cw_config_key *key, void *user),
                        void *user)
{
    walk_section(&(struct walk){fn, user}, &cw_config_top, "");
}

size_t cw_config_distance(const char *a, const char *b)
{
    size_t row[64];
    size_t b_len = strlen(b);

    if (b_len >= 64 || strlen(a) >= 64) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= b_len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t changed = diagonal + (a[i - 1] != b[j - 1]);
            size_t shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

            diagonal = row[j];
            row[j] = changed < shorter ? changed : shorter;
        }
    }
    return row[b_len];
}

const struct cw_config_key *cw_config_find(const struct cw_config_section *section, const char *name)
{
    const struct cw_config_key *best = NULL;
    size_t best_distance = strlen(name) / 3 + 1;

    for (size_t i = 0; i < section->count; i++) {
        size_t far = cw_config_distance(name, section->keys[i].name);

        if (far < best_distance) {
            best = &section->keys[i];
            best_distance = far;
        }
    }
    return best;
}

/* ---- words ---- */

/* In the largest unit that holds it exactly. */
static const char *duration(uint64_t ms, char *text, size_t cap)
{
    static const struct {
        uint64_t factor;
        const char *name;
    } units[] = {{3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    size_t i = 0;

    while (ms % units[i].factor != 0) {
        i++;
    }
    snprintf(text, cap, "%llu%s", (unsigned long long)(ms / units[i].factor), units[i].name);
    return text;
}

static void word_number(const struct cw_config_key *key, char *text)
{
    char least[32];
    char most[32];

    if (key->most == 0) {
        snprintf(text, CW_ALLOWED_MAX, "a number");
    } else if (key->kind == CW_SETTING_DURATION) {
        snprintf(text, CW_ALLOWED_MAX, "%s to %s, seconds where there is no unit (ms, s, m, h)",
                 duration(key->least == 0 ? 1 : key->least, least, sizeof least),
                 duration(key->most, most, sizeof most));
    } else {
        snprintf(text, CW_ALLOWED_MAX, "%llu to %llu%s", (unsigned long long)key->least,
                 (unsigned long long)key->most,
                 key->kind == CW_SETTING_BYTES ? " bytes, or with K, M, G" : "");
    }
    snprintf(text + strlen(text), CW_ALLOWED_MAX - strlen(text), "%s%s%s",
             key->flags & CW_MAY_OFF ? "; or off" : "",
             key->flags & CW_MAY_NO_LIMIT ? "; or unlimited" : "",
             key->flags & CW_MAY_PER_CORE ? "; or auto" : "");
}

static void word_choices(const char *const *choices, char *text)
{
    size_t len = 0;

    text[0] = '\0';
    for (size_t i = 0; choices[i] && len < CW_ALLOWED_MAX; i++) {
        const char *between = i == 0 ? "" : choices[i + 1] ? ", " : " or ";

        snprintf(text + len, CW_ALLOWED_MAX - len, "%s%s", between, choices[i]);
        len = strlen(text);
    }
}

char *cw_config_allowed(const struct cw_config_key *key, char *text)
{
    static const struct {
        unsigned kind;
        const char *words;
    } plain[] = {
        {CW_SETTING_SWITCH, "true or false"},
        {CW_SETTING_SWITCH_OFF, "true or false"},
        {CW_SETTING_TEXT, "a text"},
        {CW_KEY_PORT, "0 to 65535"},
        {CW_KEY_MODE, "permission bits in octal, 0001 to 0777"},
        {CW_KEY_PATH, "a path"},
        {CW_KEY_SECRET, "a text"},
        {CW_KEY_WORDS, "a word, or a list of words without commas and spaces"},
        {CW_KEY_NETWORKS, "an address or a network such as 10.0.0.0/8, or a list of them"},
        {CW_KEY_PROTOCOL, "the name of a protocol"},
        {CW_KEY_SECTION, "keys with their values"},
        {CW_KEY_OWN_TLS, "true, false, or keys with their values"},
        {CW_KEY_LISTENERS, "a list of at most 64 listeners: - { port: 7000 }"},
        {CW_KEY_CERTIFICATES, "a list of at most 1024 certificates: - { cert: a.pem, key: a.key }"},
        {CW_KEY_GROUPS, "a list of at most 64 groups: - { group: 239.1.2.3 }"},
    };

    if (key->choices || key->kind == CW_KEY_VERSION) {
        word_choices(key->choices ? key->choices : versions, text);
        return text;
    }
    for (size_t i = 0; i < COUNT(plain); i++) {
        if (plain[i].kind == key->kind) {
            snprintf(text, CW_ALLOWED_MAX, "%s", plain[i].words);
            return text;
        }
    }
    word_number(key, text);
    return text;
}
