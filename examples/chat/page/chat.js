// The page: rooms, people, messages. Names and messages are text: they meet the page as textContent and nothing else.
import { Link } from "./link.js";

const KEPT_MAX = 500; // messages of one conversation
const THREADS_MAX = 100; // of private messages; strangers may open one
const ROOMS_MS = 3000; // between two looks at the list of rooms
const GROUP_MS = 300000; // one person's messages within this are shown as one run
const NAME_MAX = 64; // bytes
const SPARE = 400; // bytes around a text in its message

// What a server refuses in a name: nobody sees it, and it may turn the line around that the name stands in.
const HIDDEN = /[\u00ad\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb]/;

const $ = id => document.getElementById(id);
const bytes = text => new TextEncoder().encode(text).length;

const conversations = new Map(); // by key: "room/NAME" or "person/ID"
const people = new Map(); // of the room: nicknames by id
let current = null; // the conversation that is shown
let room = null; // the one of the room that we are in, or are to be in; null: none
let rooms = []; // as the server listed them
let me = ""; // our id
let limits = { messageBytes: 65536, messagesPerSecond: 20 };
let retryAt = 0;

const link = new Link(new URL("chat", location.href.replace(/^http/, "ws")), {
    state: showLink,
    news: message => news[message.type]?.(message),
    letter: letter => letter.item?.node && drawState(letter.item),
});

// ---- small things ----

function make(tag, classes = "", text = "") {
    const node = document.createElement(tag);

    node.className = classes;
    node.textContent = text;
    return node;
}

function hue(name) {
    let sum = 7;

    for (const letter of name) {
        sum = (sum * 31 + letter.codePointAt(0)) % 65521;
    }
    return sum % 24 * 15;
}

function paint(node, name) {
    node.style.setProperty("--hue", hue(name));
    return node;
}

function mark(name) {
    const node = paint(make("span", "mark", [...name][0]?.toUpperCase()), name);

    node.setAttribute("aria-hidden", "true");
    return node;
}

function nameTrouble(name) {
    if (name === "") {
        return "It cannot be empty.";
    }
    if (/[\u0000-\u001f\u007f-\u009f]/.test(name)) {
        return "It cannot hold control characters.";
    }
    if (HIDDEN.test(name)) {
        return "It cannot hold characters that nobody sees.";
    }
    return bytes(name) > NAME_MAX ? `It is ${bytes(name) - NAME_MAX} bytes too long.` : "";
}

// Takes the name that a field holds, or says below it what is wrong and returns "".
function takeName(field) {
    const name = field.value.trim().toWellFormed?.() ?? field.value.trim();
    const trouble = nameTrouble(name);

    $(`${field.id}-trouble`).textContent = trouble;
    field.setAttribute("aria-invalid", trouble !== "");
    if (trouble !== "") {
        field.focus();
    }
    return trouble === "" ? name : "";
}

// Storage may be forbidden; the chat works without it.
function remember(name, value) {
    try {
        sessionStorage.setItem(name, value);
    } catch { /* then not */ }
}

function recall(name) {
    try {
        return sessionStorage.getItem(name) ?? "";
    } catch {
        return "";
    }
}

// Makes the children of a list those of these entries, keeping the nodes that are there already, and with them the focus.
function fill(list, entries, draw) {
    const old = new Map([...list.children].map(node => [node.dataset.key, node]));

    entries.forEach((entry, index) => {
        let node = old.get(entry.key);

        old.delete(entry.key);
        if (!node) {
            node = make("li");
            node.dataset.key = entry.key;
            node.append(make("button", "entry"));
        }
        draw(node.firstChild, entry);
        if (list.children[index] !== node) {
            list.insertBefore(node, list.children[index] ?? null);
        }
    });
    old.forEach(node => node.remove());
    rove(list);
}

// One button of a list is reached by Tab, the others from there by arrow keys.
function rove(list, to = list.querySelector("button[tabindex='0']") ?? list.querySelector("[aria-current='true']")) {
    const buttons = [...list.querySelectorAll("button")];
    const chosen = buttons.includes(to) ? to : buttons[0];

    buttons.forEach(button => button.tabIndex = button === chosen ? 0 : -1);
}

function walk(event) {
    const buttons = [...event.currentTarget.querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];

    if (to !== undefined && buttons[to]) {
        event.preventDefault();
        rove(event.currentTarget, buttons[to]);
        buttons[to].focus();
    }
}

