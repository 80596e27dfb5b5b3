/* A keyed hash, for tables whose keys a peer can choose: addresses, names of rooms. Without the seed nobody
 * can pick keys that fall into one place. */
#ifndef CAUSEWAY_HASH_H
#define CAUSEWAY_HASH_H

#include <causeway/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The secret of one table. */
struct cw_hash_seed {
    uint64_t words[2];
};

/* Takes a seed from the system's random numbers.
 *
 * returns  0, or CW_EOS: it has none to give
 * thread   any */
int cw_hash_seed(struct cw_hash_seed *seed);

/* Hashes bytes: SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012). The same on every
 * machine for the same seed.
 *
 * thread   any */
uint64_t cw_hash(const struct cw_hash_seed *seed, struct cw_span bytes);

#ifdef __cplusplus
}
#endif

#endif
