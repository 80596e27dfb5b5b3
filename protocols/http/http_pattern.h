/* What the texts of a route say: its methods, and its path segment by segment. Pure functions. */
#ifndef CW_HTTP_PATTERN_H
#define CW_HTTP_PATTERN_H

#include <causeway/types.h>

enum {
    CW_HTTP_SEGMENTS_MAX = 64, /* of a pattern */
    CW_HTTP_PATTERN_PARAMS_MAX = 16,
    CW_HTTP_WHY_MAX = 120, /* a sentence, with its terminator */
};

/* What a segment may be, the most specific first. */
enum cw_http_segment_kind {
    CW_SEGMENT_LITERAL,
    CW_SEGMENT_UUID,  /* 8-4-4-4-12 hexadecimal digits */
    CW_SEGMENT_INT,   /* decimal digits, `-` before them or not; fits int64_t */
    CW_SEGMENT_HEX,   /* hexadecimal digits */
    CW_SEGMENT_ALPHA, /* letters A to Z of either case */
    CW_SEGMENT_ALNUM, /* those and digits */
    CW_SEGMENT_SLUG,  /* words of a to z and digits, with one `-` between them */
    CW_SEGMENT_ANY,   /* one byte at least */
    CW_SEGMENT_REST,  /* all that follows */
};

struct cw_http_segment {
    enum cw_http_segment_kind kind;
    struct cw_span text; /* the literal, or the parameter's name; a view of the path */
};

struct cw_http_pattern {
    struct cw_http_segment segments[CW_HTTP_SEGMENTS_MAX];
    size_t count;
    bool ends_in_slash; /* behind the last segment; the path `/` has no segment and ends in one */
    bool last_is_optional;
    bool is_asterisk; /* the path `*`: the server as a whole */
};

/* Takes a path apart.
 *
 * prefix   "", or what a group's prefix may be: no `*rest`, nothing optional, no slash at the end
 * returns  0; CW_EINVAL: why says what is wrong */
int cw_http_pattern_parse(const char *path, bool prefix, struct cw_http_pattern *pattern,
                          char why[CW_HTTP_WHY_MAX]);

/* Whether a segment is of that kind; neither a literal nor a rest. */
bool cw_http_segment_fits(enum cw_http_segment_kind kind, struct cw_span text);

/* Takes the next method off a list like `GET|PUT`.
 *
 * rest     in: the list; out: what is behind the method
 * returns  0; CW_EINVAL: it is none: why says so */
int cw_http_pattern_method(struct cw_span *rest, struct cw_span *method, char why[CW_HTTP_WHY_MAX]);

#endif
