/* What both sides agree on about permessage-deflate (RFC 7692 §5, §7.1). Pure: texts in, texts out. */
#ifndef CW_WS_EXTENSION_H
#define CW_WS_EXTENSION_H

#include <causeway/websocket.h>

enum {
    CW_WS_EXTENSION_TEXT = 160, /* room for an offer or an answer of ours, with its end */
    CW_WS_OFFERS_MAX = 16,      /* of one request that are looked at */
};

/* What was agreed on, seen from this side. */
struct cw_ws_agreed {
    bool on;
    bool keep;       /* our compressor's context between messages */
    bool peer_keeps; /* the peer's */
    uint8_t bits; /* window of what we send: 9 to 15 (8 is asked for as 8 and sent within 8: see ws_deflate.h) */
    uint8_t peer_bits; /* of what comes: 8 to 15 */
};

/* Server: looks through the offers of Sec-WebSocket-Extensions (all fields as one list), other extensions and offers with unknown,
 * repeated or wrong parameters left aside, and takes the first that fits.
 *
 * answer   the field's value for the answer; "" when agreed->on is false
 * returns  0; -1: it is not a list of extensions at all (400), *why */
int cw_ws_accept_offers(struct cw_span offers, const struct cw_websocket_deflate *options,
                        struct cw_ws_agreed *agreed, char answer[CW_WS_EXTENSION_TEXT],
                        const char **why);

/* Client: what to offer. */
void cw_ws_make_offer(const struct cw_websocket_deflate *options, char offer[CW_WS_EXTENSION_TEXT]);

/* Client: judges what the server has answered; data NULL: nothing. offered: whether anything was.
 *
 * returns  0; -1: it breaks the rules: the connection has to fail (RFC 7692 §5.1, §7.1), *why */
int cw_ws_judge_answer(struct cw_span answer, bool offered,
                       const struct cw_websocket_deflate *options, struct cw_ws_agreed *agreed,
                       const char **why);

#endif
