/* Defaults and checks of options: of servers, of connections that we make, of pools. */
#include "options.h"

#include "server_impl.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>

/* A year; longer is a mistake in the unit. */
static const uint64_t duration_max = 365ull * 24 * 3600 * 1000;

#define RULES(table) (sizeof(table) / sizeof(table)[0])
#define RULE(member, standard, max, flags)                                                         \
    {                                                                                              \
#member, offsetof(struct cw_server_options, member), standard, max, flags                  \
    }

static const struct cw_option_rule server_rules[] = {
    RULE(workers, 1, 256, CW_MAY_PER_CORE | CW_AT_START),
    RULE(conns_max, 10000, CW_SLOTS_MAX, CW_MAY_NO_LIMIT),
    RULE(conns_per_ip_max, 0, CW_SLOTS_MAX, CW_MAY_NO_LIMIT),
    RULE(idle_ms, 300000, 0, CW_IS_DURATION | CW_MAY_OFF),
    RULE(read_ms, CW_OFF, 0, CW_IS_DURATION | CW_MAY_OFF),
    RULE(write_ms, 30000, 0, CW_IS_DURATION | CW_MAY_OFF),
    RULE(handshake_ms, 10000, 0, CW_IS_DURATION | CW_MAY_OFF),
    RULE(drain_ms, CW_DRAIN_MS, 0, CW_IS_DURATION),
    RULE(in_max_bytes, 65536, 1ull << 40, 0),
    RULE(out_high_bytes, 65536, 1ull << 40, 0),
    RULE(out_low_bytes, 0, 1ull << 40, 0),
    RULE(out_max_bytes, 1048576, 1ull << 40, CW_MAY_NO_LIMIT),
    RULE(buffered_max_bytes, CW_BUFFERED_MAX, 1ull << 40, CW_MAY_NO_LIMIT),
    RULE(accepts_per_turn, 64, 65536, 0),
    RULE(reads_per_turn_bytes, 262144, 1ull << 40, 0),
    RULE(messages_per_turn, 1024, 60000, 0),
    RULE(mailbox_max, CW_MAILBOX_MAX, 1ull << 32, CW_MAY_NO_LIMIT | CW_AT_START),
    RULE(mailbox_max_bytes, CW_MAILBOX_MAX_BYTES, 1ull << 40, CW_MAY_NO_LIMIT | CW_AT_START),
    RULE(work_threads, CW_WORK_THREADS, 64, CW_AT_START),
    RULE(work_max, CW_WORK_MAX, 1ull << 32, CW_MAY_NO_LIMIT),
    RULE(handshake_threads, CW_PER_CORE, 64, CW_MAY_OFF | CW_MAY_PER_CORE | CW_AT_START),
    RULE(handshakes_per_turn, CW_HANDSHAKES_PER_TURN, 65536, 0),
    RULE(handshakes_max, CW_HANDSHAKES_MAX, 1ull << 32, CW_MAY_NO_LIMIT),
    RULE(rooms_max, 10000, 1ull << 32, CW_MAY_NO_LIMIT | CW_AT_START),
    RULE(room_members_max, 0, 1ull << 32, CW_MAY_NO_LIMIT | CW_AT_START),
    RULE(rooms_per_conn_max, 64, 1ull << 20, CW_MAY_NO_LIMIT | CW_AT_START),
    RULE(room_name_max_bytes, 128, 65536, CW_AT_START),
    RULE(room_presence_max_bytes, 512, 65536, CW_AT_START),
    RULE(keepalive_ms, 0, 0, CW_IS_DURATION | CW_MAY_OFF),
};

const struct cw_option_rule *cw_server_option_rules(size_t *count)
{
    *count = RULES(server_rules);
    return server_rules;
}

/* A tenth of few is too little for one office behind one address. */
enum { PER_IP_FEW = 10 };

static bool is_allowed(const struct cw_option_rule *rule, uint64_t value)
{
    if (value == CW_OFF) {
        return (rule->flags & CW_MAY_OFF) != 0;
    }
    if (value == CW_NO_LIMIT) {
        return (rule->flags & CW_MAY_NO_LIMIT) != 0;
    }
    if (value == CW_PER_CORE) {
        return (rule->flags & CW_MAY_PER_CORE) != 0;
    }
    return value <= (rule->flags & CW_IS_DURATION ? duration_max : rule->max);
}