// ---- conversations ----

function conversation(key, name, id) {
    if (!conversations.has(key)) {
        conversations.set(key, { key, name, id, items: [], unread: 0, firstUnread: -1, draft: "", gone: false });
    }
    return conversations.get(key);
}

const roomConversation = name => conversation(`room/${name}`, name);
const seen = talk => talk === current && !document.hidden;

function threadWith(id, name) {
    const talk = conversation(`person/${id}`, name, id);
    const others = [...conversations.values()].filter(other => other.id && other !== talk && other !== current);

    talk.name = name;
    if (others.length >= THREADS_MAX) {
        conversations.delete(others[0].key); // the oldest
    }
    return talk;
}

function add(talk, item) {
    if (!talk) {
        return;
    }
    if (item.from && !item.own && !seen(talk)) {
        talk.firstUnread = talk.unread === 0 ? talk.items.length : talk.firstUnread;
        talk.unread++;
    }
    talk.items.push(item);
    if (talk.items.length > KEPT_MAX) {
        talk.items.shift().node?.remove();
        talk.firstUnread--;
    }
    if (talk === current) {
        append(talk, talk.items.length - 1);
    }
    showMarks();
}

const tell = (talk, text) => add(talk, { time: Date.now(), text });

function open(talk) {
    if (current) {
        current.draft = $("text").value;
    }
    current = talk;
    $("text").value = talk?.draft ?? "";
    draw();
    read();
    closePanels();
}

// What is on the screen has been read.
function read() {
    if (current && !document.hidden) {
        current.unread = 0;
    }
    showMarks();
}

// ---- drawing messages ----

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });

function timeOf(item) {
    const node = make("time", "", clock.format(item.time));

    node.dateTime = new Date(item.time).toISOString();
    return node;
}

function joins(item, before) {
    return before?.from && before.id === item.id && before.from === item.from && item.time - before.time < GROUP_MS;
}

function drawState(item) {
    const words = { waiting: "waiting for the connection", unsure: "perhaps not delivered", failed: "not delivered" };
    const state = item.trouble ? "failed" : item.letter?.state;

    item.mark.textContent = item.trouble ?? words[state] ?? "";
    item.node.dataset.state = state ?? "";
    if (state === "unsure") {
        const again = make("button", "plain", "Send again");

        again.onclick = () => {
            item.letter = link.post(item.letter.message);
            item.letter.item = item;
            drawState(item);
            $("text").focus();
        };
        item.mark.append(" ", again);
    }
}

function drawMessage(item, before) {
    const node = make("li", `message${item.own ? " own" : ""}${joins(item, before) ? " joined" : ""}`);
    const head = make("p", "head");
    const name = paint(make("bdi", "name", item.from), item.from);
    const text = make("p", "text", item.text);

    text.dir = "auto";
    item.node = node;
    item.mark = make("span", "state");
    head.append(name, item.own ? make("span", "you", "you") : "", timeOf(item));
    node.append(mark(item.from), head, text, item.mark);
    drawState(item);
    return node;
}

function drawNote(item) {
    const node = make("li", "note");

    item.node = node;
    node.append(make("bdi", "", item.text), " ", timeOf(item));
    return node;
}

function put(talk, index) {
    const lines = $("lines");
    const item = talk.items[index];
    const before = talk.items[index - 1];

    if (!before || day.format(before.time) !== day.format(item.time)) {
        lines.append(make("li", "day", day.format(item.time)));
    }
    if (index === talk.firstUnread) {
        lines.querySelector(".new")?.remove();
        lines.append(make("li", "new", "New"));
    }
    lines.append(item.from ? drawMessage(item, before) : drawNote(item));
}

function append(talk, index) {
    const low = atEnd();

    put(talk, index);
    if (low || talk.items[index].own) {
        toEnd();
    } else {
        $("newer").hidden = false;
    }
}

const atEnd = () => $("log").scrollHeight - $("log").scrollTop - $("log").clientHeight < 40;

function toEnd() {
    $("log").scrollTop = $("log").scrollHeight;
    $("newer").hidden = true;
}

// The whole of a conversation; nothing of it is news that would have to be read out.
function draw() {
    const log = $("log");

    log.setAttribute("aria-live", "off");
    $("lines").replaceChildren();
    current?.items.forEach((_, index) => put(current, index));
    if (current) {
        current.firstUnread = -1;
    }
    toEnd();
    requestAnimationFrame(() => log.setAttribute("aria-live", "polite"));
    showWhere();
    showLists();
}

