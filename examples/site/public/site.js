const get = id => document.getElementById(id);

/* ---- figures ---- */

const SECONDS = 60;
const rates = [];
let last = null;

function bytes(count) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (count >= 1024 && unit < units.length - 1) {
        count /= 1024;
        unit++;
    }
    return `${count.toFixed(unit === 0 ? 0 : 1)} ${units[unit]}`;
}

function draw() {
    const top = Math.max(10, ...rates);
    const step = 600 / (SECONDS - 1);
    const from = SECONDS - rates.length;
    get("curve").setAttribute("points",
        rates.map((rate, i) => `${((from + i) * step).toFixed(1)},${(158 - rate / top * 150).toFixed(1)}`).join(" "));
}

function showFigures(figures) {
    if (last !== null) {
        rates.push(Math.max(0, figures.requests - last.requests));
        rates.splice(0, rates.length - SECONDS);
        get("rate").textContent = rates[rates.length - 1];
        get("peak").textContent = Math.max(...rates);
        draw();
    }
    last = figures;
    get("conns").textContent = figures.conns;
    get("in").textContent = bytes(figures.in);
    get("out").textContent = bytes(figures.out);
}

const events = new EventSource("/events");
events.onopen = () => {
    get("link").textContent = "Connected; a figure each second.";
    last = null;
    loadNotes();
};
events.onerror = () => { get("link").textContent = "The server is not there; trying again …"; };
events.addEventListener("figures", event => showFigures(JSON.parse(event.data)));
events.addEventListener("notes", () => loadNotes());

get("load").onclick = async () => {
    get("load").disabled = true;
    const one = () => fetch("/api/notes").then(answer => answer.text()).catch(() => {});
    for (let i = 0; i < 40; i++) {
        await Promise.all([one(), one(), one(), one(), one()]);
    }
    get("load").disabled = false;
    get("load").focus();
};

/* ---- notes ---- */

async function ask(method, path, body) {
    const answer = await fetch(path, {
        method,
        headers: {Accept: "application/json", ...(body ? {"Content-Type": "application/json"} : {})},
        body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) {
        let said = text;
        try {
            said = JSON.parse(text).message || text;
        } catch { /* it is text */ }
        throw new Error(said || `${answer.status} ${answer.statusText}`);
    }
    return text === "" ? null : JSON.parse(text);
}

async function attempt(work) {
    get("notes-trouble").textContent = "";
    try {
        return await work();
    } catch (error) {
        get("notes-trouble").textContent = error.message;
        return null;
    }
}

function noteItem(note) {
    const item = document.createElement("li");
    const text = document.createElement("span");
    const button = document.createElement("button");
    item.dataset.id = note.id;
    text.textContent = note.text;
    button.type = "button";
    button.textContent = "Remove";
    button.setAttribute("aria-label", `Remove: ${note.text}`);
    button.onclick = () => removeNote(item);
    item.append(text, button);
    return item;
}

/* Items that stay are left alone, so that the keyboard's place among them is kept. */
function showNotes(notes) {
    const there = new Map([...get("notes").children].map(item => [item.dataset.id, item]));
    const wanted = new Set(notes.map(note => String(note.id)));
    there.forEach((item, id) => {
        if (!wanted.has(id)) {
            if (item.contains(document.activeElement)) {
                const near = item.nextElementSibling || item.previousElementSibling;
                (near ? near.querySelector("button") : get("text")).focus();
            }
            item.remove();
        }
    });
    notes.filter(note => !there.has(String(note.id))).forEach(note => get("notes").append(noteItem(note)));
    get("none").hidden = notes.length > 0;
}

async function loadNotes() {
    const notes = await attempt(() => ask("GET", "/api/notes"));
    if (notes) {
        showNotes(notes);
    }
}

async function removeNote(item) {
    await attempt(() => ask("DELETE", `/api/notes/${item.dataset.id}`));
    loadNotes();
}

get("add").onsubmit = async event => {
    event.preventDefault();
    const text = get("text").value.trim();
    if (text !== "" && await attempt(() => ask("POST", "/api/notes", {text}))) {
        get("text").value = "";
        loadNotes();
    }
    get("text").focus();
};

/* ---- upload: fetch does not tell how far it is, XMLHttpRequest does ---- */

get("upload").onsubmit = event => {
    event.preventDefault();
    const request = new XMLHttpRequest();
    const say = text => { get("uploaded").textContent = text; };
    const busy = yes => {
        get("send").disabled = yes;
        get("cancel").hidden = !yes;
        get("progress").hidden = !yes;
    };
    request.upload.onprogress = progress => {
        get("progress").value = progress.total > 0 ? progress.loaded / progress.total : 0;
        say(`${bytes(progress.loaded)} of ${bytes(progress.total)}`);
    };
    request.onload = () => say(request.responseText);
    request.onerror = () => say("The connection broke.");
    request.onabort = () => say("Cancelled.");
    request.onloadend = () => { busy(false); get("send").focus(); };
    get("cancel").onclick = () => request.abort();
    get("progress").value = 0;
    busy(true);
    request.open("POST", "/upload");
    request.send(new FormData(get("upload")));
};
