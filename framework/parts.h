/* Parts: what protocols and middleware hang from a server or a loop. */
#ifndef CW_PARTS_H
#define CW_PARTS_H

#include <causeway/parts.h>

struct cw_server_part_entry;
struct cw_loop_part_entry;

/* Starts the parts in their order. 0, or the first error. */
int cw_server_parts_start(struct cw_server *server);
void cw_server_parts_free(struct cw_server *server);

/* Tells those that have not been told yet. */
void cw_loop_parts_stop(struct cw_loop *loop);
void cw_loop_parts_free(struct cw_loop *loop);

#endif
