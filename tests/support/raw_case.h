#ifndef CAUSEWAY_TESTS_RAW_CASE_H
#define CAUSEWAY_TESTS_RAW_CASE_H

/* Raw bytes for a server and what has to come back, read from a file; tests/rfc/9112/README.md says how one is written. */

#include "support/rig.h"

enum { RAW_ANSWERS_MAX = 4, RAW_NAME_MAX = 96 };

struct raw_case {
    char name[RAW_NAME_MAX];
    struct rig_bytes bytes;
    int statuses[RAW_ANSWERS_MAX];
    size_t status_count;
    struct rig_bytes bodies[RAW_ANSWERS_MAX]; /* of the answers with 200, in order */
    size_t body_count;
    bool stays; /* the connection serves what comes behind */
};

struct raw_cases {
    struct raw_case *list;
    size_t count;
};

/* Reads a file below tests/. Whatever is malformed ends the test. */
struct raw_cases raw_cases_read(const char *path);
void raw_cases_free(struct raw_cases *cases);

/* Appends what a line of such a file stands for, its escapes undone. False: an escape that is none. */
bool raw_append(struct rig_bytes *bytes, const char *text);

#endif
