// Chromium on the example site: node site_browser.mjs PROGRAM
// Prints a line for each thing that works, and ends with 1 at the first that does not.
import { spawn } from "node:child_process";
import { Page, allowed, alongside, end, fail, started, troubles } from "./browser.mjs";

const site = alongside(spawn(process.argv[2], ["--port", "0", "--workers", "2"], { stdio: ["ignore", "pipe", "inherit"] }));

async function open() {
    const page = await Page.open(allowed.origin);
    await page.until(`document.getElementById("link")?.textContent.startsWith("Connected")`);
    return page;
}

/* ---- what has to work ---- */

async function run() {
    await started();
    console.log("Chromium is there");
    const one = await open();
    await one.until(`document.getElementById("curve").getAttribute("points").split(" ").length >= 2`);
    await one.evaluate(`document.getElementById("load").click()`);
    await one.until(`Number(document.getElementById("peak").textContent) > 20`);
    console.log("the chart lives");

    const two = await open();
    await one.send("Page.bringToFront");
    await one.evaluate(`document.getElementById("text").focus()`);
    for (const note of ["<b>tea</b>", "milk"]) {
        await one.type(note);
        await one.press("Enter");
        await one.until(`document.getElementById("text").value === "" &&
                          document.getElementById("notes").innerText.includes(${JSON.stringify(note)})`);
    }
    await two.until(`document.querySelectorAll("#notes li").length === 2`);
    await one.press("Tab");
    await one.press("Tab");
    await one.until(`document.activeElement.getAttribute("aria-label") === "Remove: <b>tea</b>"`);
    await one.press("Enter");
    await one.until(`document.activeElement.getAttribute("aria-label") === "Remove: milk"`);
    await two.until(`document.querySelectorAll("#notes li").length === 1`);
    console.log("notes are written and removed by the keyboard, and seen in another window");

    await one.evaluate(`{
        const files = new DataTransfer();
        files.items.add(new File([new Uint8Array(20000000)], "large.bin"));
        document.getElementById("file").files = files.files;
        window.seen = new Set();
        new MutationObserver(() => seen.add(document.getElementById("uploaded").textContent))
            .observe(document.getElementById("uploaded"), { childList: true });
        document.getElementById("upload").requestSubmit();
    }`);
    await one.until(`document.getElementById("uploaded").textContent.startsWith("large.bin: 20000000 bytes")`);
    await one.until(`[...seen].some(text => / of 19\\.1 MiB$/.test(text)) && document.getElementById("progress").hidden`);
    console.log("an upload tells how far it is");

    const colour = await one.evaluate(`getComputedStyle(document.body).backgroundColor`);
    await one.media({ "prefers-color-scheme": "dark" });
    await one.until(`getComputedStyle(document.body).backgroundColor !== ${JSON.stringify(colour)}`);
    await one.size(320, 600);
    await one.until(`innerWidth === 320 && document.documentElement.scrollWidth <= 320`);
    console.log("it is dark where that is wanted, and fits a narrow screen");

    if (troubles.length > 0) {
        await fail(troubles.join("\n"));
    }
    site.once("exit", status => {
        console.log(status === 0 ? "the server ends in good order while pages watch" : `FAILED: status ${status}`);
        end(status === 0 ? 0 : 1);
    });
    site.kill("SIGTERM");
}

let printed = "";
site.stdout.setEncoding("utf8").on("data", piece => {
    printed += allowed.origin === "" ? piece : "";
    const found = /listening on (http:\S+)\n/.exec(printed);
    if (allowed.origin === "" && found) {
        allowed.origin = `${found[1]}/`;
        run();
    }
});
