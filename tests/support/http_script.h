#ifndef CAUSEWAY_TESTS_HTTP_SCRIPT_H
#define CAUSEWAY_TESTS_HTTP_SCRIPT_H

/* A server that answers by a script, however odd, on a thread of its own; and a client that asks one thing after the
 * other on the test's thread and writes down what it is told. */

#include "support/silent.h"

#include <causeway/http_client.h>

#include <pthread.h>
#include <stdatomic.h>

enum { SCRIPT_TURNS_MAX = 32, SCRIPT_REQUEST_MAX = 8192, ASK_MAX = 32, ASK_TEXT_MAX = 512 };

/* What the script does behind an answer. */
enum script_then {
    SCRIPT_KEEP,  /* the next request comes on the same connection, or on a new one */
    SCRIPT_END,   /* ends the connection in good order */
    SCRIPT_RESET, /* resets it */
    SCRIPT_HOLD,  /* says nothing more, until the client has ended it */
};

/* One request and its answer. */
struct script_turn {
    const char *answer; /* NULL: none. `$ACCEPT` in it is what a WebSocket's request asks for */
    size_t len;         /* 0: of a C string */
    size_t piece;       /* bytes sent in one go. 0: all */
    enum script_then then;
    bool deaf;  /* the answer is sent without waiting for the request */
    bool early; /* … or behind its head */
};

struct script {
    struct script_turn turns[SCRIPT_TURNS_MAX];
    size_t count;
    bool endless; /* /a is answered by the first turn, /b by the second …, until script_end asks for /z */
    struct rig_silent listener;
    uint16_t port;
    pthread_t thread;
    atomic_uint conns;                                   /* that were accepted */
    atomic_uint asked;                                   /* requests that have come */
    char requests[SCRIPT_TURNS_MAX][SCRIPT_REQUEST_MAX]; /* head and body, as far as they fit, with a
                                                            terminator */
};

void script_start(struct script *script, const struct script_turn *turns, size_t count);

/* The same for a listener that the test has opened; turns and count are set. */
void script_go(struct script *script);

/* Answers any number of requests, one connection after the other. */
void script_start_endless(struct script *script, const struct script_turn *turns, size_t count);

/* Waits until it has been played to its end. */
void script_end(struct script *script);

#define SCRIPT_START(script, turns) script_start(script, turns, sizeof(turns) / sizeof((turns)[0]))

/* ---- asking ---- */

/* What fn was told. */
struct ask_answer {
    int error;
    int status;
    uint64_t redirects;
    char text[ASK_TEXT_MAX];
    char url[ASK_TEXT_MAX];
    char field[ASK_TEXT_MAX]; /* of the field that the ask names; "-": none */
    char *body;               /* with a terminator; freed by ask_release */
    size_t len;
};

struct ask {
    struct cw_loop *loop; /* made by ask_begin */
    struct cw_http_request requests[ASK_MAX];
    size_t count;
    bool together;     /* all at once; otherwise one behind the other */
    bool stays;        /* does not end before two have been told */
    const char *field; /* to be written down; may be NULL */
    void (*told_one)(struct ask *ask, size_t index); /* may be NULL */
    void *user;

    int64_t ids[ASK_MAX];
    size_t begun;
    size_t told;
    struct ask_answer answers[ASK_MAX];
    struct ask_one {
        struct ask *ask;
        size_t index;
    } ones[ASK_MAX];
};

void ask_begin(struct ask *ask);

/* Adds a request. Returns it, to be filled in further. url: a path of a script (borrowed), or a whole URL. */
struct cw_http_request *ask_for(struct ask *ask, const struct script *script, const char *url);

/* Sends the next one: for whoever adds requests while it runs. */
void ask_next(struct ask *ask);

/* Runs until all have been told, and frees the loop. */
void ask_run(struct ask *ask);

void ask_release(struct ask *ask);

/* One GET, from its begin to its end; released by ask_release. */
const struct ask_answer *ask_once(struct ask *ask, const struct script *script, const char *url);

#endif
