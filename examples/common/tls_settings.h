/* TLS on the command line: of a server, of a client, or of a program that may be either. */
#ifndef EXAMPLES_COMMON_TLS_SETTINGS_H
#define EXAMPLES_COMMON_TLS_SETTINGS_H

#include "option_entry.h"

#include <causeway/tls.h>

enum tls_role { TLS_SERVER = 1, TLS_CLIENT = 2 };

enum { TLS_ENTRIES_MAX = 16, TLS_COMPLAINT_BYTES = 400 };

/* What the options fill in. */
struct tls_settings {
    struct cw_tls_options options;
    const char *passphrase_env; /* the variable that holds the passphrase of the key */
    size_t min_version;         /* an index, or SIZE_MAX */
    bool request_client_cert;
    bool require_client_cert;
};

/* Makes the options' entries for a program in these roles (added up). Returns how many. */
size_t tls_settings_entries(struct tls_settings *settings, unsigned roles,
                            struct option_entry *entries);

/* Finishes what was read, for the role that the program has taken.
 *
 * over_file  a server's file says the rest, so the options need not be whole by themselves
 * used     a server: set to whether it speaks TLS, for which it needs a certificate. A client: whether it does
 * returns  true; false: complaint, of TLS_COMPLAINT_BYTES, is the sentence that says what is wrong */
bool tls_settings_finish(struct tls_settings *settings, enum tls_role role, bool over_file,
                         bool *used, char *complaint);

/* Puts what was given over a server's options. */
void tls_settings_over(const struct tls_settings *settings, struct cw_tls_options *options);

/* Lets an idle TLS connection cost less memory than malloc would have it. Before TLS begins; the process's. */
void tls_spare_memory(void);

#endif
