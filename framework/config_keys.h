/* Every key that a configuration file may have, as tables: what it takes, where it goes. */
#ifndef CW_CONFIG_KEYS_H
#define CW_CONFIG_KEYS_H

#include <causeway/config.h>

/* What a key takes, beside enum cw_setting_kind. */
enum {
    CW_KEY_PORT = CW_SETTING_TEXT + 1, /* uint16_t */
    CW_KEY_MODE,                       /* permission bits, octal; uint32_t */
    CW_KEY_PATH,      /* const char *; relative to the file's folder, or PEM itself */
    CW_KEY_SECRET,    /* a text that no message repeats */
    CW_KEY_VERSION,   /* enum cw_tls_version */
    CW_KEY_WORDS,     /* one text or a list; const char *, with commas between them */
    CW_KEY_NETWORKS,  /* the same, each a network */
    CW_KEY_PROTOCOL,  /* the name of a service; its struct */
    CW_KEY_SECTION,   /* keys of `section`, in the same struct */
    CW_KEY_OWN_TLS,   /* true, false, or keys of `section` */
    CW_KEY_LISTENERS, /* a list of `section` */
    CW_KEY_CERTIFICATES,
    CW_KEY_GROUPS,
};

/* flags, beside those of options.h */
enum {
    CW_KEY_NEEDS_START = 1 << 8, /* does not change while the server runs */
};

struct cw_config_section;

struct cw_config_key {
    const char *name;
    const char *member; /* of the struct, as it stands in complaints about it; NULL: in none */
    unsigned kind;
    unsigned flags;
    size_t offset; /* in what the section fills in */
    uint64_t least;
    uint64_t most;                           /* 0: it is checked by others */
    const char *const *choices;              /* NULL at the end */
    const struct cw_config_section *section; /* of a mapping */
};

struct cw_config_section {
    const struct cw_config_key *keys;
    size_t count;
};

/* The top of a file; fills in a struct cw_config_file. */
extern const struct cw_config_section cw_config_top;

/* A protocol's setting as a key. */
struct cw_config_key cw_config_key_of(const struct cw_setting *setting);

/* Tells fn of each key with its whole name (`server.listeners[].tls.cert`). */
void cw_config_each_key(void (*fn)(const char *path, const struct cw_config_key *key, void *user),
                        void *user);

/* What a key takes, in words: `1 to 127`, `true or false`. Returns text. */
enum { CW_ALLOWED_MAX = 160 };
char *cw_config_allowed(const struct cw_config_key *key, char *text);

/* The key of that name, or the nearest to it when none has it; NULL: none is near. */
const struct cw_config_key *cw_config_find(const struct cw_config_section *section,
                                           const char *name);

/* How many letters have to be put in, taken out or changed. Names longer than 63 bytes are far from all. */
size_t cw_config_distance(const char *a, const char *b);

#endif