static void word_range(const struct cw_option_rule *rule, struct cw_complaint *complaint)
{
    snprintf(complaint->text, sizeof complaint->text, "%s: at most %llu%s%s%s is allowed",
             rule->name,
             (unsigned long long)(rule->flags & CW_IS_DURATION ? duration_max : rule->max),
             rule->flags & CW_MAY_OFF ? ", or CW_OFF," : "",
             rule->flags & CW_MAY_NO_LIMIT ? ", or CW_NO_LIMIT," : "",
             rule->flags & CW_MAY_PER_CORE ? ", or CW_PER_CORE," : "");
}

int cw_options_apply(void *options, const struct cw_option_rule *rules, size_t count,
                     struct cw_complaint *complaint)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t *value = (uint64_t *)(void *)((char *)options + rules[i].offset);

        if (!is_allowed(&rules[i], *value)) {
            word_range(&rules[i], complaint);
            return CW_EINVAL;
        }
        if (*value == 0) {
            *value = rules[i].standard;
        }
    }
    return CW_OK;
}

static int complain(struct cw_complaint *complaint, const char *text)
{
    snprintf(complaint->text, sizeof complaint->text, "%s", text);
    return CW_EINVAL;
}

static void fill_dependent(struct cw_server_options *options)
{
    if (options->conns_max == CW_NO_LIMIT) {
        options->conns_max = CW_SLOTS_MAX;
    }
    if (options->conns_per_ip_max == 0) {
        uint64_t few = options->conns_max < PER_IP_FEW ? options->conns_max : PER_IP_FEW;
        options->conns_per_ip_max = options->conns_max / 10 < few ? few : options->conns_max / 10;
    }
    if (options->out_low_bytes == 0) {
        options->out_low_bytes = options->out_high_bytes / 2;
    }
    if (options->room_members_max == 0) {
        options->room_members_max = options->conns_max;
    }
}

int cw_options_fill(struct cw_server_options *options, struct cw_complaint *complaint)
{
    bool out_max_given = options->out_max_bytes != 0;
    int error = cw_options_apply(options, server_rules, RULES(server_rules), complaint);

    if (error < 0) {
        return error;
    }
    fill_dependent(options);
    if (options->conns_per_ip_max != CW_NO_LIMIT && options->conns_per_ip_max > options->conns_max) {
        return complain(complaint, "conns_per_ip_max is above conns_max");
    }
    if (options->out_high_bytes > options->out_max_bytes) {
        if (out_max_given) {
            return complain(complaint, "out_high_bytes is above out_max_bytes");
        }
        options->out_max_bytes = options->out_high_bytes * 2;
    }
    if (options->out_low_bytes > options->out_high_bytes) {
        return complain(complaint, "out_low_bytes is above out_high_bytes");
    }
    return CW_OK;
}

static size_t to_size(uint64_t value)
{
    return value > SIZE_MAX / 4 ? SIZE_MAX / 4 : (size_t)value;
}

void cw_limits_fill(struct cw_limits *limits, const struct cw_server_options *options,
                    const struct cw_service_ref *service, bool out_max_given)
{
    const struct cw_protocol *protocol = service->protocol;
    uint64_t message = protocol->message_max ? protocol->message_max(service->options) : 0;

    *limits = (struct cw_limits){
        .idle = cw_ticks(options->idle_ms),
        .read = cw_ticks(options->read_ms),
        .write = cw_ticks(options->write_ms),
        .handshake = cw_ticks(options->handshake_ms),
        .drain = cw_ticks(options->drain_ms),
        .in_max = to_size(options->in_max_bytes),
        .out_high = to_size(options->out_high_bytes),
        .out_low = to_size(options->out_low_bytes),
        .out_max = to_size(options->out_max_bytes),
        .reads_per_turn = to_size(options->reads_per_turn_bytes),
        .messages_per_turn = (uint32_t)options->messages_per_turn,
        .half_open = options->half_open,
        .read_while_full = options->read_while_full,
    };
    /* What the protocol allows must fit, in and out, under default options. */
    if (to_size(message) > limits->in_max) {
        limits->in_max = to_size(message);
    }
    cw_limits_expect(limits, message, out_max_given);
}

void cw_limits_expect(struct cw_limits *limits, uint64_t message, bool out_max_given)
{
    if (!out_max_given && to_size(message) > limits->out_max / 2) {
        limits->out_max = to_size(message) * 2;
    }
}

/* ---- of TCP ---- */

#define TCP_RULE(member, max, flags)                                                               \
    {                                                                                              \
        "tcp." #member, offsetof(struct cw_tcp_options, member), 0, max, flags                     \
    }

