/* One option of a command line. */
#ifndef EXAMPLES_COMMON_OPTION_ENTRY_H
#define EXAMPLES_COMMON_OPTION_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an option takes, and so what `into` points to. */
enum option_kind {
    OPTION_SWITCH,   /* nothing; bool, set to true */
    OPTION_TEXT,     /* anything but an empty text; const char * into argv */
    OPTION_WORDS,    /* the same, and it may be given several times; struct option_words */
    OPTION_CHOICE,   /* one of `choices`; size_t, its index */
    OPTION_PORT,     /* 0 to 65535; uint16_t */
    OPTION_COUNT,    /* a number; uint64_t, as the next two */
    OPTION_SIZE,     /* bytes, with K, M or G */
    OPTION_DURATION, /* milliseconds, with ms, s, m or h; a bare number is seconds */
};

enum { OPTION_WORDS_BYTES = 2048 };

/* The values of an option that may be given several times, with commas between them. */
struct option_words {
    char text[OPTION_WORDS_BYTES];
};

/* One option. */
struct option_entry {
    const char *name; /* without its dashes */
    enum option_kind kind;
    void *into;
    const char *value;    /* what --help calls the value; NULL for a switch */
    const char *standard; /* the default, with its unit, as --help prints it; NULL: there is none */
    const char *about;
    uint64_t most;    /* of COUNT, SIZE and DURATION, which are at least 1. 0: 2^62 */
    const char *word; /* may stand in place of such a number: `off`, `auto`. NULL: none */
    uint64_t word_means;
    const char *const *choices; /* NULL at the end */
    bool *given; /* set to true when it was on the command line. NULL: of no interest */
};

#endif
