/* Inflating: whole messages within a limit, and messages that come in pieces. */
#include "ws_deflate.h"
#include "ws_quick.h"
#include "ws_result.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <causeway/parts.h>
#include <zlib.h>

enum {
    BITS_SHARED = 15,
    TAIL = 4,
    UNUSED_MAX = 8,
    UNUSED_BITS = 63, /* in z_stream.data_type: bits of the last byte that were not needed, */
    BLOCK_ENDS = 128, /* and that a block has just ended */
};

/* What a sender leaves out at a message's end (RFC 7692 §7.2.2). */
static const uint8_t tail[TAIL] = {0x00, 0x00, 0xff, 0xff};

struct cw_ws_inflater {
    z_stream z;
    struct cw_ws_inflater *next; /* of the unused ones */
    unsigned bits;
    unsigned tail_used; /* of the message under way */
    bool begun;         /* a byte of it was there */
    bool pending;       /* there was no room: there may be more output without more input */
    bool whole;         /* a block ends where we are: the message may end here without a tail */
};

/* Of a loop. */
struct inflating {
    struct cw_ws_inflater *unused; /* as new; the last used first */
    struct libdeflate_decompressor *quick;
    struct cw_ws_out out;
};

/* ---- contexts ---- */

static voidpf take_memory(voidpf opaque, uInt count, uInt size)
{
    return size != 0 && count > SIZE_MAX / size ? NULL : cw_alloc((size_t)count * size);
}

static void give_memory(voidpf opaque, voidpf memory)
{
    cw_release(memory);
}

static void end(struct cw_ws_inflater *inflater)
{
    (void)inflateEnd(&inflater->z);
    cw_release(inflater);
}

static void release_part(struct cw_loop *loop, void *memory)
{
    struct inflating *inflating = memory;

    while (inflating->unused) {
        struct cw_ws_inflater *next = inflating->unused->next;
        end(inflating->unused);
        inflating->unused = next;
    }
    cw_ws_quick_free(inflating->quick);
    cw_ws_out_release(&inflating->out);
}

static const struct cw_loop_part part = {.size = sizeof(struct inflating), .release = release_part};

static struct cw_ws_inflater *make(unsigned bits)
{
    struct cw_ws_inflater *inflater = cw_alloc_zero(sizeof *inflater);

    if (!inflater) {
        return NULL;
    }
    inflater->bits = bits;
    inflater->z.zalloc = take_memory;
    inflater->z.zfree = give_memory;
    if (inflateInit2(&inflater->z, -(int)bits) != Z_OK) {
        cw_release(inflater);
        return NULL;
    }
    return inflater;
}

static struct cw_ws_inflater *take(struct inflating *inflating, unsigned bits)
{
    struct cw_ws_inflater **at = &inflating->unused;

    while (*at && (*at)->bits != bits) {
        at = &(*at)->next;
    }
    struct cw_ws_inflater *inflater = *at;
    if (!inflater) {
        return make(bits);
    }
    *at = inflater->next;
    return inflater;
}

static void begin_message(struct cw_ws_inflater *inflater)
{
    inflater->tail_used = 0;
    inflater->begun = false;
    inflater->pending = false;
    inflater->whole = false;
}

/* As new, and first in the list; the last of too many goes. */
static void give(struct inflating *inflating, struct cw_ws_inflater *inflater)
{
    struct cw_ws_inflater **at = &inflating->unused;

    (void)inflateReset(&inflater->z);
    begin_message(inflater);
    inflater->next = inflating->unused;
    inflating->unused = inflater;
    for (unsigned i = 0; i < UNUSED_MAX && *at; i++) {
        at = &(*at)->next;
    }
    if (*at) {
        end(*at);
        *at = NULL;
    }
}

struct cw_ws_inflater *cw_ws_inflater_new(struct cw_loop *loop, unsigned bits)
{
    struct inflating *inflating = cw_loop_part(loop, &part);

    return inflating ? take(inflating, bits) : NULL;
}

void cw_ws_inflater_free(struct cw_loop *loop, struct cw_ws_inflater *inflater)
{
    if (inflater) {
        give(cw_loop_part(loop, &part), inflater); /* it is there: inflater_new has made it */
    }
}

/* ---- inflating ---- */

/* zlib counts in 32 bits. */
static unsigned bounded(size_t len)
{
    const size_t most = (size_t)1 << 30;

    return (unsigned)(len < most ? len : most);
}

static int run(struct cw_ws_inflater *inflater)
{
    z_stream *z = &inflater->z;
    int answer = inflate(z, Z_NO_FLUSH);

    inflater->pending = false;
    if (answer == Z_STREAM_END) {
        /* RFC 7692 §7.2.1: other blocks may follow a final one, from the next byte on. They may look back. */
        inflater->whole = true;
        return inflateResetKeep(z) == Z_OK ? CW_OK : CW_EPROTO;
    }
    inflater->whole = (z->data_type & BLOCK_ENDS) != 0 && (z->data_type & UNUSED_BITS) == 0;
    inflater->pending = !inflater->whole && z->avail_out == 0;
    if (answer == Z_OK || answer == Z_BUF_ERROR) {
        return CW_OK;
    }
    return answer == Z_MEM_ERROR ? CW_ENOMEM : CW_EPROTO;
}

