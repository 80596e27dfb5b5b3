/* Compressing: contexts that connections keep, and those that all connections of a loop share. */
#include "ws_deflate.h"

#include "ws_quick.h"
#include "ws_result.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <causeway/parts.h>
#include <zlib.h>

enum {
    BITS_TINY = 8, /* a window that zlib's compressor does not know: see run */
    TINY_WINDOW = 256,
    BITS_MAX = 15,
    BITS_SHORT =
        12, /* for messages that are not longer than this is wide: its tables are cleared faster */
    SHORT_BYTES = 3072,
    MEMORY_MIN = 4, /* zlib's memLevel: tables that go with the window, 8 of them with 15 bits */
    MEMORY_LESS = 7,
    TAIL = 4,       /* 00 00 ff ff, which is not sent (RFC 7692 §7.2.1) */
    FLUSH_ROOM = 8, /* zlib: with less than seven bytes of room a flush could say its mark twice */
    UNUSED_MAX = 8,
};

struct cw_ws_deflater {
    z_stream z;
    struct cw_ws_deflater *next; /* of the unused ones */
    unsigned bits;
    unsigned level;
};

/* Of a loop. */
struct deflating {
    struct cw_ws_deflater *unused; /* as new; the last used first */
    struct cw_ws_press *press;
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

static void end(struct cw_ws_deflater *deflater)
{
    (void)deflateEnd(&deflater->z);
    cw_release(deflater);
}

static void release_part(struct cw_loop *loop, void *memory)
{
    struct deflating *deflating = memory;

    while (deflating->unused) {
        struct cw_ws_deflater *next = deflating->unused->next;
        end(deflating->unused);
        deflating->unused = next;
    }
    cw_ws_press_free(deflating->press);
    cw_ws_out_release(&deflating->out);
}

static const struct cw_loop_part part = {.size = sizeof(struct deflating), .release = release_part};

static struct cw_ws_deflater *make(unsigned bits, unsigned level)
{
    struct cw_ws_deflater *deflater = cw_alloc_zero(sizeof *deflater);
    int window = bits == BITS_TINY ? BITS_TINY + 1 : (int)bits;
    int memory = window - MEMORY_LESS < MEMORY_MIN ? MEMORY_MIN : window - MEMORY_LESS;

    if (!deflater) {
        return NULL;
    }
    deflater->bits = bits;
    deflater->level = level;
    deflater->z.zalloc = take_memory;
    deflater->z.zfree = give_memory;
    if (deflateInit2(&deflater->z, (int)level, Z_DEFLATED, -window, memory, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
        cw_release(deflater);
        return NULL;
    }
    return deflater;
}

static struct cw_ws_deflater *take(struct deflating *deflating, unsigned bits, unsigned level)
{
    struct cw_ws_deflater **at = &deflating->unused;

    while (*at && ((*at)->bits != bits || (*at)->level != level)) {
        at = &(*at)->next;
    }
    struct cw_ws_deflater *deflater = *at;
    if (!deflater) {
        return make(bits, level);
    }
    *at = deflater->next;
    return deflater;
}

/* As new, and first in the list; the last of too many goes. */
static void give(struct deflating *deflating, struct cw_ws_deflater *deflater)
{
    struct cw_ws_deflater **at = &deflating->unused;

    (void)deflateReset(&deflater->z);
    deflater->next = deflating->unused;
    deflating->unused = deflater;
    for (unsigned i = 0; i < UNUSED_MAX && *at; i++) {
        at = &(*at)->next;
    }
    if (*at) {
        end(*at);
        *at = NULL;
    }
}

struct cw_ws_deflater *cw_ws_deflater_new(struct cw_loop *loop, unsigned bits, unsigned level)
{
    struct deflating *deflating = cw_loop_part(loop, &part);

