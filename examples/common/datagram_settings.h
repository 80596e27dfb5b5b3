/* Datagrams on the command line, of a program that serves a protocol of datagrams among others. */
#ifndef EXAMPLES_COMMON_DATAGRAM_SETTINGS_H
#define EXAMPLES_COMMON_DATAGRAM_SETTINGS_H

#include "option_entry.h"

#include <causeway/datagram.h>
#include <causeway/tls.h>

enum { DATAGRAM_ENTRIES_MAX = 11, DATAGRAM_GROUPS_MAX = 64, DATAGRAM_COMPLAINT_BYTES = 200 };

/* What the options fill in. */
struct datagram_settings {
    struct cw_datagram_options options; /* its groups are those below */
    uint64_t mtu_bytes;                 /* of DTLS; 0: the default */
    struct option_words words;          /* the groups, as they were given */
    struct option_words texts;          /* the same, each with an end of its own */
    struct cw_multicast_group groups[DATAGRAM_GROUPS_MAX];
};

/* Makes the options' entries. Returns how many. */
size_t datagram_settings_entries(struct datagram_settings *settings, struct option_entry *entries);

/* Finishes what was read.
 *
 * encrypted  TLS, and so DTLS, is spoken or may be
 * returns    true; false: complaint, of DATAGRAM_COMPLAINT_BYTES, is the sentence that says what is wrong */
bool datagram_settings_finish(struct datagram_settings *settings, bool encrypted, char *complaint);

/* Puts what was given over a listener's options. */
void datagram_settings_over(const struct datagram_settings *settings,
                            struct cw_datagram_options *options);

#endif