int cw_tcp_options_check(const struct cw_tcp_options *options, struct cw_complaint *complaint)
{
    static const struct cw_option_rule rules[] = {
        TCP_RULE(keepalive_ms, 0, CW_IS_DURATION | CW_MAY_OFF),
        TCP_RULE(keepalive_interval_ms, 0, CW_IS_DURATION),
        TCP_RULE(keepalive_probes, 127, 0),
        TCP_RULE(user_timeout_ms, 0, CW_IS_DURATION | CW_MAY_OFF),
        TCP_RULE(send_buffer_bytes, INT_MAX, 0),
        TCP_RULE(receive_buffer_bytes, INT_MAX, 0),
    };
    struct cw_tcp_options checked =
        *options; /* zero stays zero: the kernel's side knows what it means */

    return cw_options_apply(&checked, rules, RULES(rules), complaint);
}

bool cw_tcp_options_are_given(const struct cw_tcp_options *options)
{
    return options->delay || options->keepalive_ms || options->keepalive_interval_ms ||
           options->keepalive_probes || options->user_timeout_ms || options->send_buffer_bytes ||
           options->receive_buffer_bytes;
}

/* ---- of connections that we make ---- */

#define CONNECT_RULE(member, standard, max, flags)                                                 \
    {                                                                                              \
#member, offsetof(struct cw_connect_options, member), standard, max, flags                 \
    }

static const struct cw_option_rule connect_rules[] = {
    CONNECT_RULE(connect_ms, 10000, 0, CW_IS_DURATION),
    CONNECT_RULE(attempt_delay_ms, 250, 0, CW_IS_DURATION),
    CONNECT_RULE(reconnect_min_ms, 0, 0, CW_IS_DURATION),
    CONNECT_RULE(reconnect_max_ms, 0, 0, CW_IS_DURATION),
    CONNECT_RULE(attempts_max, CW_NO_LIMIT, 1ull << 32, CW_MAY_NO_LIMIT),
};

enum { RECONNECT_MIN_MS = 500, RECONNECT_MAX_MS = 30000 };

/* The one that was given moves the other's default, so that neither has to name both. */
static int fill_reconnect(struct cw_connect_options *options, struct cw_complaint *complaint)
{
    uint64_t min = options->reconnect_min_ms;
    uint64_t max = options->reconnect_max_ms;

    if (min == 0) {
        min = max != 0 && max < RECONNECT_MIN_MS ? max : RECONNECT_MIN_MS;
    }
    if (max == 0) {
        max = min > RECONNECT_MAX_MS ? min : RECONNECT_MAX_MS;
    }
    if (min > max) {
        return complain(complaint, "reconnect_min_ms is above reconnect_max_ms");
    }
    options->reconnect_min_ms = min;
    options->reconnect_max_ms = max;
    return CW_OK;
}

int cw_connect_options_fill(struct cw_connect_options *options, struct cw_server_options *as_server,
                            struct cw_complaint *complaint)
{
    int error = cw_options_apply(options, connect_rules, RULES(connect_rules), complaint);

    error = error < 0 ? error : cw_tcp_options_check(&options->tcp, complaint);
    error = error < 0 ? error : fill_reconnect(options, complaint);
    if (error < 0) {
        return error;
    }
    *as_server = (struct cw_server_options){
        .idle_ms = options->idle_ms,
        .read_ms = options->read_ms,
        .write_ms = options->write_ms,
        .drain_ms = options->drain_ms,
        .in_max_bytes = options->in_max_bytes,
        .out_high_bytes = options->out_high_bytes,
        .out_low_bytes = options->out_low_bytes,
        .out_max_bytes = options->out_max_bytes,
        .half_open = options->half_open,
        .read_while_full = options->read_while_full,
    };
    return cw_options_fill(as_server, complaint);
}

/* ---- of pools ---- */

#define POOL_RULE(member, standard, max, flags)                                                    \
    {                                                                                              \
#member, offsetof(struct cw_pool_options, member), standard, max, flags                    \
    }

static const struct cw_option_rule pool_rules[] = {
    POOL_RULE(conns_max, 8, 65536, 0),
    POOL_RULE(waiting_max, 1024, 1 << 24, 0),
    POOL_RULE(waiting_ms, 5000, 0, CW_IS_DURATION),
    POOL_RULE(idle_ms, 60000, 0, CW_IS_DURATION | CW_MAY_OFF),
    POOL_RULE(use_max, CW_NO_LIMIT, 1ull << 40, CW_MAY_NO_LIMIT),
};

int cw_pool_options_fill(struct cw_pool_options *options, struct cw_complaint *complaint)
{
    return cw_options_apply(options, pool_rules, RULES(pool_rules), complaint);
}