    return deflating ? take(deflating, bits, level) : NULL;
}

void cw_ws_deflater_free(struct cw_loop *loop, struct cw_ws_deflater *deflater)
{
    if (deflater) {
        give(cw_loop_part(loop, &part), deflater); /* it is there: deflater_new has made it */
    }
}

/* ---- messages ---- */

/* Compresses what z has as input, to its end. 0; CW_EAGAIN: `most` bytes do not do; CW_ENOMEM. */
static int run_piece(z_stream *z, int flush, struct cw_ws_out *out, size_t *len, size_t most)
{
    const size_t most_at_once = (size_t)1 << 30; /* zlib counts in 32 bits */

    do { /* until it leaves room: then it has nothing more to say */
        size_t cap = out->cap < most ? out->cap : most;
        if (cap < *len + FLUSH_ROOM && cap == most) {
            return CW_EAGAIN;
        }
        if (cap < *len + FLUSH_ROOM && !cw_ws_out_grow(out, most)) {
            return CW_ENOMEM;
        }
        size_t room = (out->cap < most ? out->cap : most) - *len;
        room = room < most_at_once ? room : most_at_once;
        z->next_out = out->data + *len;
        z->avail_out = (unsigned)room;
        (void)deflate(z, flush);
        *len += room - z->avail_out;
    } while (z->avail_out == 0);
    return CW_OK;
}

/* zlib takes 8 bits for 9. So there each 256 bytes are compressed by themselves: nothing within them is farther away, and a full flush
 * lets nothing behind it look back. */
static int run(struct cw_ws_deflater *deflater, struct cw_span in, struct cw_ws_out *out,
               size_t *len, size_t most)
{
    bool tiny = deflater->bits == BITS_TINY;
    size_t piece = tiny ? TINY_WINDOW : (size_t)1 << 30;
    int code = CW_OK;

    while (code == 0 && in.len > 0) {
        size_t given = in.len < piece ? in.len : piece;
        deflater->z.next_in = (z_const Bytef *)in.data;
        deflater->z.avail_in = (unsigned)given;
        in = cw_span_of(in.data + given, in.len - given);
        int flush = tiny ? Z_FULL_FLUSH : in.len > 0 ? Z_NO_FLUSH : Z_SYNC_FLUSH;
        code = run_piece(&deflater->z, flush, out, len, most);
    }
    return code;
}

/* 0; CW_EAGAIN: it does not become smaller; CW_ENOTFOUND: zlib has to do it; CW_ENOMEM. */
static int deflate_quickly(struct deflating *deflating, struct cw_span in, size_t *len)
{
    struct cw_ws_out *out = &deflating->out;

    if (!cw_ws_out_reserve(out, in.len + TAIL)) {
        return CW_ENOMEM;
    }
    ptrdiff_t made = cw_ws_quick_deflate(&deflating->press, in, out->data, in.len + TAIL);
    if (made <= 0) {
        return made == 0 ? CW_EAGAIN : (int)made;
    }
    *len = (size_t)made;
    return CW_OK;
}

/* Whether it may look back as far as it can. */
static bool is_quick(unsigned bits, unsigned level, struct cw_span in)
{
    return level == 1 && (bits == BITS_MAX || in.len <= (size_t)1 << bits);
}

static int deflate_shared(struct deflating *deflating, unsigned bits, unsigned level,
                          struct cw_span in, size_t *len)
{
    bool is_short = in.len <= SHORT_BYTES && bits > BITS_SHORT;
    struct cw_ws_deflater *deflater = take(deflating, is_short ? BITS_SHORT : bits, level);

    if (!deflater) {
        return CW_ENOMEM;
    }
    int code = run(deflater, in, &deflating->out, len, in.len + TAIL + FLUSH_ROOM);
    give(deflating, deflater);
    if (code == 0) {
        *len -= TAIL;
    }
    return code == 0 && *len >= in.len ? CW_EAGAIN : code;
}

static int finish(struct cw_loop *loop, struct deflating *deflating, int code, size_t len,
                  struct cw_span *out)
{
    cw_ws_out_sweep(loop, &deflating->out);
    if (code == 0) {
        *out = cw_span_of(deflating->out.data, len);
    }
    return code;
}

int cw_ws_deflate(struct cw_loop *loop, unsigned bits, unsigned level, struct cw_span in,
                  struct cw_span *out)
{
    struct deflating *deflating = cw_loop_part(loop, &part);
    size_t len = 0;
    int code = CW_ENOTFOUND;

    if (!deflating) {
        return CW_ENOMEM;
    }
    if (in.len == 0) { /* nothing is smaller */
        return CW_EAGAIN;
    }
    if (is_quick(bits, level, in)) {
        code = deflate_quickly(deflating, in, &len);
    }
    if (code == CW_ENOTFOUND) {
        code = deflate_shared(deflating, bits, level, in, &len);
    }
    return finish(loop, deflating, code, len, out);
}

int cw_ws_deflate_kept(struct cw_loop *loop, struct cw_ws_deflater *deflater, struct cw_span in,
                       struct cw_span *out)
{
    struct deflating *deflating = cw_loop_part(loop, &part);
    size_t len = 0;
    int code;

    if (!deflating) {
        return CW_ENOMEM;
    }
    if (in.len == 0) { /* zlib has nothing to say twice */
        return CW_EAGAIN;
    }
    code = run(deflater, in, &deflating->out, &len, SIZE_MAX / 2);
    if (code < 0) { /* the peer will not see it: the next message looks back at nothing */
        (void)deflateReset(&deflater->z);
    }
    return finish(loop, deflating, code, code < 0 ? 0 : len - TAIL, out);
}
