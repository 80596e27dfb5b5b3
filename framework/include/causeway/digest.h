/* Digests and base64, as protocols on the wire ask for them. Not for passwords.
 *
 * thread   any, all of them */
#ifndef CAUSEWAY_DIGEST_H
#define CAUSEWAY_DIGEST_H

#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a digest. */
enum { CW_SHA1_SIZE = 20 };

/* SHA-1 (RFC 3174). It keeps no secret; a WebSocket's handshake is made of it (RFC 6455 §4.2.2).
 *
 * returns  0; CW_EOS: the library has none */
int cw_sha1(struct cw_span bytes, uint8_t digest[CW_SHA1_SIZE]);

/* Room for base64 of so many bytes, with a zero byte behind it. */
#define CW_BASE64_ROOM(len) (((len) + 2) / 3 * 4 + 1)

/* Encodes (RFC 4648 §4), padded, and ends with a zero byte.
 *
 * text     of CW_BASE64_ROOM(bytes.len)
 * returns  the length without the zero byte */
size_t cw_base64_encode(struct cw_span bytes, char *text);

/* Decodes strictly: the alphabet of RFC 4648 §4 alone, padded, no bits left over.
 *
 * bytes    of text.len / 4 * 3
 * returns  the length; CW_EINVAL: it is none, or empty */
ptrdiff_t cw_base64_decode(struct cw_span text, uint8_t *bytes);

#ifdef __cplusplus
}
#endif

#endif
