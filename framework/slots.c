/* The connections of one loop by number. */
#include "slots.h"

#include <causeway/log.h>

void cw_slots_release(struct cw_slots *slots)
{
    for (uint32_t i = 0; i < slots->block_count; i++) {
        cw_release(slots->blocks[i]);
    }
    cw_release(slots->blocks);
    *slots = (struct cw_slots){0};
}

static bool add_block(struct cw_slots *slots)
{
    struct cw_slot_block *block;
    uint32_t first = slots->block_count * CW_SLOT_BLOCK;

    if (first >= CW_SLOTS_MAX - CW_SLOT_BLOCK) {
        return false;
    }
    if (slots->block_count == slots->block_cap) {
        uint32_t cap = slots->block_cap ? slots->block_cap * 2 : 16;
        struct cw_slot_block **grown =
            cw_resize(slots->blocks, cap * sizeof(struct cw_slot_block *));
        if (!grown) {
            return false;
        }
        slots->blocks = grown;
        slots->block_cap = cap;
    }
    block = cw_alloc_zero(sizeof *block);
    if (!block) {
        return false;
    }
    slots->blocks[slots->block_count++] = block;
    for (uint32_t i = CW_SLOT_BLOCK; i > 0; i--) {
        block->slots[i - 1].due = slots->free_head;
        slots->free_head = first + i;
    }
    return true;
}

bool cw_slots_take(struct cw_slots *slots, struct cw_conn *conn, uint32_t *slot)
{
    struct cw_slot *taken;

    if (slots->free_head == 0 && !add_block(slots)) {
        return false;
    }
    *slot = slots->free_head - 1;
    taken = cw_slots_at(slots, *slot);
    slots->free_head = taken->due;
    taken->conn = conn;
    taken->generation++;
    taken->due = 0;
    slots->used++;
    return true;
}

void cw_slots_give(struct cw_slots *slots, uint32_t slot)
{
    struct cw_slot *given = cw_slots_at(slots, slot);

    given->conn = NULL;
    given->due = 0;
    slots->used--;
    if (given->generation != UINT32_MAX) {
        given->due = slots->free_head;
        slots->free_head = slot + 1;
    }
}

struct cw_conn *cw_slots_find(const struct cw_slots *slots, uint32_t slot, uint32_t generation)
{
    const struct cw_slot *found;

    if (slot / CW_SLOT_BLOCK >= slots->block_count) {
        return NULL;
    }
    found = cw_slots_at(slots, slot);
    return found->generation == generation ? found->conn : NULL;
}

static bool sooner(uint32_t due, uint32_t than)
{
    return than == 0 || (int32_t)(due - than) < 0;
}

void cw_slots_set_due(struct cw_slots *slots, uint32_t slot, uint32_t due)
{
    struct cw_slot_block *block = slots->blocks[slot / CW_SLOT_BLOCK];
    struct cw_slot *at = &block->slots[slot % CW_SLOT_BLOCK];

    if (sooner(due, at->due)) {
        at->due = due;
        if (sooner(due, block->due_min)) {
            block->due_min = due;
        }
    }
}

uint32_t cw_slots_next_due(const struct cw_slots *slots)
{
    uint32_t next = 0;

    for (uint32_t i = 0; i < slots->block_count; i++) {
        uint32_t due = slots->blocks[i]->due_min;
        if (due != 0 && sooner(due, next)) {
            next = due;
        }
    }
    return next;
}

static void sweep_block(struct cw_slot_block *block, uint32_t now,
                        uint32_t (*fn)(struct cw_conn *conn, uint32_t now))
{
    uint32_t least = 0;

    block->due_min = 0; /* fn may set the due tick of any slot meanwhile */
    for (int i = 0; i < CW_SLOT_BLOCK; i++) {
        struct cw_slot *slot = &block->slots[i];
        if (!slot->conn) {
            continue;
        }
        if (slot->due != 0 && cw_tick_reached(slot->due, now)) {
            uint32_t next;
            slot->due = 0;
            next = fn(slot->conn, now);
            if (!slot->conn) {
                continue; /* it has ended; `due` is a link now */
            }
            if (next != 0 && sooner(next, slot->due)) {
                slot->due = next;
            }
        }
        if (slot->due != 0 && sooner(slot->due, least)) {
            least = slot->due;
        }
    }
    if (least != 0 && sooner(least, block->due_min)) {
        block->due_min = least;
    }
}

void cw_slots_sweep(struct cw_slots *slots, uint32_t now,
                    uint32_t (*fn)(struct cw_conn *conn, uint32_t now))
{
    for (uint32_t i = 0; i < slots->block_count; i++) {
        uint32_t due = slots->blocks[i]->due_min;
        if (due != 0 && cw_tick_reached(due, now)) {
            sweep_block(slots->blocks[i], now, fn);
        }
    }
}
