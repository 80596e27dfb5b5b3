/* Heads that come again byte for byte, as those of polling clients, health checks and pipelines do, are not read again: what the
 * last reading found is copied. docs/decisions/0014 says why. */
#include "http_impl.h"

#include <causeway/log.h>

enum {
    MEMO_SLOTS = 16,
    MEMO_HEAD_MAX = 512,
    MEMO_FIELDS_MAX = 24,
    MEMO_LOOKED_AT = 24, /* bytes that choose the slot: the method and the begin of the path */
};

struct cw_http_memo {
    uint64_t candidate; /* begin and end of what came last; the second time it is remembered */
    size_t len;         /* 0: nothing is remembered */
    struct cw_http_head head;
    struct cw_http_target target; /* its spans are made anew, of what follows */
    size_t host_at;
    size_t host_len;
    uint16_t port;
    bool has_host;
    bool has_query;
    bool has_match;
    const struct cw_http_route *route;
    const struct cw_http_chain *chain;
    bool has_allow;
    int status;
    size_t path_len;
    size_t query_at;
    size_t query_len;
    uint8_t bytes[MEMO_HEAD_MAX];
    uint8_t path[MEMO_HEAD_MAX + 1];
    char allow_text[CW_HTTP_ALLOW_MAX];
    struct cw_http_line lines[MEMO_FIELDS_MAX];
};

static uint64_t load(const uint8_t *data)
{
    uint64_t word;

    memcpy(&word, data, sizeof word);
    return word;
}

static uint64_t mark_of(const uint8_t *data)
{
    uint64_t mark = load(data) * 0x9e3779b97f4a7c15;

    mark = (mark ^ load(data + 8)) * 0x9e3779b97f4a7c15;
    mark = (mark ^ load(data + 16)) * 0x9e3779b97f4a7c15;
    return mark ^ mark >> 32;
}

static struct cw_http_memo *slot_of(struct cw_http_shared *shared, uint64_t mark)
{
    return &shared->memos[mark % MEMO_SLOTS];
}

/* ---- recalling ---- */

static bool is_allowed(const struct cw_http_memo *memo, const struct cw_http_options *options)
{
    return memo->len > 0 && !options->site && memo->len <= options->head_max_bytes &&
           memo->head.target_len <= options->target_max_bytes &&
           memo->head.field_count <= options->fields_max;
}

const struct cw_http_memo *cw_http_memo_find(struct cw_http_shared *shared,
                                             const struct cw_http_options *options,
                                             const uint8_t *data, size_t len)
{
    const struct cw_http_memo *memo;

    if (!shared->memos || len < MEMO_LOOKED_AT) {
        return NULL;
    }
    memo = slot_of(shared, mark_of(data));
    if (len < memo->len || !is_allowed(memo, options) || memcmp(data, memo->bytes, memo->len) != 0) {
        return NULL;
    }
    return memo;
}

size_t cw_http_memo_len(const struct cw_http_memo *memo)
{
    return memo->len;
}

bool cw_http_memo_recall(const struct cw_http_memo *memo, struct cw_http_exchange *x,
                         const uint8_t *data)
{
    struct cw_http_line *lines = x->head.fields;
    size_t cap = x->head.fields_cap;
    uint8_t *path = cw_http_take(x, memo->path_len + 1);

    if (!path) {
        return false;
    }
    memcpy(path, memo->path, memo->path_len + 1);
    memcpy(lines, memo->lines, memo->head.field_count * sizeof lines[0]);
    x->head = memo->head;
    x->head.fields = lines;
    x->head.fields_cap = cap;
    x->head_data = data;
    x->head_len = memo->len;
    x->target = memo->target;
    x->target.path = cw_span_of(path, memo->path_len);
    if (memo->has_query) {
        x->target.query = cw_span_of(data + memo->query_at, memo->query_len);
    }
    if (memo->has_host) {
        x->host = cw_span_of(data + memo->host_at, memo->host_len);
        x->port = memo->port;
    }
    if (memo->has_match) {
        x->matched = true;
        x->match.route = memo->route;
        x->match.chain = memo->chain;
        x->match.allow = NULL;
        if (memo->has_allow) {
            memcpy(x->match.allow_text, memo->allow_text, sizeof memo->allow_text);
            x->match.allow = x->match.allow_text;
        }
        x->match.status = memo->status;
        x->match.param_count = 0;
    }
    return true;
}

/* ---- remembering ---- */

static bool lies_in(struct cw_span span, const uint8_t *data, size_t len)
{
    uintptr_t at = (uintptr_t)span.data;
    uintptr_t begin = (uintptr_t)data;

    return at >= begin && at + span.len <= begin + len;
}

/* What is not worth a thought: inner sites, long heads, absolute targets, what proxies add. */
static bool is_worth_it(const struct cw_http_exchange *x)
{
    return !x->options->site && x->head_len >= MEMO_LOOKED_AT && x->head_len <= MEMO_HEAD_MAX &&
           x->head.field_count <= MEMO_FIELDS_MAX && x->target.form == CW_FORM_ORIGIN &&
           !x->origin && (!x->host.data || lies_in(x->host, x->head_data, x->head_len));
}

static void keep(struct cw_http_memo *memo, const struct cw_http_exchange *x)
{
    memo->len = x->head_len;
    memcpy(memo->bytes, x->head_data, x->head_len);
    memo->head = x->head;
    memcpy(memo->lines, x->head.fields, x->head.field_count * sizeof memo->lines[0]);
    memo->target = x->target;
    memo->path_len = x->target.path.len;
    memcpy(memo->path, x->target.path.data, memo->path_len + 1);
    memo->has_query = x->target.query.data != NULL;
    memo->query_at = memo->has_query ? (size_t)(x->target.query.data - x->head_data) : 0;
    memo->query_len = x->target.query.len;
    memo->has_host = x->host.data != NULL;
    memo->host_at = memo->has_host ? (size_t)(x->host.data - x->head_data) : 0;
    memo->host_len = x->host.len;
    memo->port = x->port;
    memo->has_match = x->match.param_count == 0;
    memo->route = x->match.route;
    memo->chain = x->match.chain;
    memo->has_allow = x->match.allow != NULL;
    if (memo->has_allow) {
        memcpy(memo->allow_text, x->match.allow_text, sizeof memo->allow_text);
    }
    memo->status = x->match.status;
}

void cw_http_memo_remember(struct cw_http_exchange *x)
{
    struct cw_http_shared *shared = x->shared;
    struct cw_http_memo *memo;
    uint64_t mark;

    if (!is_worth_it(x)) {
        return;
    }
    if (!shared->memos) {
        shared->memos = cw_alloc_zero(MEMO_SLOTS * sizeof *shared->memos);
    }
    if (!shared->memos) {
        return;
    }
    mark = mark_of(x->head_data);
    memo = slot_of(shared, mark);
    /* Their ends too: the same page is asked for by many, each with a cookie of its own. */
    mark ^= mark_of(x->head_data + x->head_len - MEMO_LOOKED_AT);
    if (memo->candidate == mark) {
        keep(memo, x);
    }
    memo->candidate = mark;
}
