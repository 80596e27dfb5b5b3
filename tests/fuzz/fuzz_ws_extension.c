/* Whatever stands in Sec-WebSocket-Extensions: what a server answers to it a client of ours agrees to, and both mean the same. */
#include "websocket/ws_extension.h"

#include <stdlib.h>

enum { CHOICES = 2 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool right)
{
    if (!right) {
        abort();
    }
}

static struct cw_websocket_deflate options_of(uint8_t choice)
{
    return (struct cw_websocket_deflate){
        .window_bits = 8 + (choice & 7),
        .peer_window_bits = 8 + (choice >> 3 & 7),
        .keep_context = (choice & 64) != 0,
        .keep_peer_context = (choice & 128) != 0,
    };
}

static bool are_bits(uint8_t bits)
{
    return bits >= 8 && bits <= 15;
}

static void serve(struct cw_span text, const struct cw_websocket_deflate *options)
{
    static const struct cw_websocket_deflate keeps = {.keep_context = true,
                                                      .keep_peer_context = true};
    char answer[CW_WS_EXTENSION_TEXT];
    struct cw_ws_agreed here;
    struct cw_ws_agreed there;
    const char *why = NULL;

    int code = cw_ws_accept_offers(text, options, &here, answer, &why);
    expect(code == 0 || (code == -1 && why != NULL && !here.on));
    expect(here.on == (answer[0] != '\0'));
    if (!here.on) {
        return;
    }
    expect(are_bits(here.bits) && are_bits(here.peer_bits));
    expect(here.bits <= options->window_bits);
    expect(cw_ws_judge_answer(cw_span_text(answer), true, &keeps, &there, &why) == 0);
    expect(there.peer_bits >= here.bits && there.bits <= here.peer_bits);
    expect(there.peer_keeps == here.keep && there.keep == here.peer_keeps);
}

static void dial(struct cw_span text, const struct cw_websocket_deflate *options)
{
    struct cw_ws_agreed agreed;
    const char *why = NULL;

    int code = cw_ws_judge_answer(text, true, options, &agreed, &why);
    expect(code == 0 || (code == -1 && why != NULL));
    expect(agreed.on == (code == 0));
    if (agreed.on) {
        expect(agreed.bits <= options->window_bits && are_bits(agreed.bits));
        expect(agreed.peer_bits <= options->peer_window_bits && are_bits(agreed.peer_bits));
        expect(options->keep_context || !agreed.keep);
        expect(options->keep_peer_context || !agreed.peer_keeps);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= CHOICES) {
        return 0;
    }
    struct cw_websocket_deflate server = options_of(data[0]);
    struct cw_websocket_deflate client = options_of(data[1]);
    size_t len = size - CHOICES;
    uint8_t *text = malloc(len); /* of its own size, so that one too many is seen */

    expect(text != NULL);
    memcpy(text, data + CHOICES, len);
    serve(cw_span_of(text, len), &server);
    dial(cw_span_of(text, len), &client);
    free(text);
    return 0;
}
