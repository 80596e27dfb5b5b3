/* The two sides of the stream. */
#ifndef EXAMPLES_STREAM_H
#define EXAMPLES_STREAM_H

#include "command_line.h"

/* Takes packets until SIGINT or SIGTERM. Returns what main returns. */
int stream_serve(const struct command_line *line);

struct stream_send_options {
    const char *address;
    const struct cw_tls_options *tls; /* NULL: plain */
    uint64_t packets;                 /* audio and video in turn */
    uint64_t rate;        /* packets a second; CW_NO_LIMIT: as fast as they are acknowledged */
    uint64_t window;      /* packets on their way at once, at most 32768 */
    uint64_t audio_bytes; /* of a payload */
    uint64_t video_bytes;
    uint64_t patience_ms; /* without an acknowledgement: the rest is lost */
};

/* Sends packets to a server and prints what became of them. Returns what main returns: 0 when all were
 * acknowledged. */
int stream_send(const struct stream_send_options *options);

#endif