/* What needs a part of the tail to become whole needs all of it: a block may end within by chance. */
static bool wants_tail(const struct cw_ws_inflater *inflater)
{
    bool is_whole = inflater->whole && inflater->tail_used == 0;

    return inflater->begun && !is_whole && inflater->tail_used < TAIL;
}

static int run_on_tail(struct cw_ws_inflater *inflater)
{
    z_stream *z = &inflater->z;

    z->next_in = (z_const Bytef *)tail + inflater->tail_used;
    z->avail_in = TAIL - inflater->tail_used;
    int code = run(inflater);
    inflater->tail_used = TAIL - z->avail_in;
    return code;
}

static int run_on_input(struct cw_ws_inflater *inflater, struct cw_span *in)
{
    z_stream *z = &inflater->z;
    unsigned given = bounded(in->len);

    z->next_in = (z_const Bytef *)in->data;
    z->avail_in = given;
    inflater->begun = inflater->begun || given > 0;
    int code = run(inflater);
    if (given > 0) {
        size_t used = given - z->avail_in;
        *in = cw_span_of(in->data + used, in->len - used);
    }
    return code;
}

/* Goes on until there are cap bytes (above 0), or nothing is left to be done. Bytes; CW_EPROTO, CW_ENOMEM. */
static ptrdiff_t fill(struct cw_ws_inflater *inflater, struct cw_span *in, bool last, uint8_t *out,
                      size_t cap)
{
    size_t len = 0;
    int code = CW_OK;

    while (code == 0 && len < cap) {
        unsigned room = bounded(cap - len);
        inflater->z.next_out = out + len;
        inflater->z.avail_out = room;
        if (in->len > 0 || inflater->pending) {
            code = run_on_input(inflater, in);
        } else if (last && wants_tail(inflater)) {
            code = run_on_tail(inflater);
        } else {
            break;
        }
        len += room - inflater->z.avail_out;
    }
    bool is_cut_off = last && inflater->tail_used == TAIL && !inflater->whole && len < cap;
    return code < 0 ? code : is_cut_off ? CW_EPROTO : (ptrdiff_t)len;
}

ptrdiff_t cw_ws_inflate_some(struct cw_ws_inflater *inflater, struct cw_span *in, bool last,
                             uint8_t *out, size_t cap)
{
    ptrdiff_t len = fill(inflater, in, last, out, cap);

    if (len == 0 && last) {
        begin_message(inflater);
    }
    return len;
}

/* Whether there is more than fits. */
static ptrdiff_t overflows(struct cw_ws_inflater *inflater, struct cw_span *in)
{
    uint8_t byte;
    ptrdiff_t more = fill(inflater, in, true, &byte, 1);

    return more > 0 ? CW_ETOOBIG : more;
}

/* Bytes, or an error. Grows the output as it needs it. */
static ptrdiff_t inflate_whole(struct cw_ws_inflater *inflater, struct cw_span in, size_t max,
                               struct cw_ws_out *out)
{
    size_t len = 0;
    size_t cap;
    ptrdiff_t more;

    do {
        bool is_full = len == out->cap && len < max;
        if ((is_full || !out->data) && !cw_ws_out_grow(out, max)) {
            return CW_ENOMEM;
        }
        cap = out->cap < max ? out->cap : max;
        more = len < cap ? fill(inflater, &in, true, out->data + len, cap - len)
                         : overflows(inflater, &in);
        if (more < 0) {
            return more;
        }
        len += (size_t)more;
    } while (len == cap && more > 0);
    begin_message(inflater);
    return (ptrdiff_t)len;
}

static ptrdiff_t inflate_shared(struct inflating *inflating, struct cw_span in, size_t max)
{
    struct cw_ws_inflater *inflater = take(inflating, BITS_SHARED);

    if (!inflater) {
        return CW_ENOMEM;
    }
    ptrdiff_t len = inflate_whole(inflater, in, max, &inflating->out);
    give(inflating, inflater);
    return len;
}

/* As above; CW_ENOTFOUND: zlib has to judge it. What does not fit is begun anew with twice the room. */
static ptrdiff_t inflate_quickly(struct inflating *inflating, struct cw_span in, size_t max)
{
    struct cw_ws_out *out = &inflating->out;

    for (;;) {
        size_t cap = out->cap < max ? out->cap : max;
        ptrdiff_t len =
            out->data ? cw_ws_quick_inflate(&inflating->quick, in, out->data, cap) : CW_EFULL;
        if (len != CW_EFULL) {
            return len;
        }
        if (out->data && cap == max) {
            return CW_ETOOBIG;
        }
        if (!cw_ws_out_grow(out, max)) {
            return CW_ENOMEM;
        }
    }
}

int cw_ws_inflate(struct cw_loop *loop, struct cw_ws_inflater *inflater, struct cw_span in,
                  uint64_t max, struct cw_span *out)
{
    struct inflating *inflating = cw_loop_part(loop, &part);
    size_t most = max < SIZE_MAX / 4 ? (size_t)max : SIZE_MAX / 4;

    if (!inflating) {
        return CW_ENOMEM;
    }
    ptrdiff_t len = inflater ? inflate_whole(inflater, in, most, &inflating->out)
                             : inflate_quickly(inflating, in, most);
    if (len == CW_ENOTFOUND) {
        len = inflate_shared(inflating, in, most);
    }
    cw_ws_out_sweep(loop, &inflating->out);
    if (len < 0) {
        return (int)len;
    }
    *out = cw_span_of(inflating->out.data, (size_t)len);
    return CW_OK;
}