// ---- drawing the rest ----

function showWhere() {
    const to = current?.id;
    const count = people.size;

    $("title").textContent = current?.name ?? "No room";
    $("subtitle").textContent = to ? `private: only you and ${current.name} see this${current.gone ? "; not here now" : ""}`
        : !current ? "Join one, or make your own." : current === room ? `${count} ${count === 1 ? "person" : "people"}` : "";
    $("talk").dataset.kind = to ? "person" : "room";
    $("to").textContent = to ? `To ${current.name} only` : current ? `Message to ${current.name}` : "Message";
    $("text").disabled = !current;
    grow();
    showLength();
}

function showMarks() {
    let elsewhere = 0;
    let all = 0;

    for (const talk of conversations.values()) {
        all += talk.unread;
        elsewhere += talk === current ? 0 : talk.unread;
    }
    document.title = `${all > 0 ? `(${all}) ` : ""}${current?.name ? `${current.name} · ` : ""}Chat`;
    $("elsewhere").textContent = elsewhere;
    $("elsewhere").hidden = elsewhere === 0;
    showLists();
}

function drawEntry(button, entry) {
    const badge = entry.talk?.unread > 0 ? make("span", "badge", entry.talk.unread) : "";

    if (badge !== "") {
        badge.setAttribute("aria-label", `${entry.talk.unread} unread`);
    }
    button.replaceChildren(entry.mark ?? "", make("bdi", "label", entry.name), entry.small ? make("small", "", entry.small) : "", badge);
    button.setAttribute("aria-current", entry.shown);
    button.title = entry.title ?? "";
    button.onclick = entry.choose;
}

function roomEntries() {
    const counts = new Map(rooms.map(({ room: name, count }) => [name, count]));

    for (const talk of conversations.values()) {
        if (!talk.id && !counts.has(talk.name)) {
            counts.set(talk.name, 0); // nobody is there, but we have been
        }
    }
    if (room) {
        counts.set(room.name, Math.max(people.size, 1));
    }
    return [...counts].sort(([a], [b]) => a.localeCompare(b)).map(([name, count]) => ({
        key: name, name, small: `${count}`, title: `${name}: ${count} here`, shown: current === room && room?.name === name,
        talk: conversations.get(`room/${name}`), choose: () => goTo(name),
    }));
}

// Two may have one name; then their addresses tell them apart.
function personEntries() {
    const names = [...people.values()];

    return [...people].map(([id, name]) => ({
        key: id, name, mark: mark(name), title: id,
        small: id === me ? "you" : names.filter(other => other === name).length > 1 ? id.split(":").pop() : "",
        shown: current?.id === id, talk: conversations.get(`person/${id}`),
        choose: () => id === me ? rename() : writeTo(id, name),
    })).sort((a, b) => (b.key === me) - (a.key === me) || a.name.localeCompare(b.name));
}

function showLists() {
    const threads = [...conversations.values()].filter(talk => talk.id);

    fill($("rooms"), roomEntries(), drawEntry);
    fill($("members"), personEntries(), drawEntry);
    fill($("threads"), threads.map(talk => ({
        key: talk.id, name: talk.name, mark: mark(talk.name), small: talk.gone ? "gone" : "", title: talk.id,
        shown: talk === current, talk, choose: () => writeTo(talk.id, talk.name),
    })), drawEntry);
    $("private").hidden = threads.length === 0;
    $("here").textContent = people.size;
}

function showMe() {
    $("my-name").textContent = link.nickname;
    $("my-mark").textContent = [...link.nickname][0]?.toUpperCase() ?? "";
    paint($("my-mark"), link.nickname);
}

function showLink(state, at) {
    const words = { connecting: "connecting", entering: "connecting", ready: "connected", lost: "not connected" };

    retryAt = at ?? 0;
    $("link").textContent = words[state];
    $("link").dataset.state = state;
    $("lost").hidden = state === "ready";
    if (state === "lost") {
        people.clear();
        showWhere();
        showLists();
    }
    tick();
}

