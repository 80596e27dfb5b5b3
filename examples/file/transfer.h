/* How a file crosses a connection: frames behind a length of 8 bytes, in network order.
 *
 * ```text
 * sender                                       receiver
 * {"name":N,"size":S,"checksum":"crc32"}  →
 *                                         ←    {"status":"ready"}
 * S bytes: the file                       →
 * 4 bytes: its checksum                   →
 *                                         ←    {"status":"stored"}
 * ```
 *
 * In place of either answer the receiver may say {"status":"refused","message":M} and close. After "stored"
 * the next file may follow. */
#ifndef EXAMPLES_FILE_TRANSFER_H
#define EXAMPLES_FILE_TRANSFER_H

#include <causeway/framed.h>

enum {
    TRANSFER_WHOLE_MAX = 4096, /* frames above this come in pieces */
    TRANSFER_CHECKSUM_BYTES = 4,
    TRANSFER_NAME_MAX_BYTES = 200, /* leaves room for the temporary name */
};

#define TRANSFER_CHECKSUM_KIND "crc32"

/* The frames of both sides, for files of up to so many bytes. */
static inline struct cw_framed_options transfer_framing(uint64_t size_max)
{
    struct cw_framed_options framed = {
        .length_bytes = 8,
        .stream_above_bytes = TRANSFER_WHOLE_MAX,
        .frame_max_bytes = size_max > TRANSFER_WHOLE_MAX ? size_max : TRANSFER_WHOLE_MAX,
    };

    return framed;
}

/* Says what is wrong with a file's name; NULL: nothing. One that leads out of a directory, hides in it, or
 * would not fit on one line is wrong. */
const char *transfer_name_trouble(const char *name);

/* Writes a checksum in network order, and reads it. */
void transfer_write_checksum(uint8_t bytes[TRANSFER_CHECKSUM_BYTES], uint32_t checksum);
uint32_t transfer_read_checksum(const uint8_t bytes[TRANSFER_CHECKSUM_BYTES]);

/* What a transfer took. */
struct transfer_figures {
    double seconds;
    double mb_per_s;
    double peak_memory_mb; /* of the whole process, ever */
};

/* Microseconds of a clock that never jumps. */
uint64_t transfer_now_us(void);

struct transfer_figures transfer_measure(uint64_t started_us, uint64_t bytes);

#endif
