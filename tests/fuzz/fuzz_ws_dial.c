/* What a server answers to our client's handshake. The first two bytes choose what was asked for and how the input is cut, the rest is
 * the server's. Whole and in pieces it has to come to the same end, and what is agreed on has been asked for. */
#include "websocket/ws_dial.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <stdlib.h>

enum { CHOICES = 2, HEAD_MAX = 1024 };

static const char accept[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="; /* of the key in RFC 6455 §1.3 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds) {
        abort();
    }
}

struct result {
    struct cw_ws_dial dial;
    struct cw_complaint complaint;
    size_t used;
    ptrdiff_t last; /* what was answered last */
};

static void play(struct result *result, const struct cw_websocket_options *options,
                 struct cw_span input, size_t piece)
{
    size_t seen = 0;

    *result = (struct result){.complaint = {""}};
    memcpy(result->dial.accept, accept, sizeof accept);
    while (result->last >= 0 && !result->dial.is_done && (result->last > 0 || seen < input.len)) {
        if (result->last == 0) {
            seen += input.len - seen < piece ? input.len - seen : piece;
        }
        result->last = cw_ws_read_answer(&result->dial, options,
                                         cw_span_of(input.data + result->used, seen - result->used),
                                         &result->complaint);
        result->used += result->last > 0 ? (size_t)result->last : 0;
        check(result->used <= seen);
    }
}

static void judge(const struct result *result, const struct cw_websocket_options *options)
{
    const struct cw_ws_dial *dial = &result->dial;

    check(result->used <= HEAD_MAX);
    if (result->last < 0) {
        check(result->complaint.text[0] != '\0' && !dial->is_done);
        for (const char *c = result->complaint.text; *c; c++) {
            check(*c >= ' ' && *c <= '~');
        }
    }
    if (dial->is_done) {
        check(dial->status == 101);
        check(!dial->agreed.on || options->compress);
        check(!dial->subprotocol || strcmp(dial->subprotocol, "chat") == 0 ||
              strcmp(dial->subprotocol, "v2") == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cw_websocket_options options = {.head_max_bytes = HEAD_MAX};
    struct result whole;
    struct result cut;

    if (size < CHOICES) {
        return 0;
    }
    options.compress = (data[0] & 1) != 0;
    options.subprotocols = data[0] & 2 ? "chat, v2" : NULL;
    options.subprotocol_required = (data[0] & 4) != 0;
    options.deflate = (struct cw_websocket_deflate){.window_bits = data[0] & 8 ? 9 : 15,
                                                    .peer_window_bits = data[0] & 16 ? 8 : 15,
                                                    .keep_context = (data[0] & 32) != 0,
                                                    .keep_peer_context = (data[0] & 64) != 0};
    struct cw_span input = cw_span_of(data + CHOICES, size - CHOICES);
    play(&whole, &options, input, input.len);
    play(&cut, &options, input, 1 + (size_t)data[1]);
    judge(&whole, &options);
    check(whole.last == cut.last || (whole.last >= 0 && cut.last >= 0));
    check(whole.used == cut.used && whole.dial.status == cut.dial.status);
    check(whole.dial.is_done == cut.dial.is_done);
    check(strcmp(whole.complaint.text, cut.complaint.text) == 0);
    check(memcmp(&whole.dial.agreed, &cut.dial.agreed, sizeof cut.dial.agreed) == 0);
    cw_release(whole.dial.subprotocol);
    cw_release(cut.dial.subprotocol);
    return 0;
}