// The seconds until the next attempt, without reading each of them out.
function tick() {
    const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
    const waiting = link.state === "lost" && seconds > 0;

    $("lost-text").textContent = link.state === "lost" ? "No connection. What you write is kept, and sent when it is back."
        : "Connecting…";
    $("again").textContent = waiting ? `Try now (${seconds})` : "Try now";
    $("again").disabled = link.state !== "lost";
}

let noticeTimer = 0;

function notice(text) {
    $("notice").textContent = text;
    clearTimeout(noticeTimer);
    noticeTimer = setTimeout(() => $("notice").textContent = "", 10000);
}

// ---- what the server tells ----

function sentence(error) {
    return {
        too_fast: "You write faster than this server passes on. It arrives, a little later.",
        room_full: "That room is full. Choose another one.",
        busy: "The server is busy. Try again in a moment.",
        too_long: "That message is too long.",
        no_such_client: "That person is not connected any more.",
    }[error.code] ?? `${error.message.charAt(0).toUpperCase()}${error.message.slice(1)}.`;
}

function here(id, name) {
    const thread = conversations.get(`person/${id}`);

    people.set(id, name);
    if (thread) {
        thread.name = name;
        thread.gone = false;
    }
    return thread;
}

const news = {
    login_success(message) {
        if (me !== message.clientId) {
            for (const talk of conversations.values()) {
                talk.gone = Boolean(talk.id); // until they are seen again
            }
        }
        me = message.clientId;
        if (people.has(me) && people.get(me) !== link.nickname) {
            people.set(me, link.nickname);
            tell(room, `You are now ${link.nickname}`);
        }
        remember("nickname", link.nickname);
        showMe();
        showWhere();
        showLists();
        askRooms();
    },

    room_joined(message) {
        people.clear();
        message.members.forEach(member => here(member.clientId, member.nickname));
        $("unlisted").textContent = message.omitted ? `and ${message.omitted} more` : "";
        $("unlisted").hidden = !message.omitted;
        remember("room", message.room);
        showWhere();
        showLists();
        askRooms();
    },

    rooms(message) {
        rooms = message.rooms;
        showLists();
    },

    user_joined(message) {
        const thread = here(message.clientId, message.nickname);

        tell(room, `${message.nickname} joined`);
        tell(thread, `${message.nickname} is here`);
        showWhere();
        askRooms();
    },

    user_left(message) {
        const thread = conversations.get(`person/${message.clientId}`);

        people.delete(message.clientId);
        tell(room, `${message.nickname} left`);
        if (thread) {
            thread.gone = true;
            tell(thread, `${message.nickname} left the room`);
        }
        showWhere();
        askRooms();
    },

    user_renamed(message) {
        const thread = here(message.clientId, message.nickname);

        tell(room, `${message.from} is now ${message.nickname}`);
        tell(thread, `${message.from} is now ${message.nickname}`);
        showWhere();
        showLists();
    },

    chat_message(message) {
        add(room, { id: message.clientId, from: message.from, text: message.message, time: message.timestamp });
    },

    private_message(message) {
        const thread = threadWith(message.clientId, message.from);

        thread.gone = false;
        add(thread, { id: message.clientId, from: message.from, text: message.message, time: message.timestamp });
        if (!seen(thread)) {
            notice(`${message.from} wrote to you alone.`);
        }
    },

    error(message) {
        const type = { no_such_client: "private_message", too_long: "chat_message" }[message.code];
        const item = (link.suspect(type) ?? (message.code === "too_long" && link.suspect("private_message")))?.item;

        if (item) {
            item.trouble = `Not delivered. ${sentence(message)}`;
            drawState(item);
        }
        if (message.code === "room_full") {
            room = null;
            open(null);
        }
        notice(sentence(message));
    },
};

// ---- what people do ----

function askRooms() {
    if (!document.hidden) {
        link.ask({ type: "list_rooms" });
    }
}

function goTo(name) {
    const talk = roomConversation(name);

    if (talk !== room) {
        room = talk;
        people.clear();
        link.post({ type: "join_room", room: name });
    }
    open(talk);
    $("text").focus();
}

function writeTo(id, name) {
    open(threadWith(id, name));
    $("text").focus();
}

function say(text) {
    const time = Date.now();
    const item = { id: me, from: link.nickname, own: true, text, time };
    const message = current.id ? { type: "private_message", to: current.id, message: text } : { type: "chat_message", message: text };

    item.letter = link.post(message);
    item.letter.item = item;
    add(current, item);
}

function roomLeft(text) {
    return limits.messageBytes - SPARE - bytes(JSON.stringify(text));
}

