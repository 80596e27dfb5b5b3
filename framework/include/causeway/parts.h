/* What a protocol or a middleware keeps for a whole server, or for each loop: routes, a cache, a shared compressor.
 *
 * A part is a constant table; its address is its name. Its memory is made, zeroed, when it is first asked for. */
#ifndef CAUSEWAY_PARTS_H
#define CAUSEWAY_PARTS_H

#include <causeway/server.h>
#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A part of a server. Absent functions mean "nothing to do". */
struct cw_server_part {
    size_t size; /* of its memory, aligned for anything */

    /* The server is about to run: nothing is bound yet. 0, or an enum cw_error that stops it, worded with
     * cw_server_complain. Parts start in the order in which they were made. */
    int (*start)(struct cw_server *server, void *memory);

    /* The server goes, its loops are gone: frees what hangs from the memory, not the memory. */
    void (*release)(void *memory);
};

/* The memory of a part; made if it is not there and the server does not run yet.
 *
 * returns  NULL: no memory (kept as the server's error), server is NULL, or it runs and has no such part
 * thread   before it runs; any while it runs */
void *cw_server_part(struct cw_server *server, const struct cw_server_part *part);

/* The memory of a part that is there; NULL: it is not.
 *
 * thread   any */
void *cw_server_find_part(const struct cw_server *server, const struct cw_server_part *part);

/* Words the server's first error, which cw_server_run will refuse to start with: outermost step first. Later ones are
 * left out. Returns the code. server may be NULL.
 *
 * thread   before it runs */
int cw_server_complain(struct cw_server *server, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Whether set-up calls are still allowed: 0, CW_ENOMEM (server is NULL), or CW_ESTATE, kept as the server's error. call: its
 * name, for that.
 *
 * thread   any */
int cw_server_check_set_up(struct cw_server *server, const char *call);

/* Says that a service which listeners do not name (a WebSocket's behind HTTP) has messages of up to so many bytes on the wire:
 * the default of out_max_bytes becomes at least twice as much. CW_NO_LIMIT: as large as queues may be anyway. server may be NULL.
 *
 * thread   before it runs */
void cw_server_expect_message(struct cw_server *server, uint64_t bytes);

/* Says that connections of the server may change to a protocol that no listener names: a configuration file that is loaded behind
 * this call may have its section. server may be NULL.
 *
 * thread   before it runs */
void cw_server_expect_protocol(struct cw_server *server, const struct cw_protocol *protocol);

/* What the server was told about a protocol that it speaks or that was expected: by the call for its own protocol, by the services
 * that a configuration file is read with, and by the file. Zero is still the default in it.
 *
 * returns  of the protocol's own type, good as long as the server; NULL: nothing
 * thread   before it runs, behind its set-up: in `start` of a part */
const void *cw_server_options_of(const struct cw_server *server, const struct cw_protocol *protocol);

/* Whether a listener speaks the protocol: by its own service, or by the server's.
 *
 * thread   before it runs, behind its set-up: in `start` of a part */
bool cw_server_speaks(const struct cw_server *server, const struct cw_protocol *protocol);

/* Warns in the log of hooks about the server as a whole (on_worker_start and the like) that stand with a service, where nobody calls
 * them, and not with the server.
 *
 * where    what the service is of, for the line: `websocket /chat`
 * thread   as above */
void cw_server_warn_hooks(const struct cw_server *server, const char *where,
                          const struct cw_hooks *hooks);

/* A part of a loop. Absent functions mean "nothing to do". */
struct cw_loop_part {
    size_t size;

    /* The loop begins to stop, or to be freed: ends what would keep it. Once. Connections are still there. */
    void (*stop)(struct cw_loop *loop, void *memory);

    /* The loop goes, its connections are gone: frees what hangs from the memory, not the memory. */
    void (*release)(struct cw_loop *loop, void *memory);
};

/* The memory of a part, made if it is not there.
 *
 * returns  NULL: no memory
 * thread   loop thread, or before the loop runs */
void *cw_loop_part(struct cw_loop *loop, const struct cw_loop_part *part);

#ifdef __cplusplus
}
#endif

#endif
