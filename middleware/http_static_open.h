/* Files beneath a directory, and none outside of it: whatever the path says, whatever is a link, whatever is renamed while
 * it is looked up. */
#ifndef CW_HTTP_STATIC_OPEN_H
#define CW_HTTP_STATIC_OPEN_H

#include <causeway/types.h>

struct stat;
struct cw_beneath;

/* Opens the directory itself, wherever it lies.
 *
 * symlinks  links are followed where they lead beneath it
 * error     CW_ENOPATH, CW_EACCESS, CW_ENOMEM … when NULL is returned
 * returns   yours
 * thread    any */
struct cw_beneath *cw_beneath_new(const char *directory, bool symlinks, int *error);
void cw_beneath_free(struct cw_beneath *beneath);

/* Does from now on without openat2, as on systems that have none or forbid it: component by component, without links.
 *
 * thread   any */
void cw_beneath_walk(struct cw_beneath *beneath);
bool cw_beneath_walks(const struct cw_beneath *beneath);

/* Opens a file or directory for reading. Never waits for a peer, as a fifo would.
 *
 * path     relative; "" is the directory itself; a slash at its end asks for a directory
 * status   what it is: a regular file or a directory
 * returns  a descriptor; CW_ENOTFOUND: nothing there, neither file nor directory, or not beneath; CW_EACCESS,
 *          CW_EDESCRIPTORS, CW_ENOMEM, CW_EAGAIN, CW_EOS
 * thread   any */
int cw_beneath_open(struct cw_beneath *beneath, const char *path, struct stat *status);

#endif
