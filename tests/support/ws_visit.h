#ifndef CAUSEWAY_TESTS_WS_VISIT_H
#define CAUSEWAY_TESTS_WS_VISIT_H

/* A WebSocket client of ours on the test's own thread, and what it is told. */

#include <causeway/websocket.h>

#include <stdio.h>

enum { WS_GOT_MAX = 65536, WS_CLOSES_MAX = 8 };

/* Set what is above the line, then ws_visit_begin, ws_visit_to, and ws_visit_run. */
struct ws_visit {
    struct cw_websocket_options options;
    struct cw_connect_options connect;
    const char *says;  /* sent when a connection is open. NULL: nothing */
    unsigned rounds;   /* messages after which it closes, on each connection. 0: it stays, and
                          without anything to say or `then` goes at once */
    unsigned attempts; /* ends after so many connections and failures. 0: as connect says */
    void (*then)(struct ws_visit *visit, struct cw_conn *conn, const struct cw_message *msg);

    /* ---- */

    struct cw_loop *loop;
    int64_t id;
    unsigned opened;
    unsigned messages; /* on this connection */
    unsigned closed;
    unsigned failed;
    int status; /* cw_websocket_status of the last connection or failure */
    bool compressed;
    char subprotocol[64];
    char got[WS_GOT_MAX]; /* all messages, with a terminator */
    size_t len;
    struct cw_error_report report;      /* the last one; its pointers mean nothing */
    struct cw_close_reason reason;      /* the last one */
    uint32_t peer_codes[WS_CLOSES_MAX]; /* of each */
};

/* Makes the loop. What was set stays. */
void ws_visit_begin(struct ws_visit *visit);

/* cw_websocket_connect; printf's words for the URL. Returns the id or the error. */
int64_t ws_visit_to(struct ws_visit *visit, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Runs until all is over, and frees the loop. */
void ws_visit_run(struct ws_visit *visit);

/* The hooks, with the visit as their `user`. */
extern const struct cw_hooks ws_visit_hooks;

/* The value of Sec-WebSocket-Accept that a request asks for, computed here (RFC 6455 §4.2.2), with its end. */
void ws_accept_of(const char *request, char accept[29]);

#endif
