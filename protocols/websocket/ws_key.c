/* The key of a handshake, and its answer (RFC 6455 §4.2.2). */
#include "ws_impl.h"

#include <causeway/digest.h>

enum { KEY_TEXT = 24, KEY_BYTES = 16 };

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

bool cw_ws_key_is_sound(struct cw_span key)
{
    uint8_t bytes[KEY_TEXT / 4 * 3];

    return key.len == KEY_TEXT && cw_base64_decode(key, bytes) == KEY_BYTES;
}

int cw_ws_accept_key(struct cw_span key, char accept[CW_WS_ACCEPT_TEXT])
{
    uint8_t text[KEY_TEXT + sizeof guid];
    uint8_t digest[CW_SHA1_SIZE];
    int error;

    if (key.len > KEY_TEXT) {
        return CW_EINVAL;
    }
    memcpy(text, key.data, key.len);
    memcpy(text + key.len, guid, sizeof guid - 1);
    error = cw_sha1(cw_span_of(text, key.len + sizeof guid - 1), digest);
    if (error == CW_OK) {
        cw_base64_encode(cw_span_of(digest, sizeof digest), accept);
    }
    return error;
}
