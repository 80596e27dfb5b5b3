/* Defaults and checks of the server's options. */
#include "server_impl.h"

#include <limits.h>
#include <stddef.h>
#include <stdio.h>

/* A year; longer is a mistake in the unit. */
static const uint64_t duration_max = 365ull * 24 * 3600 * 1000;

/* What a member may say beside a number. */
enum {
    MAY_OFF = 1,
    MAY_NO_LIMIT = 2,
    MAY_PER_CORE = 4,
    IS_DURATION = 8,
};

struct rule {
    const char *name;
    size_t offset;
    uint64_t standard;
    uint64_t max;
    unsigned flags;
};

#define RULE(member, standard, max, flags)                                                         \
    {                                                                                              \
#member, offsetof(struct cw_server_options, member), standard, max, flags                  \
    }

static const struct rule rules[] = {
    RULE(workers, 1, 256, MAY_PER_CORE),
    RULE(conns_max, 10000, CW_SLOTS_MAX, MAY_NO_LIMIT),
    RULE(conns_per_ip_max, 0, CW_SLOTS_MAX, MAY_NO_LIMIT),
    RULE(idle_ms, 300000, 0, IS_DURATION | MAY_OFF),
    RULE(read_ms, CW_OFF, 0, IS_DURATION | MAY_OFF),
    RULE(write_ms, 30000, 0, IS_DURATION | MAY_OFF),
    RULE(handshake_ms, 10000, 0, IS_DURATION | MAY_OFF),
    RULE(drain_ms, CW_DRAIN_MS, 0, IS_DURATION),
    RULE(in_max_bytes, 65536, 1ull << 40, 0),
    RULE(out_high_bytes, 65536, 1ull << 40, 0),
    RULE(out_low_bytes, 0, 1ull << 40, 0),
    RULE(out_max_bytes, 1048576, 1ull << 40, MAY_NO_LIMIT),
    RULE(buffered_max_bytes, CW_BUFFERED_MAX, 1ull << 40, MAY_NO_LIMIT),
    RULE(accepts_per_turn, 64, 65536, 0),
    RULE(reads_per_turn_bytes, 262144, 1ull << 40, 0),
    RULE(messages_per_turn, 1024, 60000, 0),
    RULE(mailbox_max, CW_MAILBOX_MAX, 1ull << 32, MAY_NO_LIMIT),
    RULE(mailbox_max_bytes, CW_MAILBOX_MAX_BYTES, 1ull << 40, MAY_NO_LIMIT),
    RULE(work_threads, CW_WORK_THREADS, 64, 0),
    RULE(work_max, CW_WORK_MAX, 1ull << 32, MAY_NO_LIMIT),
    RULE(rooms_max, 10000, 1ull << 32, MAY_NO_LIMIT),
    RULE(room_members_max, 0, 1ull << 32, MAY_NO_LIMIT),
    RULE(rooms_per_conn_max, 64, 1ull << 20, MAY_NO_LIMIT),
    RULE(room_name_max_bytes, 128, 65536, 0),
    RULE(room_presence_max_bytes, 512, 65536, 0),
    RULE(keepalive_ms, 0, 0, IS_DURATION | MAY_OFF),
};

static bool is_allowed(const struct rule *rule, uint64_t value)
{
    if (value == CW_OFF) {
        return (rule->flags & MAY_OFF) != 0;
    }
    if (value == CW_NO_LIMIT) {
        return (rule->flags & MAY_NO_LIMIT) != 0;
    }
    if (value == CW_PER_CORE) {
        return (rule->flags & MAY_PER_CORE) != 0;
    }
    return value <= (rule->flags & IS_DURATION ? duration_max : rule->max);
}

static void word_range(const struct rule *rule, struct cw_complaint *complaint)
{
    snprintf(complaint->text, sizeof complaint->text, "%s: at most %llu%s%s%s is allowed",
             rule->name, (unsigned long long)(rule->flags & IS_DURATION ? duration_max : rule->max),
             rule->flags & MAY_OFF ? ", or CW_OFF," : "",
             rule->flags & MAY_NO_LIMIT ? ", or CW_NO_LIMIT," : "",
             rule->flags & MAY_PER_CORE ? ", or CW_PER_CORE," : "");
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
        options->conns_per_ip_max = options->conns_max < 10 ? 1 : options->conns_max / 10;
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

    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        uint64_t *value = (uint64_t *)(void *)((char *)options + rules[i].offset);

        if (!is_allowed(&rules[i], *value)) {
            word_range(&rules[i], complaint);
            return CW_EINVAL;
        }
        if (*value == 0) {
            *value = rules[i].standard;
        }
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
    if (!out_max_given && to_size(message) > limits->out_max / 2) {
        limits->out_max = to_size(message) * 2;
    }
}
