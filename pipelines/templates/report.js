"use strict";
(() => {
  const table = document.getElementById("samples");
  const tools = document.getElementById("tools");
  if (table && tools) {
    const body = table.tBodies[0];
    const rows = Array.from(body.rows);
    const heads = Array.from(table.tHead.rows[0].cells);
    const search = document.getElementById("search");
    const count = document.getElementById("count");
    const chips = Array.from(tools.querySelectorAll("button"));
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const value = (row, column) => {
      const cell = row.cells[column];
      return cell.dataset.v === undefined ? cell.textContent.trim() : cell.dataset.v;
    };
    const compare = new Intl.Collator("en", { numeric: true, sensitivity: "base" }).compare;
    const sort = (column) => {
      const head = heads[column];
      const numbers = head.dataset.kind === "number";
      const first = numbers ? "descending" : "ascending";
      const second = numbers ? "ascending" : "descending";
      const way = head.getAttribute("aria-sort") === first ? second : first;
      const sign = way === "ascending" ? 1 : -1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", way);
      const keyed = rows.map((row, place) => [value(row, column), place, row]);
      keyed.sort((a, b) => {
        if ((a[0] === "") !== (b[0] === "")) return a[0] === "" ? 1 : -1;
        const order = numbers ? Number(a[0]) - Number(b[0]) : compare(a[0], b[0]);
        return sign * order || a[1] - b[1];
      });
      body.append(...keyed.map((entry) => entry[2]));
    };
    const filter = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      const pressed = chips.find((chip) => chip.getAttribute("aria-pressed") === "true");
      const call = pressed ? pressed.dataset.call : "";
      let shown = 0;
      rows.forEach((row, place) => {
        const fits = (!call || row.dataset.call === call) && words.every((word) => texts[place].includes(word));
        row.hidden = !fits;
        shown += fits ? 1 : 0;
      });
      count.textContent = shown + " of " + rows.length + " samples";
    };
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.addEventListener("click", () => sort(column));
      head.replaceChildren(button);
    });
    chips.forEach((chip) => chip.addEventListener("click", () => {
      chips.forEach((other) => other.setAttribute("aria-pressed", String(other === chip)));
      filter();
    }));
    search.addEventListener("input", filter);
    tools.hidden = false;
    filter();
  }
  // In a sandboxed frame (MLflow's viewer) an address takes no fragment: patients open by class.
  const framed = window.self !== window.top;
  const open = (id) => {
    document.querySelectorAll(".patient.open").forEach((one) => one.classList.remove("open"));
    const patient = document.getElementById(id);
    const found = patient !== null && patient.classList.contains("patient");
    document.body.classList.toggle("reading", found);
    if (found) patient.classList.add("open");
    focus(patient);
  };
  let left = 0;
  const focus = (target) => {
    if (target && target.classList.contains("patient")) {
      window.scrollTo(0, 0);
      target.querySelector("h1").focus({ preventScroll: true });
    } else {
      window.scrollTo(0, left);
    }
  };
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (!link) return;
    const id = link.getAttribute("href").slice(1);
    if (!link.closest(".patient")) left = window.scrollY;
    if (framed) {
      event.preventDefault();
      open(id);
    }
  });
  window.addEventListener("hashchange", () => focus(document.getElementById(location.hash.slice(1))));
})();
