/* What a body in parts says, as text, for any cuts of it. */
#ifndef CAUSEWAY_TESTS_PARTS_STORY_H
#define CAUSEWAY_TESTS_PARTS_STORY_H

#include <causeway/types.h>

/* Reads a body with the parser, in pieces as `next_cut` says (NULL: whole; otherwise it returns the length of the next piece,
 * of at most `left`).
 *
 * ```text
 * [name|filename|type]     a part begins; a `-` for what is not there
 * bytes                    as they are
 * ;                        it ends
 * .                        the last boundary
 * !sentence                an error; ?: the last boundary is missing
 * ```
 *
 * head_cap  for the fields of a part
 * returns   the story, ended with a zero byte; free() it. *len: without that byte; may be NULL */
char *parts_story(const char *boundary, struct cw_span body, size_t head_cap,
                  size_t (*next_cut)(size_t left, void *arg), void *arg, size_t *len);

#endif
