// Chromium visits a ws_gallery: node ws_browser.mjs http://HOST:PORT
import { readFileSync } from "node:fs";
import { Page, end, fail, started } from "./browser.mjs";

const base = process.argv[2];
const sockets = base.replace(/^http/, "ws");
await started();
console.log("Chromium is there");

const page = await Page.open(`${base}/`);

await page.until(`location.href.startsWith(${JSON.stringify(base)}) && document.readyState === "complete"`);
console.log("the page is there");
await page.evaluate(readFileSync(new URL("ws_visit.js", import.meta.url), "utf8"));
for (const name of await page.evaluate(`Object.keys(steps = visit(WebSocket, ${JSON.stringify(sockets)}))`)) {
    await page.evaluate(`steps.${name}()`);
    console.log(`${name}: good`);
}

/* A page of the server's own is let in; where another site's is wanted, it is not. */
const refused = await page.evaluate(`new Promise(resolve => {
    const socket = new WebSocket(${JSON.stringify(`${sockets}/elsewhere`)});
    socket.onopen = () => resolve("open");
    socket.onclose = event => resolve(event.code);
})`);
if (refused !== 1006) {
    await fail(`origins: ${refused}`);
}
console.log("origins: good\nall is well");
await end(0);
