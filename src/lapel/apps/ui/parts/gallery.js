// The gallery: cards of products in even tiles, an element of Streamlit's however many there are.
//
// data: {cards, actions, texts, more, row}. What a visitor does comes back as the trigger "event": {action, id}.
// Cards that stay keep their nodes, so that pictures do not flash and the focus does not get lost.

const HANGER =
  '<svg class="hanger" viewBox="0 0 300 400" aria-hidden="true"><rect width="300" height="400"/><path d="M150 168c0-12 16-12 16-26a16 16 0 0 0-32 0M150 168l88 56a10 10 0 0 1-6 18H68a10 10 0 0 1-6-18z"/></svg>';

// Drawn, as fonts may lack the signs; constants of this file.
const sign = (path) => `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${path}"/></svg>`;
const COPY = sign("M9 9h11v11H9zM5 15H4V4h11v1");
const DONE = sign("M5 13l4 4L19 7");
const ARROW = sign("M7 17L17 7M9 7h8v8");

function node(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter(Boolean));
  return made;
}

function picture(card) {
  const frame = node("span", {class: "frame"});
  const failed = () => {
    frame.innerHTML = HANGER; // a constant of this file
  };
  if (!card.picture) failed();
  else frame.append(node("img", {src: card.picture, alt: "", loading: "lazy", decoding: "async", width: 450, height: 600, onerror: failed}));
  if (card.linked) {
    // The shop's own address of the photo lies over the store's thumbnail, which stays where that fails.
    const over = node("img", {src: card.linked, alt: "", loading: "lazy", decoding: "async", class: "over", referrerpolicy: "no-referrer"});
    over.addEventListener("error", () => over.remove());
    frame.append(over);
  }
  return frame;
}

let watcher = null;

// A dialog that an action opens gives the focus back to the document alone: hand it on to the action's button.
function giveBack(button) {
  let seen = false;
  watcher?.disconnect();
  watcher = new MutationObserver(() => {
    const open = document.querySelector("[role=dialog]");
    seen ||= Boolean(open);
    if (!seen || open) return;
    watcher.disconnect();
    setTimeout(() => document.activeElement === document.body && button.isConnected && button.focus(), 100);
  });
  watcher.observe(document.body, {childList: true, subtree: true});
}

function cardOf(card, state) {
  const texts = state.data.texts;
  const send = (action) => state.send({action, id: card.id, at: Date.now()});
  const open = node(
    "a",
    {
      class: "open",
      href: card.href,
      onclick: (event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return; // a new tab
        event.preventDefault();
        send("open");
      },
    },
    picture(card),
    node("span", {class: "title", dir: "auto", text: card.title}),
  );
  const badges = node("div", {class: "badges"});
  if (card.verdict) badges.append(node("span", {class: "badge verdict", text: card.verdict, title: card.score || null}));
  if (card.out) badges.append(node("span", {class: "badge out", text: card.out}));
  const copy = node("button", {type: "button", class: "icon", "aria-label": `${texts.copy}: ${card.title}`, title: texts.copy});
  copy.innerHTML = COPY;
  copy.addEventListener("click", async () => {
    await navigator.clipboard?.writeText(new URL(card.href, document.baseURI).href);
    state.say(texts.copied);
    copy.innerHTML = DONE;
    setTimeout(() => (copy.innerHTML = COPY), 1500);
  });
  const tools = node("div", {class: "tools"}, copy);
  if (card.origin) {
    const origin = node("a", {class: "icon", href: card.origin, target: "_blank", rel: "noopener noreferrer", "aria-label": `${texts.origin}: ${card.title}`, title: texts.origin});
    origin.innerHTML = ARROW;
    tools.append(origin);
  }
  const actions = node("div", {class: "actions"});
  for (const each of state.data.actions)
    actions.append(
      node("button", {type: "button", "data-action": each.name, "aria-label": `${each.label}: ${card.title}`, title: each.label, text: each.short, onclick: (event) => (giveBack(event.currentTarget), send(each.name))}),
    );
  return node(
    "li",
    {class: "card", "data-id": card.id},
    open,
    badges,
    tools,
    card.facts && node("p", {class: "facts", dir: "auto", text: card.facts}),
    (card.price || card.also) && node("p", {class: "price"}, node("span", {text: card.price || ""}), card.also && node("span", {class: "also", text: card.also})),
    card.reason && node("p", {class: "reason", text: card.reason, title: card.reason}),
    state.data.actions.length ? actions : null,
  );
}

function draw(state) {
  const {list, data} = state;
  const texts = JSON.stringify([data.texts, data.actions]);
  const wanted = data.cards.map((card) => JSON.stringify(card) + texts);
  wanted.forEach((source, place) => {
    const present = list.children[place];
    if (present && present.source === source) return;
    const made = cardOf(data.cards[place], state);
    made.source = source;
    if (present) present.replaceWith(made);
    else list.append(made);
  });
  while (list.children.length > wanted.length) list.lastElementChild.remove();
  list.classList.toggle("row", Boolean(data.row));
  list.setAttribute("aria-label", data.texts.label);
  state.button.hidden = !data.more;
  state.button.textContent = data.texts.more;
}

const states = new WeakMap();

export default function ({data, parentElement, setTriggerValue}) {
  let state = states.get(parentElement);
  if (!state) {
    const list = node("ul", {class: "gallery", role: "list"});
    const button = node("button", {type: "button", class: "more"});
    const live = node("p", {class: "live", role: "status"});
    state = {list, button, say: (words) => (live.textContent = words), asked: 0};
    const page = () => {
      if (button.hidden || state.asked === state.data.cards.length) return;
      state.asked = state.data.cards.length; // once for each length
      state.send({action: "page", id: "", at: Date.now()});
    };
    button.addEventListener("click", page);
    state.watcher = new IntersectionObserver((seen) => seen.some((each) => each.isIntersecting) && state.data?.endless && page(), {rootMargin: "600px"});
    state.watcher.observe(button);
    parentElement.append(list, button, live);
    states.set(parentElement, state);
  }
  if (JSON.stringify(state.data?.cards?.[0]) !== JSON.stringify(data.cards[0])) state.asked = 0;
  state.data = data;
  state.send = (value) => setTriggerValue("event", value);
  draw(state);
  return () => {
    state.watcher.disconnect();
    states.delete(parentElement);
  };
}