function showLength() {
    const left = roomLeft($("text").value);

    $("length").textContent = left < 0 ? `${-left} bytes too long to be sent.` : left < 1000 ? `${left} bytes left.` : "";
    $("length").classList.toggle("trouble", left < 0);
    $("send").disabled = !current || left < 0;
}

// The box is as high as what is written in it, up to a limit.
function grow() {
    $("text").style.height = "auto";
    $("text").style.height = `${$("text").scrollHeight + 2}px`;
}

function send() {
    const field = $("text");
    const text = field.value.replaceAll("\0", "").trim();
    const well = text.toWellFormed?.() ?? text;

    if (current && well !== "" && roomLeft(well) >= 0) {
        field.value = "";
        remember("draft", "");
        say(well);
        grow();
        showLength();
    }
    field.focus();
}

function rename() {
    $("new-name").value = link.nickname;
    $("new-name-trouble").textContent = "";
    $("renaming").showModal();
    $("new-name").select();
}

function closePanels() {
    for (const panel of ["places", "people"]) {
        $(panel).classList.remove("open");
        $(`show-${panel}`).setAttribute("aria-expanded", "false");
    }
}

function togglePanel(panel) {
    const show = !$(panel).classList.contains("open");

    closePanels();
    $(panel).classList.toggle("open", show);
    $(`show-${panel}`).setAttribute("aria-expanded", show);
    if (show) {
        $(panel).querySelector("button[tabindex='0'], input")?.focus();
    }
}

// Escape goes one step back: from a panel to the messages, from a private thread to the room.
function goBack() {
    const panel = document.querySelector(".open");

    if (panel) {
        closePanels();
        $(`show-${panel.id}`).focus();
    } else if (current?.id && room) {
        open(room);
        $("text").focus();
    } else {
        $("text").focus();
    }
}

function enter(nickname, first) {
    $("door").hidden = true;
    $("chat").hidden = false;
    room = roomConversation(first);
    link.enter(nickname, first);
    open(room);
    $("text").value = recall("draft");
    grow();
    showMe();
    showLength();
    $("text").focus();
}

// ---- beginning ----

$("enter").onsubmit = event => {
    const nickname = takeName($("nickname"));
    const first = nickname && takeName($("first-room"));

    event.preventDefault();
    if (first) {
        enter(nickname, first);
    }
};

$("make").onsubmit = event => {
    const name = takeName($("new-room"));

    event.preventDefault();
    if (name !== "") {
        $("new-room").value = "";
        goTo(name);
    }
};

$("compose").onsubmit = event => {
    event.preventDefault();
    send();
};

$("rename-form").onsubmit = event => {
    const name = takeName($("new-name"));

    event.preventDefault();
    if (name !== "") {
        $("renaming").close();
        link.post({ type: "login", nickname: name });
    }
};

$("text").onkeydown = event => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        send();
    } else if (event.key === "PageUp" || event.key === "PageDown") {
        event.preventDefault();
        $("log").scrollBy(0, (event.key === "PageUp" ? -0.8 : 0.8) * $("log").clientHeight);
    }
};

$("text").oninput = () => {
    remember("draft", $("text").value);
    grow();
    showLength();
};

for (const list of ["rooms", "threads", "members"]) {
    $(list).onkeydown = walk;
}
for (const panel of ["places", "people"]) {
    $(`show-${panel}`).onclick = () => togglePanel(panel);
}
$("rename").onclick = rename;
$("keep-name").onclick = () => $("renaming").close();
$("again").onclick = () => link.retry();
$("newer").onclick = toEnd;
$("log").onscroll = () => {
    $("newer").hidden = $("newer").hidden || atEnd();
};
document.onkeydown = event => {
    if (event.key === "Escape" && !$("renaming").open && !$("chat").hidden) {
        goBack();
    }
};
document.onvisibilitychange = () => {
    read();
    askRooms();
};
setInterval(askRooms, ROOMS_MS);
setInterval(tick, 500);

try {
    limits = await (await fetch("limits.json")).json();
} catch { /* the defaults will do, and the server will say if not */ }
link.rate = limits.messagesPerSecond;
if (recall("nickname") !== "") {
    enter(recall("nickname"), recall("room") || "lobby"); // the page was loaded anew
} else {
    $("door").hidden = false;
    $("nickname").focus();
}
