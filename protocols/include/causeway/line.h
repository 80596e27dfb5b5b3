/* line: messages that end in a delimiter, such as lines of text.
 *
 * What is sent arrives as it was, or is refused with CW_EKIND: a body that holds the delimiter, one that
 * makes it together with the delimiter behind it, and, under the default delimiter, one that ends in "\r". */
#ifndef CAUSEWAY_LINE_H
#define CAUSEWAY_LINE_H

#include <causeway/server.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The protocol. */
extern const struct cw_protocol cw_line;

/* Shape and limits of lines. Zero means the default in every member. */
struct cw_line_options {
    const char *delimiter; /* 1 to 16 bytes, a C string. NULL: "\n", and on receipt a "\r" before it is
                                  taken off too. Copied */
    uint64_t line_max_bytes; /* without the delimiter, in both directions; one more is refused. 0: 8192 */
    bool keep_delimiter; /* on_data gets it too; sending always adds it */
    bool last_line_open; /* input that ends without a delimiter is a last line, not CW_ETRUNCATED */
    bool binary;         /* messages are CW_BINARY. false: CW_TEXT */
};

/* Sets the options of a server made with cw_create_server(&cw_line).
 *
 * options  copied
 * returns  0; CW_EINVAL: cw_server_error names the member; CW_ESTATE
 * thread   before it runs */
int cw_line_configure(struct cw_server *server, const struct cw_line_options *options);

/* A service with options. They are borrowed until the call that takes the service returns.
 *
 * thread   any */
struct cw_service cw_line_service(const struct cw_line_options *options,
                                  const struct cw_hooks *hooks, void *user);

#ifdef __cplusplus
}
#endif

#endif
