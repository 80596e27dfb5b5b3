/* Bytes to fewer bytes, in pieces that can each be read when they arrive. */
#ifndef CW_ENCODER_H
#define CW_ENCODER_H

#include <causeway/types.h>

enum cw_coding { CW_CODING_NONE, CW_CODING_GZIP, CW_CODING_BROTLI };

struct cw_encoder;

/* Whether this build has it. */
bool cw_coding_is_there(enum cw_coding coding);

/* The word for Content-Encoding. */
const char *cw_coding_name(enum cw_coding coding);

/* Makes one. level: 1 to 9 for gzip, 1 to 11 for brotli. NULL: no memory. */
struct cw_encoder *cw_encoder_new(enum cw_coding coding, int level);

/* Encodes a piece and flushes it; last: ends the stream.
 *
 * out      the encoder's until the next call
 * returns  0; CW_ENOMEM */
int cw_encoder_run(struct cw_encoder *encoder, struct cw_span in, bool last, struct cw_span *out);

/* Makes it ready for another stream, and gives back most of its memory for output. False: its kind cannot be used again. */
bool cw_encoder_reset(struct cw_encoder *encoder);

/* The level it was made with; what it makes. */
int cw_encoder_level(const struct cw_encoder *encoder);
enum cw_coding cw_encoder_coding(const struct cw_encoder *encoder);

void cw_encoder_free(struct cw_encoder *encoder);

#endif
