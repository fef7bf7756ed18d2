// What makes the pages quicker to use; all of it works without, by links and forms.

document.documentElement.classList.add("js");

const parse = (text) => new DOMParser().parseFromString(text, "text/html");

async function get(address, signal) {
  const answer = await fetch(address, { signal, credentials: "same-origin" });
  const type = answer.headers.get("content-type") ?? "";
  if (!type.startsWith("text/html")) throw new Error(await answer.text());
  return parse(await answer.text());
}

/** The address that a form would go to. */
function target(form, action = form.action) {
  const address = new URL(action, location.href);
  const fields = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value !== "") fields.append(name, value);
  address.search = fields;
  return address;
}

/** Calls that replace each other: only the last one asked for is made once the first is done. */
function latest(work) {
  let busy = false;
  let next = null;
  return async function run(...args) {
    if (busy) {
      next = args;
      return;
    }
    busy = true;
    try {
      await work(...args);
    } catch (error) {
      if (error.name !== "AbortError") console.warn(error);
    } finally {
      busy = false;
      if (next) {
        const again = next;
        next = null;
        run(...again);
      }
    }
  };
}

// --- the list: facets, sort and search without a reload ---

function fold() {
  const details = document.querySelector("[data-fold]");
  if (details && matchMedia("(max-width: 52rem)").matches) details.open = false;
}

const showList = latest(async (address, remember) => {
  const page = await get(address);
  const here = document.querySelector("[data-live=list]");
  const there = page.querySelector("[data-live=list]");
  if (!here || !there) {
    location.href = address;
    return;
  }
  const open = here.querySelector("details")?.open;
  const focused = document.activeElement;
  const place = focused?.closest("[data-live=list]") ? [focused.name, focused.value] : null;
  here.replaceWith(there);
  document.title = page.title;
  const details = there.querySelector("details");
  if (details) details.open = open ?? true;
  if (place) {
    const same = [...there.querySelectorAll("input, select")].find(
      (item) => item.name === place[0] && (item.type !== "checkbox" || item.value === place[1]),
    );
    same?.focus({ preventScroll: true });
  }
  if (remember) history.pushState(null, "", address);
});

function listen() {
  document.addEventListener("change", (event) => {
    const form = event.target.closest("[data-live=list] form");
    if (form) showList(target(form), true);
  });
  let timer = 0;
  const search = document.querySelector(".search input");
  search?.addEventListener("input", () => {
    if (!document.querySelector("[data-live=list]")) return;
    clearTimeout(timer);
    timer = setTimeout(() => {
      const address = new URL(location.href);
      address.searchParams.delete("page");
      if (search.value) address.searchParams.set("q", search.value);
      else address.searchParams.delete("q");
      showList(address, true);
    }, 250);
  });
  addEventListener("popstate", () => {
    if (document.querySelector("[data-live=list]")) showList(location.href, false);
  });
}

// --- samples: the slider draws while it moves ---

/** Wait until the pictures of a new part can be shown, so that nothing flickers. */
async function loaded(part) {
  const pictures = [...part.querySelectorAll("img:not(.edges)")];
  await Promise.race([
    Promise.allSettled(pictures.map((picture) => picture.decode())),
    new Promise((resolve) => setTimeout(resolve, 4000)),
  ]);
}

function samples(section) {
  const form = section.querySelector("form");
  const [row, id, step] = ["row", "id", "step"].map((name) => form.elements.namedItem(name));

  const show = latest(async () => {
    const old = section.querySelector("[data-part=shown]");
    const asked = [row.value, id.value];
    old.classList.add("busy");
    const page = await get(target(form, section.dataset.from));
    const part = page.querySelector("[data-part=shown]");
    if (!part) {
      old.classList.remove("busy");
      return;
    }
    const waiting = document.createElement("div");
    waiting.className = "hide";
    waiting.append(part);
    section.append(waiting);
    await loaded(part);
    const link = old.contains(document.activeElement) ? document.activeElement.rel : "";
    old.replaceWith(part);
    waiting.remove();
    if (link) part.querySelector(`a[rel=${link}]`)?.focus({ preventScroll: true });
    if (row.value === asked[0]) row.value = part.dataset.row; // else it has moved on meanwhile
    row.setAttribute("aria-valuetext", part.querySelector(".steps b").textContent);
    if (step) step.max = Math.max(0, part.dataset.steps - 1);
    if (id.value === asked[1]) id.value = "";
    const address = target(form, location.pathname);
    address.hash = location.hash;
    history.replaceState(null, "", address);
  });

  let timer = 0;
  form.addEventListener("input", (event) => {
    if (event.target.name === "edges" || event.target === id) return;
    if (event.target === row) id.value = "";
    show();
  });
  form.addEventListener("change", (event) => {
    if (event.target === id) show();
    if (event.target.name === "edges") {
      clearTimeout(timer);
      timer = setTimeout(show, 50);
    }
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    show();
  });
  section.addEventListener("click", (event) => {
    const link = event.target.closest(".steps a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    row.value = Number(row.value) + (link.rel === "next" ? 1 : -1);
    id.value = "";
    show();
  });
}

// --- small things ---

function copyButtons() {
  if (!navigator.clipboard) return;
  for (const block of document.querySelectorAll("pre[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copied";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(block.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => (button.textContent = "Copy"), 1500);
    });
    block.append(button);
  }
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input:not([type=range], [type=checkbox]), select, textarea");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    event.preventDefault();
    document.querySelector(".search input")?.focus();
  }
  if (event.target.type === "range") return;
  const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
  const inside = event.target.closest?.("#samples");
  if (rel && inside) inside.querySelector(`.steps a[rel=${rel}]`)?.click();
});

fold();
listen();
copyButtons();
for (const section of document.querySelectorAll("[data-live=sample]")) samples(section);
