/* Frames: heads, masks, close codes (RFC 6455 §5, §7.4). Pure functions on bytes; they know no connection and take no memory. */
#ifndef CW_WS_FRAME_H
#define CW_WS_FRAME_H

#include <causeway/types.h>

enum cw_ws_opcode {
    CW_WS_CONTINUATION = 0,
    CW_WS_TEXT = 1,
    CW_WS_BINARY = 2,
    CW_WS_CLOSE = 8,
    CW_WS_PING = 9,
    CW_WS_PONG = 10,
};

enum {
    CW_WS_HEAD_MAX = 14,
    CW_WS_CONTROL_MAX = 125, /* bytes of a control frame's payload (§5.5) */
    CW_WS_FIN = 0x80,        /* in the first byte, */
    CW_WS_RSV1 = 0x40,       /* and this: a compressed message's first frame (RFC 7692 §6) */
};

/* A frame's head. */
struct cw_ws_head {
    uint64_t len;   /* of the payload */
    uint32_t mask;  /* as it stands in memory; 0 where there is none */
    uint8_t opcode; /* enum cw_ws_opcode, never a reserved one */
    uint8_t size;   /* of the head */
    bool fin;
    bool compressed; /* RSV1 */
};

/* Reads the head of the next frame. Refuses reserved bits and opcodes, RSV1 on a continuation or control frame or without the
 * extension, control frames in fragments or above 125 bytes, lengths that a shorter form could say, lengths above 2^63 - 1, a
 * mask that is missing (masked: frames of a client) or must not be there. A rule broken by the first byte is found
 * in the first byte.
 *
 * returns  > 0: bytes of the head · 0: more are needed · < 0: it breaks a rule (1002), *why a sentence */
int cw_ws_read_head(struct cw_span in, bool masked, bool extended, struct cw_ws_head *head,
                    const char **why);

/* Writes a head. first: FIN, RSV1, opcode. mask: as in memory, with `masked`. Returns its size. */
size_t cw_ws_write_head(uint8_t out[CW_WS_HEAD_MAX], uint8_t first, uint64_t len, bool masked,
                        uint32_t mask);

/* Takes the mask from bytes, or puts it on, in place. at: how many bytes of the frame came before them. 16 bytes behind len may be
 * read, none is written.
 *
 * returns  whether a byte is above 0x7f afterwards: without one, text needs no further look */
bool cw_ws_mask(uint8_t *data, size_t len, uint32_t mask, uint64_t at);

/* The same from one place to another; they do not overlap. */
bool cw_ws_mask_to(uint8_t *to, const uint8_t *from, size_t len, uint32_t mask, uint64_t at);

/* Whether a close frame may carry this code (§7.4): 1000 to 1003, 1007 to 1014, 3000 to 4999. */
bool cw_ws_close_code_is_sound(uint32_t code);

#endif
