#ifndef CAUSEWAY_TESTS_WS_CASE_H
#define CAUSEWAY_TESTS_WS_CASE_H

/* Frames for one side of a WebSocket and what has to come back, read from a file; tests/rfc/6455/README.md says how one is written. */

#include "support/rig.h"

#include <causeway/conn.h>

enum { WS_CASE_NAME_MAX = 96 };

struct ws_case {
    char name[WS_CASE_NAME_MAX];
    struct rig_bytes bytes; /* what is sent */
    struct rig_bytes story; /* what comes back: a line for each frame */
    bool ends;              /* the last line is a close frame that the case itself brings about */
    bool cut;               /* it stops within a frame: what came behind would be its payload */
};

struct ws_cases {
    struct ws_case *list;
    size_t count;
};

/* Reads a file below tests/. Whatever is malformed ends the test. tested: frames for a server have masks, those for a client have
 * none; cases that are not for this side are left out. */
struct ws_cases ws_cases_read(const char *path, enum cw_role tested);
void ws_cases_free(struct ws_cases *cases);

/* Adds the frame that a line of such a file stands for; false: it is no such line. */
bool ws_case_append(struct rig_bytes *bytes, const char *line, enum cw_role tested);

/* Tells frames as the files do: `text Hello`, `pong`, `close 1000`, each with its line's end. Fragments of a message are told as one
 * message at its last frame; a reason of a close frame is left out.
 *
 * masked   whether each of them must have a mask; none may have one otherwise
 * returns  NULL: nothing but whole frames that keep the rules; or what is wrong with the first that does not */
const char *ws_story_of(struct cw_span bytes, bool masked, struct rig_bytes *story);

#endif
