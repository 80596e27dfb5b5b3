/* Error codes to names and sentences; errno to error codes. */
#include <causeway/error.h>

#include <errno.h>

struct row {
    int code;
    const char *name;
    const char *text;
};

#define ROW(name, number, text) {number, #name, text},
static const struct row rows[] = {
    {CW_OK, "CW_OK", "no error"},
    CW_ERRORS(ROW){CW_BY_PEER, "CW_BY_PEER", "closed by the peer"},
    {CW_BY_APP, "CW_BY_APP", "closed by the application"},
    {CW_BY_ABORT, "CW_BY_ABORT", "aborted by the application"},
    {CW_BY_STOP, "CW_BY_STOP", "the server or loop is stopping"},
    {CW_BY_PROTOCOL, "CW_BY_PROTOCOL", "ended by the protocol"},
    {CW_EXPIRED, "CW_EXPIRED", "the peer was silent for peer_idle_ms or peer_silent_ms"},
    {CW_REPLACED, "CW_REPLACED", "made room for another peer"},
    {CW_SWITCHED, "CW_SWITCHED", "another service has taken over"},
};
#undef ROW

static const struct row *find(int code)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].code == code) {
            return &rows[i];
        }
    }
    return NULL;
}

const char *cw_error_name(int code)
{
    const struct row *row = find(code);

    return row ? row->name : "CW_UNKNOWN";
}

const char *cw_strerror(int code)
{
    const struct row *row = find(code);

    return row ? row->text : "unknown code";
}

int cw_error_from_errno(int os_errno)
{
    static const struct {
        int os_errno;
        int code;
    } pairs[] = {
        {ECONNRESET, CW_ERESET},
        {ECONNABORTED, CW_ERESET},
        {EPIPE, CW_EPIPE},
        {ETIMEDOUT, CW_ETIMEDOUT},
        {ECONNREFUSED, CW_EREFUSED},
        {EHOSTUNREACH, CW_EUNREACHABLE},
        {ENETUNREACH, CW_EUNREACHABLE},
        {ENETDOWN, CW_EUNREACHABLE},
        {EHOSTDOWN, CW_EUNREACHABLE},
        {EADDRINUSE, CW_EADDRINUSE},
        {EADDRNOTAVAIL, CW_EADDRNOTAVAIL},
        {EACCES, CW_EACCESS},
        {EPERM, CW_EACCESS},
        {EROFS, CW_EACCESS},
        {ENOENT, CW_ENOPATH},
        {ENOTDIR, CW_ENOPATH},
        {EMFILE, CW_EDESCRIPTORS},
        {ENFILE, CW_EDESCRIPTORS},
        {ENOMEM, CW_ENOMEM},
        {ENOBUFS, CW_ENOMEM},
        {EINVAL, CW_EINVAL},
        {ENAMETOOLONG, CW_EINVAL},
    };

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (pairs[i].os_errno == os_errno) {
            return pairs[i].code;
        }
    }
    return CW_EOS;
}
