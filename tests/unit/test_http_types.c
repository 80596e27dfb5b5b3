/* Media types. */
#include "support/leak.h"

#include <causeway/http_fields.h>
#include <criterion/criterion.h>

TestSuite(http_types, .fini = rig_expect_no_leak, .timeout = 30);

static void expect_type(const char *filename, const char *type)
{
    cr_expect_str_eq(cw_http_type_of(filename), type, "%s: %s", filename, cw_http_type_of(filename));
}

Test(http_types, a_file_has_the_type_of_its_ending)
{
    expect_type("index.html", "text/html; charset=utf-8");
    expect_type("/a/b.c/INDEX.HTML", "text/html; charset=utf-8");
    expect_type("app.min.js", "text/javascript; charset=utf-8");
    expect_type("a.json", "application/json");
    expect_type("a.svg", "image/svg+xml");
    expect_type("a.tar.gz", "application/gzip");
    expect_type("a.woff", "font/woff");
    expect_type("a.woff2", "font/woff2");
    expect_type("a.7z", "application/x-7z-compressed");
    expect_type("a.zst", "application/zstd");
    expect_type(".html", "text/html; charset=utf-8");
}

Test(http_types, other_files_are_bytes)
{
    expect_type("", "application/octet-stream");
    expect_type("html", "application/octet-stream");
    expect_type("a.", "application/octet-stream");
    expect_type("a.htmlx", "application/octet-stream");
    expect_type("a.ht", "application/octet-stream");
    expect_type("a.html/b", "application/octet-stream");
    expect_type("a.html/", "application/octet-stream");
    expect_type("a.\xff", "application/octet-stream");
    expect_type("a.html ", "application/octet-stream");
}

Test(http_types, every_ending_that_is_known_is_found)
{
    static const char *const names[] = {
        "a.aac",  "a.avif",        "a.bmp",   "a.br",   "a.bz2", "a.c",    "a.css", "a.csv",
        "a.eot",  "a.flac",        "a.gif",   "a.h",    "a.htm", "a.ico",  "a.ics", "a.jpeg",
        "a.jpg",  "a.jxl",         "a.log",   "a.m3u8", "a.map", "a.md",   "a.mid", "a.mjs",
        "a.mp3",  "a.mp4",         "a.ogg",   "a.otf",  "a.pdf", "a.png",  "a.rtf", "a.tar",
        "a.tiff", "a.toml",        "a.ttf",   "a.txt",  "a.vtt", "a.wasm", "a.wav", "a.webm",
        "a.webp", "a.webmanifest", "a.xhtml", "a.xml",  "a.xz",  "a.yaml", "a.yml", "a.zip",
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        cr_expect_str_neq(cw_http_type_of(names[i]), "application/octet-stream", "%s", names[i]);
    }
}

Test(http_types, texts_and_their_kin_compress)
{
    static const char *const types[] = {
        "text/plain",
        "text/html; charset=utf-8",
        "TEXT/CSS",
        "application/json",
        "application/JSON;a=b",
        "application/problem+json",
        "image/svg+xml",
        "application/wasm",
        "application/xml",
        "application/atom+xml",
        "text/javascript",
        "font/ttf",
        "image/bmp",
        "application/x-ndjson",
        "application/yaml",
    };

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        cr_expect(cw_http_type_compresses(cw_span_text(types[i])), "%s", types[i]);
    }
}

Test(http_types, pictures_archives_and_events_do_not)
{
    static const char *const types[] = {
        "image/png",
        "image/jpeg",
        "video/mp4",
        "application/zip",
        "application/gzip",
        "font/woff2",
        "application/pdf",
        "audio/mpeg",
        "text/",
        "",
        "+json",
        "text/event-stream",
        "Text/Event-Stream; charset=utf-8",
        "textual/x",
        "application/octet-stream",
        "application/jsonx",
    };

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        cr_expect_not(cw_http_type_compresses(cw_span_text(types[i])), "%s", types[i]);
    }
    cr_expect_not(cw_http_type_compresses((struct cw_span){NULL, 0}));
}
