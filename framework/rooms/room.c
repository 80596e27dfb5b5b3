#include "room_impl.h"
struct cw_room_registry {
    int unused;
};
#include <causeway/log.h>
struct cw_room_registry *cw_room_registry_new(void)
{
    return cw_alloc_zero(sizeof(struct cw_room_registry));
}
void cw_room_registry_free(struct cw_room_registry *registry)
{
    cw_release(registry);
}
int cw_rooms_loop_init(struct cw_loop *loop)
{
    (void)loop;
    return 0;
}
void cw_rooms_loop_free(struct cw_loop *loop)
{
    (void)loop;
}
void cw_room_leave_all(struct cw_conn *conn)
{
    (void)conn;
}
void cw_room_rekey(struct cw_conn *conn)
{
    (void)conn;
}
