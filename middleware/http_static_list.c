#include "http_static_dir.h"

#include <causeway/error.h>
#include <causeway/log.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names of a directory, those of directories with a slash behind them. */
struct names {
    struct cw_static_text text; /* each ended by a zero byte */
    size_t count;
    bool more;
};

static mode_t kind_of(DIR *entries, const struct dirent *entry)
{
    struct stat status;

    switch (entry->d_type) {
    case DT_REG:
        return S_IFREG;
    case DT_DIR:
        return S_IFDIR;
    case DT_LNK:
        return S_IFLNK;
    case DT_UNKNOWN:
        return fstatat(dirfd(entries), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0
                   ? 0
                   : status.st_mode & S_IFMT;
    default:
        return 0;
    }
}

/* What would be served is shown. */
static void add_name(struct names *names, const struct cw_http_dir *dir, DIR *entries,
                     const struct dirent *entry)
{
    mode_t kind = kind_of(entries, entry);
    const char *name = entry->d_name;
    bool is_self = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    bool is_link = kind == S_IFLNK && dir->options.symlinks;

    if (is_self || (name[0] == '.' && !dir->options.dotfiles) ||
        (kind != S_IFREG && kind != S_IFDIR && !is_link)) {
        return;
    }
    if (names->count == dir->options.list_max) {
        names->more = true;
        return;
    }
    cw_static_put_text(&names->text, name);
    cw_static_put_text(&names->text, kind == S_IFDIR ? "/" : "");
    cw_static_put(&names->text, "", 1);
    names->count++;
}

/* fd is taken over. */
static int read_names(struct names *names, const struct cw_http_dir *dir, int fd)
{
    DIR *entries = fdopendir(fd);
    const struct dirent *entry;

    if (!entries) {
        close(fd);
        return CW_ENOMEM;
    }
    while (!names->more && (entry = readdir(entries)) != NULL) {
        add_name(names, dir, entries, entry);
    }
    closedir(entries);
    return names->text.failed ? CW_ENOMEM : CW_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_names(const struct names *names, const char **sorted)
{
    const char *name = names->text.data;

    for (size_t i = 0; i < names->count; i++) {
        sorted[i] = name;
        name += strlen(name) + 1;
    }
    qsort(sorted, names->count, sizeof *sorted, by_name);
}

/* A name may hold a colon, and would be taken for a scheme. */
static void put_link(struct cw_static_text *page, const char *name)
{
    cw_static_put_text(page, "<li><a href=\"./");
    cw_static_put_path(page, name);
    cw_static_put_text(page, "\">");
    cw_static_put_html(page, name);
    cw_static_put_text(page, "</a></li>\n");
}

static void put_page(struct cw_static_text *page, const char *title, const struct names *names,
                     const char *const *sorted)
{
    cw_static_put_text(page, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
                             "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    cw_static_put_html(page, title);
    cw_static_put_text(page, "</title>\n<h1>");
    cw_static_put_html(page, title);
    cw_static_put_text(page, "</h1>\n<ul>\n");
    for (size_t i = 0; i < names->count; i++) {
        put_link(page, sorted[i]);
    }
    cw_static_put_text(page, "</ul>\n");
    if (names->more) {
        cw_static_put_text(page, "<p>There are more.</p>\n");
    }
}

static int reply_page(struct cw_http_exchange *http, const struct names *names)
{
    const char **sorted = cw_alloc((names->count + 1) * sizeof *sorted);
    const char *title = (const char *)cw_http_path(http).data;
    struct cw_static_text page = {0};
    int error = CW_ENOMEM;

    if (sorted) {
        sort_names(names, sorted);
        put_page(&page, title, names, sorted);
    }
    if (sorted && !page.failed) {
        (void)cw_http_set_field(http, "Cache-Control", "no-cache");
        (void)cw_http_set_field(http, "X-Content-Type-Options", "nosniff");
        (void)cw_http_set_field(http, "Content-Security-Policy", "default-src 'none'");
        error =
            cw_http_reply(http, 200, "text/html; charset=utf-8", cw_span_of(page.data, page.len));
    }
    cw_static_text_release(&page);
    cw_release(sorted);
    return error;
}

int cw_static_list(struct cw_http_exchange *http, struct cw_http_dir *dir, const char *path)
{
    struct names names = {0};
    struct stat status;
    int fd = cw_beneath_open(dir->beneath, path, &status);
    int error = fd < 0 ? fd : read_names(&names, dir, fd);

    if (error == CW_OK) {
        error = reply_page(http, &names);
    }
    cw_static_text_release(&names.text);
    return error;
}
