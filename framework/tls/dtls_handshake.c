/* What a handshake over datagrams needs beside tls_handshake.c: datagrams that wait, and the timer of the library. */
#include "dtls_impl.h"

#include <causeway/log.h>

/* ---- datagrams that wait ---- */

static void append(struct cw_dtls_queue *queue, struct cw_dtls_piece *piece)
{
    piece->next = NULL;
    if (queue->last) {
        queue->last->next = piece;
    } else {
        queue->first = piece;
    }
    queue->last = piece;
    queue->count++;
    queue->bytes += piece->len;
}

static void put(struct cw_dtls_queue *queue, const uint8_t *data, size_t len)
{
    struct cw_dtls_piece *piece = NULL;

    if (queue->count < CW_DTLS_WAITING_MAX && len <= CW_DTLS_WAITING_BYTES - queue->bytes) {
        piece = cw_alloc(sizeof *piece + len);
    }
    if (!piece) {
        return; /* lost, as it could have been on its way */
    }
    piece->len = len;
    memcpy(piece->bytes, data, len);
    append(queue, piece);
}

/* NULL: there is none. The caller's to release. */
static struct cw_dtls_piece *take(struct cw_dtls_queue *queue)
{
    struct cw_dtls_piece *piece = queue->first;

    if (piece) {
        queue->first = piece->next;
        queue->last = queue->first ? queue->last : NULL;
        queue->count--;
        queue->bytes -= piece->len;
    }
    return piece;
}

static void empty(struct cw_dtls_queue *queue)
{
    while (queue->first) {
        cw_release(take(queue));
    }
}

void cw_dtls_put(struct cw_tls_stream *stream, const uint8_t *data, size_t len)
{
    put(&stream->datagrams->in, data, len);
}

bool cw_dtls_has_input(const struct cw_tls_stream *stream)
{
    return stream->feed_len > 0 || stream->datagrams->feed.first;
}

void cw_dtls_lay_out(struct cw_tls_stream *stream)
{
    struct cw_dtls *datagrams = stream->datagrams;

    datagrams->timer.now = stream->loop->now;
    while (datagrams->in.first && datagrams->feed.count < CW_DTLS_WAITING_MAX) {
        append(&datagrams->feed, take(&datagrams->in));
    }
}

struct cw_dtls_piece *cw_dtls_take_kept(struct cw_tls_stream *stream)
{
    struct cw_dtls_piece *piece = take(&stream->datagrams->feed);

    return piece ? piece : take(&stream->datagrams->in);
}

void cw_dtls_collect(struct cw_tls_stream *stream)
{
    struct cw_dtls *datagrams = stream->datagrams;
    struct cw_dtls_piece *piece;

    while ((piece = take(&datagrams->out)) != NULL) {
        struct cw_span bytes = cw_span_of(piece->bytes, piece->len);

        (void)cw_datagram_send(stream->conn, &bytes, 1);
        cw_release(piece);
    }
    datagrams->timer.now = stream->loop->now;
    if (datagrams->timer.fresh) {
        datagrams->timer.fresh = false;
        datagrams->timer.since = stream->loop->now;
    }
}

/* ---- the library's way in and out ---- */

int cw_dtls_bio_recv(void *ctx, unsigned char *data, size_t len)
{
    struct cw_tls_stream *stream = ctx;
    struct cw_dtls_piece *piece;
    size_t n = stream->feed_len;

    if (n > 0) {
        n = n < len ? n : len; /* what does not fit could be no record of its */
        memcpy(data, stream->feed, n);
        stream->feed_len = 0;
        return (int)n;
    }
    piece = stream->established ? NULL : take(&stream->datagrams->feed);
    if (!piece) {
        return MBEDTLS_ERR_SSL_WANT_READ;
    }
    n = piece->len < len ? piece->len : len;
    memcpy(data, piece->bytes, n);
    if (!stream->established && stream->session.group == 0) {
        stream->session.group = cw_dtls_find_group(cw_span_of(data, n));
    }
    cw_release(piece);
    return (int)n;
}

/* What cannot be sent now is lost, as it could be on its way: the timer sends it again. */
int cw_dtls_bio_send(void *ctx, const unsigned char *data, size_t len)
{
    struct cw_tls_stream *stream = ctx;
    struct cw_span bytes = cw_span_of(data, len);

    stream->alerted = stream->alerted || (len > 0 && data[0] == CW_DTLS_ALERT);
    if (!stream->established && stream->session.group == 0) {
        stream->session.group = cw_dtls_find_group(bytes);
    }
    if (stream->at_work) {
        put(&stream->datagrams->out, data, len);
    } else if (stream->conn) {
        stream->datagrams->sent = cw_datagram_send(stream->conn, &bytes, 1);
    }
    return (int)len;
}

/* ---- the timer ---- */

void cw_dtls_timer_set(void *ctx, uint32_t intermediate_ms, uint32_t final_ms)
{
    struct cw_tls_stream *stream = ctx;
    struct cw_dtls_timer *timer;
    uint32_t most;

    if (!stream->datagrams) {
        return; /* of a session that is reset: a timer is cancelled that is gone */
    }
    timer = &stream->datagrams->timer;
    most = cw_dtls_retransmit_max(&stream->session);
    timer->since = timer->now;
    timer->intermediate = cw_ticks(intermediate_ms < most ? intermediate_ms : most);
    timer->final = final_ms == 0 ? 0 : cw_ticks(final_ms < most ? final_ms : most);
    timer->fresh = stream->at_work;
}

int cw_dtls_timer_get(void *ctx)
{
    const struct cw_tls_stream *stream = ctx;
    const struct cw_dtls_timer *timer = &stream->datagrams->timer;

    if (timer->final == 0) {
        return -1;
    }
    if (timer->fresh) {
        return 0;
    }
    if (cw_tick_reached(timer->since + timer->final, timer->now)) {
        return 2;
    }
    return cw_tick_reached(timer->since + timer->intermediate, timer->now) ? 1 : 0;
}

uint32_t cw_dtls_timer_due(const struct cw_dtls *datagrams)
{
    uint32_t due = datagrams->timer.since + datagrams->timer.final;

    if (datagrams->timer.final == 0) {
        return 0;
    }
    return due == 0 ? 1 : due;
}

/* ---- its end ---- */

void cw_dtls_end_count(struct cw_tls_stream *stream)
{
    if (stream->datagrams && stream->datagrams->counted) {
        stream->datagrams->counted = false;
        stream->loop->tls->dtls_handshakes--;
    }
}

void cw_dtls_close(struct cw_tls_stream *stream)
{
    struct cw_dtls *datagrams = stream->datagrams;

    if (datagrams) {
        empty(&datagrams->in);
        empty(&datagrams->feed);
        empty(&datagrams->out);
        cw_release(datagrams);
        stream->datagrams = NULL;
    }
}
