/* The text of a configuration file as a tree: scalars, lists, mappings, each with its line. The part of YAML that people
 * write: no anchors, aliases or tags, one document. */
#ifndef CW_CONFIG_YAML_H
#define CW_CONFIG_YAML_H

#include "arena.h"

#include <causeway/types.h>

enum cw_yaml_kind { CW_YAML_SCALAR, CW_YAML_LIST, CW_YAML_MAPPING };

struct cw_yaml_node {
    enum cw_yaml_kind kind;
    bool quoted;                /* a scalar in quotes, or a block of text */
    unsigned line;              /* from 1 */
    unsigned name_line;         /* of its key */
    const char *name;           /* its key, in a mapping; NULL elsewhere */
    const char *text;           /* of a scalar, without zero bytes in it */
    struct cw_yaml_node *first; /* of a list or mapping; in the file's order */
    struct cw_yaml_node *last;
    struct cw_yaml_node *next;
    struct cw_yaml_node *parent;
};

/* What is wrong with a text. */
struct cw_yaml_fault {
    int code; /* CW_ECONFIG or CW_ENOMEM */
    unsigned line;
    unsigned column; /* 0: the line is enough */
    char text[160];
};

/* Reads a text. *root is NULL when it is empty.
 *
 * depth_max  collections in collections
 * returns    0, or fault->code */
int cw_yaml_read(struct cw_arena *arena, struct cw_span text, uint64_t depth_max,
                 struct cw_yaml_node **root, struct cw_yaml_fault *fault);

#endif
