/* Media types: of files, and which of them are worth compressing. */
#include <causeway/http_fields.h>

#include "http/http_bytes.h"

struct ending {
    const char *name;
    const char *type;
};

/* In order, as it is searched by halves. */
static const struct ending endings[] = {
    {"7z", "application/x-7z-compressed"},
    {"aac", "audio/aac"},
    {"apng", "image/apng"},
    {"atom", "application/atom+xml"},
    {"avi", "video/x-msvideo"},
    {"avif", "image/avif"},
    {"bin", "application/octet-stream"},
    {"bmp", "image/bmp"},
    {"br", "application/x-brotli"},
    {"bz2", "application/x-bzip2"},
    {"c", "text/plain; charset=utf-8"},
    {"cjs", "text/javascript; charset=utf-8"},
    {"conf", "text/plain; charset=utf-8"},
    {"css", "text/css; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"doc", "application/msword"},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {"eot", "application/vnd.ms-fontobject"},
    {"epub", "application/epub+zip"},
    {"flac", "audio/flac"},
    {"geojson", "application/geo+json"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"h", "text/plain; charset=utf-8"},
    {"heic", "image/heic"},
    {"htm", "text/html; charset=utf-8"},
    {"html", "text/html; charset=utf-8"},
    {"ico", "image/vnd.microsoft.icon"},
    {"ics", "text/calendar; charset=utf-8"},
    {"ini", "text/plain; charset=utf-8"},
    {"jar", "application/java-archive"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"jsonld", "application/ld+json"},
    {"jxl", "image/jxl"},
    {"log", "text/plain; charset=utf-8"},
    {"m3u8", "application/vnd.apple.mpegurl"},
    {"m4a", "audio/mp4"},
    {"m4v", "video/mp4"},
    {"map", "application/json"},
    {"md", "text/markdown; charset=utf-8"},
    {"mid", "audio/midi"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"mov", "video/quicktime"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"mpd", "application/dash+xml"},
    {"mpeg", "video/mpeg"},
    {"mpg", "video/mpeg"},
    {"ndjson", "application/x-ndjson"},
    {"odp", "application/vnd.oasis.opendocument.presentation"},
    {"ods", "application/vnd.oasis.opendocument.spreadsheet"},
    {"odt", "application/vnd.oasis.opendocument.text"},
    {"oga", "audio/ogg"},
    {"ogg", "audio/ogg"},
    {"ogv", "video/ogg"},
    {"opus", "audio/ogg"},
    {"otf", "font/otf"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"ppt", "application/vnd.ms-powerpoint"},
    {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    {"ps", "application/postscript"},
    {"rar", "application/vnd.rar"},
    {"rss", "application/rss+xml"},
    {"rtf", "application/rtf"},
    {"svg", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"tif", "image/tiff"},
    {"tiff", "image/tiff"},
    {"toml", "application/toml"},
    {"ts", "video/mp2t"},
    {"tsv", "text/tab-separated-values; charset=utf-8"},
    {"ttf", "font/ttf"},
    {"txt", "text/plain; charset=utf-8"},
    {"vcf", "text/vcard; charset=utf-8"},
    {"vtt", "text/vtt; charset=utf-8"},
    {"wasm", "application/wasm"},
    {"wav", "audio/wav"},
    {"weba", "audio/webm"},
    {"webm", "video/webm"},
    {"webmanifest", "application/manifest+json"},
    {"webp", "image/webp"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"xhtml", "application/xhtml+xml"},
    {"xls", "application/vnd.ms-excel"},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {"xml", "application/xml"},
    {"xz", "application/x-xz"},
    {"yaml", "application/yaml"},
    {"yml", "application/yaml"},
    {"zip", "application/zip"},
    {"zst", "application/zstd"},
};

/* Below 0: the span comes first; endings are in lower case. */
static int compare(struct cw_span span, const char *text)
{
    for (size_t i = 0; i < span.len; i++) {
        int difference = cw_http_lower(span.data[i]) - (int)(uint8_t)text[i];

        if (difference != 0) {
            return difference;
        }
    }
    return text[span.len] == '\0' ? 0 : -1;
}

const char *cw_http_type_of(const char *filename)
{
    const char *slash = strrchr(filename, '/');
    const char *dot = strrchr(slash != NULL ? slash : filename, '.');
    size_t low = 0;
    size_t high = dot != NULL ? sizeof endings / sizeof endings[0] : 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int difference = compare(cw_span_text(dot + 1), endings[middle].name);

        if (difference == 0) {
            return endings[middle].type;
        }
        if (difference < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return "application/octet-stream";
}

static bool begins(struct cw_span type, const char *text)
{
    size_t len = strlen(text);

    return type.len > len && cw_http_equal(cw_span_of(type.data, len), text);
}

static bool ends(struct cw_span type, const char *text)
{
    size_t len = strlen(text);

    return type.len > len && cw_http_equal(cw_span_of(type.data + type.len - len, len), text);
}

bool cw_http_type_compresses(struct cw_span type)
{
    /* Fonts and pictures in this list are those whose formats do not compress by themselves. */
    static const char *const kin[] = {
        "application/json",
        "application/javascript",
        "application/x-javascript",
        "application/ecmascript",
        "application/xml",
        "application/wasm",
        "application/x-ndjson",
        "application/yaml",
        "application/toml",
        "application/graphql",
        "application/sql",
        "application/rtf",
        "application/postscript",
        "application/x-sh",
        "application/x-tar",
        "application/x-www-form-urlencoded",
        "application/x-httpd-php",
        "application/vnd.apple.mpegurl",
        "application/vnd.ms-fontobject",
        "application/x-font-ttf",
        "application/x-font-opentype",
        "font/ttf",
        "font/otf",
        "font/sfnt",
        "font/collection",
        "image/bmp",
        "image/x-ms-bmp",
        "image/x-icon",
        "image/vnd.microsoft.icon",
    };

    type = cw_http_without_parameters(type);
    if (begins(type, "text/")) {
        /* Events must leave as they come, not when a compressor has enough of them. */
        return !cw_http_equal(type, "text/event-stream");
    }
    if (ends(type, "+json") || ends(type, "+xml") || ends(type, "+yaml") || ends(type, "+text")) {
        return true;
    }
    for (size_t i = 0; i < sizeof kin / sizeof kin[0]; i++) {
        if (cw_http_equal(type, kin[i])) {
            return true;
        }
    }
    return false;
}
