/* Bodies in parts (RFC 2046 §5.1) as they come, cut anywhere. Pure: takes no memory, knows no exchange. */
#ifndef CW_MULTIPART_PARSER_H
#define CW_MULTIPART_PARSER_H

#include <causeway/types.h>

enum {
    CW_BOUNDARY_MAX = 70,                   /* RFC 2046 §5.1.1 */
    CW_DELIMITER_MAX = 4 + CW_BOUNDARY_MAX, /* with the CRLF and the two dashes in front */
};

/* What has been found. */
enum cw_multipart_event {
    CW_MULTIPART_MORE = 0, /* the input is used up */
    CW_MULTIPART_HEAD,     /* a part begins; its fields stand in parser->head, each with its CRLF */
    CW_MULTIPART_DATA,     /* bytes of the part */
    CW_MULTIPART_PART_END,
    CW_MULTIPART_END, /* the last boundary; what follows is left aside */
};

enum cw_multipart_step {
    CW_MULTIPART_IN_PREAMBLE,
    CW_MULTIPART_BEHIND_BOUNDARY, /* what follows it on its line */
    CW_MULTIPART_BEHIND_DASH,
    CW_MULTIPART_IN_PADDING,
    CW_MULTIPART_BEHIND_CR,
    CW_MULTIPART_IN_HEAD,
    CW_MULTIPART_IN_DATA,
    CW_MULTIPART_AT_END,
    CW_MULTIPART_IN_EPILOGUE,
};

/* Where a body is. */
struct cw_multipart {
    uint8_t delimiter[CW_DELIMITER_MAX];
    size_t delimiter_len;
    size_t matched; /* bytes of the delimiter that stand before the input; they may still prove to be data */
    size_t given;   /* of these, the line end that began the part: never data */
    size_t padding; /* behind the boundary */
    enum cw_multipart_step step;
    bool in_part;
    char *head; /* the caller's */
    size_t head_cap;
    size_t head_len;
    const char *why; /* after an error: a sentence */
};

/* Begins.
 *
 * head     room for the fields of a part, as long as the parser
 * returns  0; CW_EINVAL: not a boundary */
int cw_multipart_begin(struct cw_multipart *parser, struct cw_span boundary, char *head,
                       size_t head_cap);

/* Goes on. Call it until it says CW_MULTIPART_MORE. The pieces of a part may differ with the cuts of the input, never their
 * sum.
 *
 * in       in: what has come; out: what is left of it
 * data     with CW_MULTIPART_DATA: a view of `in` or of the parser
 * returns  an enum cw_multipart_event; CW_EPROTO or CW_ETOOBIG (a head), parser->why says more */
int cw_multipart_next(struct cw_multipart *parser, struct cw_span *in, struct cw_span *data);

/* Whether the last boundary has come: otherwise a body that ends here was cut. */
bool cw_multipart_is_whole(const struct cw_multipart *parser);

/* What the fields of a part say (RFC 7578 §4). C strings inside of the head. */
struct cw_multipart_head {
    char *name;
    char *filename; /* cleaned: causeway/middleware/http_multipart.h says how. NULL: none */
    char *type;     /* NULL: none */
};

/* Reads the head of a part, in place: its bytes change.
 *
 * returns  0; CW_EPROTO, *why set to a sentence */
int cw_multipart_read_head(char *head, size_t len, struct cw_multipart_head *fields,
                           const char **why);

#endif
