#ifndef CAUSEWAY_TESTS_HTTP_TALK_H
#define CAUSEWAY_TESTS_HTTP_TALK_H

/* Requests as raw text, and answers taken apart, for tests of what sits on top of HTTP. What does not come, or is no answer, ends
 * the test. */

#include "support/peer.h"

#include <causeway/types.h>

enum { RIG_HEAD_MAX = 16384 };

struct rig_answer {
    int status;
    char head[RIG_HEAD_MAX]; /* the status line and the fields, with a terminator */
    uint8_t *body;           /* chunks put together; ends with a zero byte; rig_answer_free */
    size_t len;
    size_t chunks; /* 0: not in chunks */
};

/* Sends text, and bytes behind it. */
void rig_ask(struct rig_peer *peer, const char *head, struct cw_span body);

/* A whole POST with a length. fields: lines with their ends; may be "". */
void rig_post(struct rig_peer *peer, const char *target, const char *fields, struct cw_span body);

/* Reads one answer. has_body: false for one to HEAD. */
void rig_answer_read(struct rig_peer *peer, bool has_body, struct rig_answer *answer);

/* The head alone; the body is the caller's to read. */
void rig_answer_read_head(struct rig_peer *peer, struct rig_answer *answer);

/* One chunk; its bytes go behind the body so far. Returns its length, 0: the last one. */
size_t rig_answer_read_chunk(struct rig_peer *peer, struct rig_answer *answer);

/* The value of a field, with a terminator; NULL: not there. Good until the next call. */
const char *rig_answer_field(const struct rig_answer *answer, const char *name);

void rig_answer_free(struct rig_answer *answer);

/* Connects, sends a request as it is, reads the answer, closes. It must not be one to HEAD. */
void rig_ask_once(uint16_t port, const char *request, struct cw_span body,
                  struct rig_answer *answer);

/* The same with rig_post. */
void rig_post_once(uint16_t port, const char *target, const char *fields, struct cw_span body,
                   struct rig_answer *answer);

#endif
