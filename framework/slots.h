/* The connections of one loop by number, and when each has to be looked at again.
 *
 * Blocks of 64 slots keep the least due tick of their slots, so that a sweep over a million idle connections
 * touches 16,000 numbers. A slot's generation grows with each use; when it would wrap, the slot is retired:
 * a number is never used twice. */
#ifndef CW_SLOTS_H
#define CW_SLOTS_H

#include <causeway/types.h>

struct cw_conn;

/* The last block is never used: a slot + 1 has 24 bits. */
enum { CW_SLOT_BLOCK = 64, CW_SLOTS_MAX = 1 << 24 };

struct cw_slot {
    struct cw_conn *conn;
    uint32_t generation; /* of the connection that is here, or was last */
    uint32_t due;        /* tick; 0: none. Of a free slot: the next free one + 1 */
};

struct cw_slot_block {
    struct cw_slot slots[CW_SLOT_BLOCK];
    uint32_t due_min; /* 0: none of them is due at all */
};

struct cw_slots {
    struct cw_slot_block **blocks;
    uint32_t block_count;
    uint32_t block_cap;
    uint32_t free_head; /* + 1; 0: none */
    uint32_t used;
};

void cw_slots_release(struct cw_slots *slots);

/* Gives the connection a slot. False: no memory, or 2^24 connections. */
bool cw_slots_take(struct cw_slots *slots, struct cw_conn *conn, uint32_t *slot);
void cw_slots_give(struct cw_slots *slots, uint32_t slot);

static inline struct cw_slot *cw_slots_at(const struct cw_slots *slots, uint32_t slot)
{
    return &slots->blocks[slot / CW_SLOT_BLOCK]->slots[slot % CW_SLOT_BLOCK];
}

/* The connection in that slot with that generation, or NULL. */
struct cw_conn *cw_slots_find(const struct cw_slots *slots, uint32_t slot, uint32_t generation);

/* Ticks count 16 ms and wrap after two years; they are compared by their distance. */
static inline bool cw_tick_reached(uint32_t tick, uint32_t now)
{
    return (int32_t)(now - tick) >= 0;
}

/* Has the slot looked at no later than `due` (not 0). */
void cw_slots_set_due(struct cw_slots *slots, uint32_t slot, uint32_t due);

/* The least due tick of all; 0: none. */
uint32_t cw_slots_next_due(const struct cw_slots *slots);

/* Calls fn for every slot that is due; it answers the slot's next due tick, 0 for none. fn may end connections. */
void cw_slots_sweep(struct cw_slots *slots, uint32_t now,
                    uint32_t (*fn)(struct cw_conn *conn, uint32_t now));

#endif
